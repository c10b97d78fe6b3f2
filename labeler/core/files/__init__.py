"""Files on the disk: written whole or not at all, locked, read as tables, named by people."""
