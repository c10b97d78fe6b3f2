"""Run in clip-retrieval's environment: what its own reader of embeddings finds in a folder."""

import json
import sys

import numpy as np
from embedding_reader import EmbeddingReader

folder = sys.argv[1]
found = EmbeddingReader(
    embeddings_folder=f"{folder}/img_emb",
    metadata_folder=f"{folder}/metadata",
    file_format="parquet_npy",
    meta_columns=["image_path", "score"],
)
rows = {}
for vectors, told in found(batch_size=3):
    for vector, row in zip(vectors, told.to_dict("records"), strict=True):
        score = row["score"]
        rows[row["image_path"]] = {
            "length": float(np.linalg.norm(vector.astype(np.float64))),
            "score": None if np.isnan(score) else score,
            "vector": vector.astype(float).round(6).tolist()[:8],
        }
print(json.dumps({"width": found.dimension, "rows": rows}))
