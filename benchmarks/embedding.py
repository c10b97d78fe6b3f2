"""How quickly a folder of photos is embedded, and what limits it: python benchmarks/embedding.py

Draws its own JPEGs in a temporary folder, imports them into a temporary project, prints a table:
the bare encoder on ready pixels, decoding alone, the limit that follows from the two, a plain loop
over the files, and the product's own `embed` (which stores what it computes).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from labeler.embedding import embed, prepare_file
from labeler.importing import import_paths
from labeler.pictures import open_picture
from labeler.project import Project
from model.encoders import Encoder, load_encoder

BARE_BATCH = 32


def draw_photo(path: Path, size: int, seed: int) -> None:
    """Soft and hard edges with grain, which compress about as a photo does."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3)).astype(np.uint8))
    soft = coarse.resize((size, size), Image.Resampling.BICUBIC)
    hard = coarse.rotate(180).resize((size, size), Image.Resampling.NEAREST)
    grain = rng.normal(0, 6, (size, size, 1)).astype(np.float32)
    pixels = np.asarray(Image.blend(soft, hard, 0.4), dtype=np.float32) + grain
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def rate(count: int, work: Callable[[], object], repeats: int = 1) -> float:
    """Units a second, the best of `repeats`."""
    best = 0.0
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        best = max(best, count / (time.perf_counter() - started))
    return best


def plain_loop(encoder: Encoder, paths: Sequence[Path]) -> None:
    for path in paths:
        encoder.encode(encoder.prepare(open_picture(path))[None])


def decode_in_threads(encoder: Encoder, paths: Sequence[Path], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(partial(prepare_file, encoder), paths))


def measure(folder: Path, encoder_name: str, images: int, size: int) -> None:
    paths = [folder / "photos" / f"{number:04}.jpg" for number in range(images)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        draw_photo(path, size, number)
    megabytes = sum(path.stat().st_size for path in paths) / images / 1e6
    cores = os.cpu_count() or 1
    started = time.perf_counter()
    encoder = load_encoder(encoder_name)
    load = time.perf_counter() - started
    kind = getattr(encoder, "dtype", "")
    print(f"{images} JPEGs of {size} × {size} pixels, {megabytes:.1f} MB each; {cores} cores;")
    print(f"{encoder.identity} {kind}, loaded in {load:.1f} s\n")

    ready = np.stack([prepare_file(encoder, path) for path in paths[:BARE_BATCH]])
    bare = rate(len(ready), lambda: encoder.encode(ready), repeats=5)
    one = rate(images, lambda: decode_in_threads(encoder, paths, 1))
    decoding = rate(images, lambda: decode_in_threads(encoder, paths, cores))
    limit = 1 / (1 / bare + 1 / decoding)
    loop = rate(images // 4, lambda: plain_loop(encoder, paths[: images // 4]))

    project = Project.create(folder / "project", encoder=encoder_name)
    import_paths(project, [paths[0].parent])
    embedded = embed(project, encoder=encoder).rate
    project.close()

    print(f"{'':34}{'images/s':>10}{'of limit':>10}")
    rows = [
        ("bare encoder, ready pixels", bare),
        ("decoding alone, 1 thread", one),
        (f"decoding alone, {cores} threads", decoding),
        ("limit: both share the cores", limit),
        ("plain loop, full decode", loop),
        ("embed (decode, encode, store)", embedded),
    ]
    for name, value in rows:
        print(f"{name:34}{value:10.1f}{value / limit:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--encoder", default="lite")
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--size", type=int, default=2000, help="pixels of each side")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), chosen.encoder, chosen.images, chosen.size)


if __name__ == "__main__":
    main()
