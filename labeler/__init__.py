"""The workflow: what the command line and the pages both call, on top of `model/` and `db/`.

In notebooks and scripts: `from labeler import Project, Predictor` (labeler/api.py).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labeler.api import Predictor, Project

__all__ = ["Predictor", "Project"]

# What processes of ours are started with. Kept before anything else is imported: what comes into
# `os.environ` later may be a library's doing (Streamlit puts secrets there), not the person's.
STARTED_WITH = dict(os.environ)

# One thread for numpy's matrices: its waiting threads spin, which costs more than they bring as
# soon as anything else runs. Set before anything imports numpy (see model/__init__.py).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def __getattr__(name: str) -> Any:
    # Only when asked for: the commands answer at once because nothing heavy is imported here.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from labeler import api

    return getattr(api, name)
