"""How quickly a folder of photos is embedded, and what limits it: python benchmarks/embedding.py

Draws its own JPEGs in a temporary folder and imports them into a temporary project. The limit on
all cores is 1 / (bare encoder time + decode time / cores): the encoder on ready pixels in its
quicker form (all cores in each layer, or a batch for each), decoding in one thread. The plain loop
opens, converts and encodes one file after the other in float32; `embed` also stores. CLIP has
random weights here, saved and loaded like a real checkpoint; the time is the same.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from measuring import best, machine, table, timed
from PIL import Image

from labeler.embedding import embed, prepare_file
from labeler.importing import import_paths
from labeler.pictures import open_picture
from labeler.project import Project
from model.encoders import Encoder, load_encoder
from model.threads import shared_out

READY = 32
PLAIN = 25
HEAD = (
    *("encoder", "decode, ms", "bare, all cores, ms", "bare, one core each, ms", "limit"),
    *("plain loop", "embed", "of the limit (≥ 0.9)", "times the loop (≥ 4)"),
)


def draw_photo(path: Path, size: int, seed: int) -> None:
    """Soft and hard edges with grain, which compress about as a photo does."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3)).astype(np.uint8))
    soft = coarse.resize((size, size), Image.Resampling.BICUBIC)
    hard = coarse.rotate(180).resize((size, size), Image.Resampling.NEAREST)
    grain = rng.normal(0, 6, (size, size, 1)).astype(np.float32)
    pixels = np.asarray(Image.blend(soft, hard, 0.4), dtype=np.float32) + grain
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def save_clip(folder: Path) -> str:
    """The name of an encoder of CLIP's shape B/32 whose weights are random."""
    import torch

    from model import torchvision_guard  # noqa: F401  (before open_clip)

    import open_clip  # isort: skip

    torch.manual_seed(0)
    path = folder / "random.pt"
    model = open_clip.create_model("ViT-B-32-quickgelu")
    torch.save({"state_dict": model.state_dict()}, path)
    return f"open_clip:ViT-B-32-quickgelu/{path}"


def plain_loop(encoder: Encoder, paths: Sequence[Path]) -> None:
    for path in paths:
        encoder.encode(encoder.prepare(open_picture(path))[None])


def prepare_all(encoder: Encoder, paths: Sequence[Path]) -> None:
    for path in paths:
        prepare_file(encoder, path)


def one_core_each(encoder: Encoder, ready: np.ndarray) -> None:
    list(shared_out(encoder.encode, np.array_split(ready, os.cpu_count() or 1)))


def measure(folder: Path, name: str, encoder_name: str, paths: list[Path]) -> list[str]:
    """The encoder's line of the table."""
    encoder = load_encoder(encoder_name)
    few = paths[:PLAIN]
    ready = np.stack([prepare_file(encoder, path) for path in paths[:READY]])
    decode = best(partial(prepare_all, encoder, few)) / len(few)
    whole = best(partial(encoder.encode, ready)) / len(ready)
    shared = best(partial(one_core_each, encoder, ready)) / len(ready)
    limit = 1 / (min(whole, shared) + decode / (os.cpu_count() or 1))
    exact = load_encoder(encoder_name, precision="float32")
    loop = len(few) / timed(partial(plain_loop, exact, few))[0]
    project = Project.create(folder / name, encoder=encoder_name)
    import_paths(project, [paths[0].parent])
    rate = embed(project, encoder=encoder).rate
    project.close()
    kind = str(getattr(encoder, "dtype", "")).removeprefix("torch.")
    return [
        f"{name}, {kind}",
        *(f"{1e3 * seconds:.1f}" for seconds in (decode, whole, shared)),
        *(f"{value:.1f}/s" for value in (limit, loop, rate)),
        f"{rate / limit:.2f}",
        f"{rate / loop:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--size", type=int, default=2000, help="pixels of each side")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = [folder / "photos" / f"{number:04}.jpg" for number in range(chosen.images)]
        paths[0].parent.mkdir()
        for number, path in enumerate(paths):
            draw_photo(path, chosen.size, number)
        print(f"{machine()}; {chosen.images} JPEGs of {chosen.size} × {chosen.size}\n")
        encoders = (("lite", "lite"), ("ViT-B-32", save_clip(folder)))
        print(table(HEAD, [measure(folder, *encoder, paths) for encoder in encoders]))


if __name__ == "__main__":
    main()
