"""Find a version's files, and load its second opinion: numpy only, so that pages can use it too."""

from __future__ import annotations

from pathlib import Path

import db.images.embeddings
from db.records import Version
from db.store.regular_files import NotPlain, check_file
from labeler.core.project import Project
from model.errors import ModelError
from model.estimators.kernel_ordinal import KernelOrdinal

WEIGHTS_SUFFIX, CONFIG_SUFFIX, SECOND_OPINION_SUFFIX = (
    ".safetensors",
    ".config.json",
    ".opinion.npz",
)


def second_opinion_path(head: Path) -> Path:
    """Return the path of the second opinion beside a head, given with or without its suffix."""
    stem = head.with_suffix("") if head.suffix == WEIGHTS_SUFFIX else head
    return stem.with_name(f"{stem.name}{SECOND_OPINION_SUFFIX}")


def head_path(project: Project, version: Version) -> Path:
    """Return the path of the version's weights in the project.

    Raises `ModelError` if it, or a file beside it, is a link or outside of the project's models.
    """
    name = version.file
    if Path(name).name != name or not name.endswith(WEIGHTS_SUFFIX) or "\0" in name:
        raise ModelError(
            f"{version.name} names {name!r} as its file, which is no file of its project; train a "
            "version again."
        )
    path = project.models / name
    try:
        for file in (
            path,
            path.with_name(f"{path.stem}{CONFIG_SUFFIX}"),
            second_opinion_path(path),
        ):
            check_file(file)
    except NotPlain as error:
        raise ModelError(error.sentence()) from error
    return path


def load_second_opinion(project: Project, version: Version) -> KernelOrdinal:
    """Load the version's second opinion.

    Raises `ModelError` if the file is missing, broken, of an earlier kind, or for embeddings of
    another width than the stored ones.
    """
    path = second_opinion_path(head_path(project, version))
    modified = path.stat().st_mtime_ns if path.is_file() else 0
    opinion = project.cache.get(
        "second opinion", path, modified, lambda: KernelOrdinal.load(path), newest=2
    )
    record, width = (
        db.images.embeddings.encoder(project.store, version.encoder),
        opinion.landmarks.shape[1],
    )
    if record is not None and record.width != width:
        raise ModelError(
            f"{path.name} reads embeddings of {width} values, but these have {record.width}; train "
            "a version again."
        )
    return opinion
