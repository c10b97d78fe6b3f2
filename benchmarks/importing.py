"""How fast pictures are imported, against reading and hashing them alone.

    python benchmarks/importing.py [--small 400] [--large 60]

Makes its own pictures in a temporary folder: small ones (512 x 512) and large ones (2000 x 2000),
JPEG and PNG. "Read alone" hashes and fully decodes every file in the same number of threads and
keeps nothing; "import" also makes previews and thumbnails, fingerprints, and records everything;
"again" is the same import with nothing new.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from labeler.fingerprints import content_hash
from labeler.importing import import_paths
from labeler.pictures import open_regular, read_picture
from labeler.project import Project


def picture(seed: int, side: int) -> Image.Image:
    """Soft shapes with grain, so that its JPEG is about as large as a photo's."""
    rng = np.random.default_rng(seed)
    grid = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    soft = np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-6, 7, (side, side, 1), dtype=np.int16)
    return Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8))


def make(folder: Path, count: int, side: int, suffix: str) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"{number:05}{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        picture(number, side).save(path, **({"quality": 90} if suffix == ".jpg" else {}))
    return paths


def read_alone(path: Path) -> None:
    with open_regular(path) as file:
        content_hash(file)
        read_picture(file, path)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(folder: Path, paths: list[Path], workers: int) -> tuple[float, float, float]:
    """Seconds for reading alone, importing, and importing again."""
    with ThreadPoolExecutor(workers) as pool:
        alone = seconds(lambda: list(pool.map(read_alone, paths)))
    project = Project.create(folder / "project", encoder="lite")
    first = seconds(lambda: import_paths(project, [paths[0].parent], workers=workers))
    again = seconds(lambda: import_paths(project, [paths[0].parent], workers=workers))
    project.close()
    return alone, first, again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", type=int, default=400, help="pictures of 512 x 512")
    parser.add_argument("--large", type=int, default=60, help="pictures of 2000 x 2000")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    print(f"{given.workers} threads\n")
    print("| pictures | read alone | import | ratio | again |")
    print("|---|---|---|---|---|")
    cases = [(given.small, 512), (given.large, 2000)]
    with tempfile.TemporaryDirectory() as temporary:
        for count, side in cases:
            for suffix in (".jpg", ".png"):
                folder = Path(temporary) / f"{side}{suffix[1:]}"
                paths = make(folder / "pictures", count, side, suffix)
                alone, first, again = measure(folder, paths, given.workers)
                name = f"{count} {suffix[1:].upper()} of {side} x {side}"
                print(
                    f"| {name} | {count / alone:.0f}/s | {count / first:.0f}/s | "
                    f"{first / alone:.2f} | {count / again:.0f}/s |"
                )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nPeak memory {peak:.0f} MB.")


if __name__ == "__main__":
    main()
