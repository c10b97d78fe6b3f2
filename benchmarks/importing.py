"""How fast pictures are imported, against reading, hashing and decoding them alone.

    python benchmarks/importing.py [--small 20000] [--large 500]

Makes its own pictures in a temporary folder: small ones, 256 to 512 pixels a side, and large ones
of 2000 x 2000, as JPEG, and a tenth as many as PNG. "Read alone" hashes and fully decodes every
file in the same number of threads and keeps nothing; "import" also makes previews, thumbnails and
fingerprints, and records everything; "again" is the same import with nothing new. "Ratio" is of the
speeds, "CPU ratio" of the processor times, which other programs disturb less. Memory is what the
process holds when a quarter of the import is done, and at its end.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from measuring import machine, table, timed
from PIL import Image

from labeler.collection.importing import import_paths
from labeler.core.archives.opening import open_regular
from labeler.core.project import Project
from model.images.decode import read_picture
from model.images.hashing import content_hash

SMALL, LARGE = (256, 512), (2000, 2000)
TARGET = 0.8
HEAD = (
    *("pictures", "KB each", "read alone", "import", "ratio", "CPU ratio", "target", "again"),
    *("MB at a quarter", "MB at the end"),
)


@dataclass(frozen=True)
class Case:
    """So many pictures with sides (least, most) in pixels, of one format."""

    name: str
    count: int
    sides: tuple[int, int]
    suffix: str


def scenery(side: int) -> Image.Image:
    """Soft shapes with grain, so that its JPEG is about as large as a photo's."""
    rng = np.random.default_rng(side)
    cells = side // 20
    grid = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
    soft = np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-6, 7, (side, side, 1), dtype=np.int16)
    return Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8))


def make(folder: Path, case: Case) -> list[Path]:
    """Different pieces of one scenery, saved."""
    folder.mkdir(parents=True)
    whole = scenery(case.sides[1] + 1000)
    rng = np.random.default_rng(0)
    paths = [folder / f"{number:05}{case.suffix}" for number in range(case.count)]
    for path in paths:
        left, top = rng.integers(0, 1000, 2).tolist()
        width, height = rng.integers(case.sides[0], case.sides[1] + 1, 2).tolist()
        piece = whole.crop((left, top, left + width, top + height))
        piece.save(path, quality=90)  # which PNG takes no notice of
    return paths


def read_alone(path: Path) -> None:
    with open_regular(path) as file:
        content_hash(file)
        read_picture(file, path)


def read_all(paths: list[Path], workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(read_alone, paths):
            pass


def megabytes() -> float:
    """What the process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(folder: Path, case: Case, workers: int, repeats: int) -> list[str]:
    """The case's line of the table."""
    paths = make(folder / "pictures", case)
    held: list[float] = []

    def watch(done: int, total: int, _what: str) -> None:
        if total and done in (max(total // 4, 1), total):
            held.append(megabytes())

    alone = first = again = float("inf")
    spent_alone = spent_first = float("inf")
    for number in range(repeats):
        held.clear()
        project = Project.create(folder / f"project{number}", encoder="lite")
        work = partial(import_paths, project, [paths[0].parent], progress=watch, workers=workers)
        before = time.process_time()
        alone = min(alone, timed(partial(read_all, paths, workers))[0])
        between = time.process_time()
        first = min(first, timed(work)[0])
        spent_alone = min(spent_alone, between - before)
        spent_first = min(spent_first, time.process_time() - between)
        again = min(again, timed(work)[0])
        project.close()
    size = sum(path.stat().st_size for path in paths) / case.count / 1e3
    rates = [f"{case.count / seconds:,.0f}/s" for seconds in (alone, first, again)]
    return [
        f"{case.count:,} {case.name}",
        f"{size:,.0f}",
        *rates[:2],
        f"{alone / first:.2f}",
        f"{spent_alone / spent_first:.2f}",
        f"≥ {TARGET}",
        rates[2],
        *(f"{value:.0f}" for value in (held[0], held[-1])),
    ]


def cases(small: int, large: int) -> Iterator[Case]:
    for count, sides, pixels in ((small, SMALL, "256–512 px"), (large, LARGE, "2000 px")):
        if count:
            yield Case(f"JPEG, {pixels}", count, sides, ".jpg")
            yield Case(f"PNG, {pixels}", max(1, count // 10), sides, ".png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", type=int, default=20_000, help="JPEGs of 256 to 512 pixels")
    parser.add_argument("--large", type=int, default=500, help="JPEGs of 2000 x 2000 pixels")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=1, help="the best of so many runs counts")
    given = parser.parse_args()
    print(f"{machine()}; {given.workers} threads\n")
    # All is removed at the end only: a file system may be slow to make files for minutes after
    # thousands were removed (ext4 without a journal leaves their places alone and looks at each).
    with tempfile.TemporaryDirectory() as temporary:
        lines = [
            measure(Path(temporary) / str(number), case, given.workers, given.repeats)
            for number, case in enumerate(cases(given.small, given.large))
        ]
    print(table(HEAD, lines))


if __name__ == "__main__":
    main()
