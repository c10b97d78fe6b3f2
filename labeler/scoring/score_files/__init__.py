"""Readers of what states hand scores: each kind of file or folder, in one common form."""
