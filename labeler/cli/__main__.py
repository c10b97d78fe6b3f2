"""`python -m labeler.cli` is the `labeler` command; background runs are started this way.

Python looks for modules in the current folder first when it is started like that. It may be a
received one, with a torch.py in it, so it is left out as soon as this program is found.
"""

from __future__ import annotations

import sys
from pathlib import Path

CODE = Path(__file__).resolve().parents[2]
if not sys.flags.safe_path and sys.path and Path(sys.path[0]).resolve() != CODE:
    del sys.path[0]

from labeler.cli.main import main  # noqa: E402  (after the current folder is out of the way)

main()
