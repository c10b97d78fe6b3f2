"""Images and their files: which image a name means, and whether a file still shows it."""
