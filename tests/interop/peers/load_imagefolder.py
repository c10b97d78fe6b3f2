"""Run in an environment with datasets: what it loads of an imagefolder, split by split."""

import hashlib
import json
import sys
from pathlib import Path

from datasets import Image, load_dataset

loaded = load_dataset("imagefolder", data_dir=sys.argv[1], cache_dir=sys.argv[2])
found = {}
for split, rows in loaded.items():
    for row in rows.cast_column("image", Image(decode=False)):
        held = row["image"]["bytes"] or Path(row["image"]["path"]).read_bytes()
        found[row["path"]] = {
            "split": split,
            "score": row["score"],
            "out_of_fold_prediction": row["out_of_fold_prediction"],
            "tags": list(row.get("tags") or []),
            "sha256": hashlib.sha256(held).hexdigest(),
            "columns": sorted(row),
        }
print(json.dumps(found))
