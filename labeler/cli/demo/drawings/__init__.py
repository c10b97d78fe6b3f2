"""Pictures drawn by our own code, for the demo: one family of motifs per file."""
