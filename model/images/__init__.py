"""Pictures from bytes to pixels: formats, limits, decoding, hashes, metadata."""
