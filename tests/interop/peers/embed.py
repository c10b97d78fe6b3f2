"""Run in clip-retrieval's environment: its readers and its writer around a stand-in for the model.

The weights that it reads with have to be downloaded. What is computed here instead of them is a
small grey copy of each picture, 1280 values, of length 1 in float16 as its own mapper hands it on.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import torch

# A torchvision built for CUDA beside a torch that isn't can't be imported as it is.
guard_file = Path(__file__).parents[3] / "model" / "encoders" / "torchvision_import.py"
spec = importlib.util.spec_from_file_location("torchvision_import", guard_file)
guard = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guard)

from clip_retrieval.clip_inference.reader import FilesReader, WebdatasetReader  # noqa: E402
from clip_retrieval.clip_inference.runner import Runner  # noqa: E402
from clip_retrieval.clip_inference.writer import NumpyWriter  # noqa: E402


def grey(image):
    small = image.convert("L").resize((40, 32))
    return torch.from_numpy(np.asarray(small, dtype=np.float32).ravel())


def mapper(batch):
    vectors = torch.nn.functional.normalize(batch["image_tensor"], dim=-1).to(torch.float16).numpy()
    return {
        "image_embs": vectors,
        "text_embs": None,
        "image_filename": batch["image_filename"],
        "text": None,
        "metadata": batch.get("metadata"),
    }


class Silent:
    def start(self):
        pass

    def end(self):
        pass

    def __call__(self, stats):
        pass


def reader(sampler):
    told = {"batch_size": 4, "num_prepro_workers": 0, "enable_text": False}
    if Path(source).is_dir() and not list(Path(source).glob("*.tar")):
        return FilesReader(sampler, grey, None, source, enable_metadata=False, **told)
    tars = [str(each) for each in sorted(Path(source).glob("*.tar"))]
    return WebdatasetReader(sampler, grey, None, tars, enable_metadata=True, **told)


source, out = sys.argv[1:]
has_metadata = bool(list(Path(source).glob("*.tar")))
run = Runner(
    reader,
    lambda: mapper,
    lambda number: NumpyWriter(number, out, False, True, has_metadata, 1),
    lambda number: Silent(),
    1,
)
run(0)
print("true")
