"""How quickly a folder of photos is embedded, and what limits it: python benchmarks/embedding.py

Draws its own JPEGs in a temporary folder and imports them into temporary projects. The limit on
all cores is 1 / (bare encoder time + decode time / cores): the encoder on ready pixels in its
quicker form (all cores in each layer, or a batch for each), decoding on one core. The plain loop
opens a file in full, resizes it with Pillow and encodes it in float32, one after the other; `embed`
also stores. The cosine is the lowest between the two. CLIP has random weights here, saved and
loaded like a real checkpoint; the time is the same.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measuring import best, machine, table
from PIL import Image

import db.images.embeddings
import db.images.locations
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.embedding.embed import BATCH_SIZE, embed, prepare_file
from model.encoders.encoder import Encoder
from model.encoders.load import load_encoder
from model.encoders.precision import lowest_cosine
from model.threads import parallel_map

READY = 4 * BATCH_SIZE
PLAIN = 25
CORES = os.cpu_count() or 1
HEAD = (
    *("encoder", "decode, ms", "bare, all cores, ms", "bare, one core each, ms", "limit"),
    *("plain loop", "embed", "of the limit (≥ 0.9)", "times the loop (≥ 4)", "cosine (≥ 0.999)"),
)


def draw_photo(path: Path, seed: int, size: int) -> None:
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
    from model.encoders import torchvision_import  # noqa: F401  (before open_clip)

    import open_clip  # isort: skip

    torch.manual_seed(0)
    path = folder / "random.pt"
    model = open_clip.create_model("ViT-B-32-quickgelu")
    torch.save({"state_dict": model.state_dict()}, path)
    return f"open_clip:ViT-B-32-quickgelu/{path}"


def plain_pixels(path: Path, size: int) -> np.ndarray:
    """The whole file decoded and resized by Pillow: uint8 (1, 3, size, size)."""
    with Image.open(path) as opened:
        square = opened.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(square).transpose(2, 0, 1)[None]


def plain_loop(encoder: Encoder, paths: Sequence[Path]) -> np.ndarray:
    size = encoder.preprocessing["size"]
    return np.concatenate([encoder.encode(plain_pixels(path, size)) for path in paths])


def decode_on_one_core(encoder: Encoder, paths: Sequence[Path]) -> None:
    torch.set_num_threads(1)
    for path in paths:
        prepare_file(encoder, path)
    torch.set_num_threads(CORES)


def one_core_each(encoder: Encoder, ready: np.ndarray) -> None:
    list(parallel_map(encoder.encode, np.array_split(ready, len(ready) // BATCH_SIZE)))


def embedded(folder: Path, encoder: Encoder, paths: Sequence[Path]) -> tuple[float, np.ndarray]:
    """Images a second in a new project, and the embeddings of `paths`."""
    project = Project.create(folder, encoder=encoder.identity)
    import_paths(project, [paths[0].parent])
    rate = embed(project, encoder=encoder).rate
    record = db.images.embeddings.encoder(project.store, encoder.identity)
    by_path = db.images.locations.ids_by_path(project.store)
    ids = [by_path[str(path.resolve())] for path in paths]
    found, vectors = db.images.embeddings.get(
        project.store, record.id if record else 0, sorted(ids)
    )
    project.close()
    return rate, vectors[np.searchsorted(found, ids)]


def measure(
    folder: Path, name: str, encoder_name: str, paths: list[Path], repeats: int
) -> list[str]:
    """The encoder's line of the table."""
    encoder = load_encoder(encoder_name)
    few = paths[:PLAIN]
    ready = np.stack([prepare_file(encoder, path) for path in paths[:READY]])
    decode = best(partial(decode_on_one_core, encoder, few), repeats) / len(few)
    whole = best(partial(encoder.encode, ready), repeats) / len(ready)
    shared = best(partial(one_core_each, encoder, ready), repeats) / len(ready)
    limit = 1 / (min(whole, shared) + decode / CORES)
    exact = load_encoder(encoder_name, precision="float32")
    loop = len(few) / best(partial(plain_loop, exact, few), repeats)
    runs = [embedded(folder / f"{name} {run}", encoder, paths) for run in range(repeats)]
    rate = max(rate for rate, _ in runs)
    cosine = lowest_cosine(runs[0][1][: len(few)], plain_loop(exact, few))
    kind = str(getattr(encoder, "dtype", "")).removeprefix("torch.")
    return [
        f"{name}, {kind}",
        *(f"{1e3 * seconds:.1f}" for seconds in (decode, whole, shared)),
        *(f"{value:.1f}/s" for value in (limit, loop, rate)),
        *(f"{rate / limit:.2f}", f"{rate / loop:.1f}", f"{cosine:.5f}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--size", type=int, default=2000, help="pixels of each side")
    parser.add_argument("--repeats", type=int, default=3, help="of which the quickest counts")
    parser.add_argument("--encoder", choices=("lite", "ViT-B-32"), help="default: both")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = [folder / "photos" / f"{number:04}.jpg" for number in range(chosen.images)]
        paths[0].parent.mkdir()
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(draw_photo, size=chosen.size), paths, range(len(paths))))
        print(f"{machine()}; {chosen.images} JPEGs of {chosen.size} × {chosen.size}\n")
        encoders = [("lite", "lite"), ("ViT-B-32", save_clip(folder))]
        chosen_ones = [one for one in encoders if chosen.encoder in (None, one[0])]
        lines = [measure(folder, *one, paths, chosen.repeats) for one in chosen_ones]
        print(table(HEAD, lines))


if __name__ == "__main__":
    main()
