"""What the pages' own code asks for: the JSON API, images, downloads, contact sheets."""
