"""The workflow: what the command line and the pages both call, on top of `model/` and `db/`.

In notebooks and scripts: `from labeler import Project, Predictor` (labeler/api.py).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Before anything else is imported, which may change the environment.
from labeler.core import environment  # noqa: F401

if TYPE_CHECKING:
    from labeler.api import Predictor, Project

__all__ = ["Predictor", "Project"]

# One thread for numpy's matrices: its waiting threads spin, which costs more than they bring as
# soon as anything else runs. Set before anything imports numpy (see model/__init__.py).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Imported where it is asked for: commands answer at once, for nothing heavy is imported here.
    from labeler import api

    return getattr(api, name)
