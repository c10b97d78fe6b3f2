"""All benchmarks one after the other, each in a process of its own: `make bench`.

`loop.py` needs labelled images and is left out; see benchmarks/README.md for its command.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
COMMANDS = (
    ["training.py"],
    ["scoring.py"],
    ["keeping.py"],
    ["embedding.py"],
    ["importing.py"],
    ["store.py"],
    ["app.py"],
    ["reviewing_page.py"],
)


def main() -> None:
    # As the product sets it for itself, which is too late where numpy comes first.
    environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
    for name, *words in COMMANDS:
        print(f"\n== {' '.join([name, *words])}", flush=True)
        command = [sys.executable, str(HERE / name), *words]
        subprocess.run(command, cwd=HERE.parent, env=environment, check=True)


if __name__ == "__main__":
    main()
