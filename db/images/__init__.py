"""Images: looked up, counted, their states, sources, tags, embeddings."""
