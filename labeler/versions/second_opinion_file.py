"""A version's second opinion, read from its file: numpy only, so that the pages may ask it too."""

from __future__ import annotations

from pathlib import Path

import db.images.embeddings
from db.records import Version
from db.store.regular_files import NotPlain, check_file
from labeler.core.project import Project
from model.errors import ModelError
from model.estimators.kernel_ordinal import KernelOrdinal

WEIGHTS, CONFIG, ENDING = ".safetensors", ".config.json", ".opinion.npz"


def second_opinion_path(head: Path) -> Path:
    """Where the second opinion lies beside a head, given with or without its ending."""
    stem = head.with_suffix("") if head.suffix == WEIGHTS else head
    return stem.with_name(f"{stem.name}{ENDING}")


def head_path(project: Project, version: Version) -> Path:
    """Where the project keeps the version's weights; raises `ModelError` where that, or a file
    that belongs to it, is a link or none of the project's own.
    """
    name = version.file
    if Path(name).name != name or not name.endswith(WEIGHTS) or "\0" in name:
        raise ModelError(
            f"{version.name} names {name!r} as its file, which is no file of its project; train a "
            "version again."
        )
    path = project.models / name
    try:
        for file in (path, path.with_name(f"{path.stem}{CONFIG}"), second_opinion_path(path)):
            check_file(file)
    except NotPlain as error:
        raise ModelError(error.sentence()) from error
    return path


def load_second_opinion(project: Project, version: Version) -> KernelOrdinal:
    """Raises `ModelError` if the file is not there, broken, of an earlier kind, or about embeddings
    of another width than those that are kept.
    """
    path = second_opinion_path(head_path(project, version))
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    opinion = project.cache.get(
        "second opinion", path, changed, lambda: KernelOrdinal.load(path), newest=2
    )
    known, width = (
        db.images.embeddings.encoder(project.store, version.encoder),
        opinion.landmarks.shape[1],
    )
    if known is not None and known.width != width:
        raise ModelError(
            f"{path.name} reads embeddings of {width} values, but these have {known.width}; train "
            "a version again."
        )
    return opinion
