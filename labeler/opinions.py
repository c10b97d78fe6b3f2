"""A version's second opinion, read from its file: numpy only, so that the pages may ask it too."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from db.records import Version
from labeler.project import Project
from model.opinion import Opinion

ENDING = ".opinion.npz"


def opinion_path(head: Path) -> Path:
    """Where the second opinion lies beside a head, given with or without its ending."""
    stem = head.with_suffix("") if head.suffix == ".safetensors" else head
    return stem.with_name(f"{stem.name}{ENDING}")


def load_opinion(project: Project, version: Version) -> Opinion:
    """Raises `ModelError` if the file is not there, broken or of an earlier kind."""
    path = opinion_path(project.models / version.file)
    return _load(path, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=2)
def _load(path: Path, _stamp: int) -> Opinion:
    return Opinion.load(path)
