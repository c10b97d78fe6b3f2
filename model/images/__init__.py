"""Images from bytes to pixels: formats, limits, decoding, hashes, metadata.

Imports no other folder of model/.
"""
