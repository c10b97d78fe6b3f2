"""Embeddings in other programs' files (.npy, Parquet, clip-retrieval), read in blocks."""
