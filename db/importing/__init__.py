"""What an import writes: files that were found, embeddings, images merged."""
