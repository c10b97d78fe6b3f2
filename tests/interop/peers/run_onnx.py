"""Run in onnxruntime's environment: what an exported head says of embeddings, and its metadata."""

import json
import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
vectors = np.load(sys.argv[2]).astype(np.float32)
[taken] = session.get_inputs()
said = session.run(None, {taken.name: vectors})[0]
one_by_one = [session.run(None, {taken.name: row[None]})[0].item() for row in vectors]
metadata = session.get_modelmeta().custom_metadata_map
print(json.dumps({"said": said.ravel().tolist(), "alone": one_by_one, "metadata": metadata}))
