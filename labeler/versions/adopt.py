"""Adopting a published head: its file becomes a version like the trained ones.

The file is converted once; later only the converted file is read. The head was not trained on the
project's hand scores, so all of them can evaluate it, and reviewing it needs none.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import db.images.embeddings
import db.versions.registry
from db.records import FOREIGN, EncoderRecord, NewVersion, Version
from labeler.core.errors import BadInput
from labeler.core.files.atomic import atomic_write_bytes
from labeler.core.files.names import readable_name
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.versions.activate import activate as make_active
from labeler.versions.activate import predict_stored
from model.encoders.names import NORMALISED, canonical

if TYPE_CHECKING:
    from model.heads.published_files import PublishedHeadFile
    from model.heads.published_heads import AnyHead

LONGEST_NAME = 50  # characters: a file's name must hold it
_NAME = re.compile(rf"[^\W_][\w.+-]{{0,{LONGEST_NAME - 1}}}")
_OWN_NAME = re.compile(r"v\d+\.\d+", re.IGNORECASE)
_ENDINGS = (".safetensors", ".config.json", ".pth", ".pt", ".ckpt", ".bin")


def adopt(
    project: Project,
    path: Path,
    *,
    name: str | None = None,
    encoder: str | None = None,
    scale: tuple[float, float] | None = None,
    label: str | None = None,
    note: str = "",
    activate: bool | None = None,
    progress: Progress = silent,
) -> Version:
    """Add the head in `path` as a version and predict all embedded images.

    `name` defaults to the file's name. `encoder` names the encoder if the file implies another or
    none, `scale` gives the worst and best outputs, `label` the class that is the score if there are
    several. With `activate` None it becomes active if no version is. Raises `ModelError` for a file
    that is no head, `BadInput` for a name, encoder or width that doesn't fit. After an exception of
    `progress` the version stays and continues to predict when it is activated.
    """
    # Imported where they are used: torch takes seconds to load; pages import this module.
    from model.heads.published_files import read_published

    name = _free_name(project, path, name)
    published = read_published(path)
    record = _encoder(project, published, encoder)
    head = published.head(scale, label)
    new = _new_version(project, name, published, head, record=record, label=label, note=note)
    is_first = db.versions.registry.active(project.store) is None
    version = _save(project, record, new, head, is_first and activate is not False)
    if activate:
        return make_active(project, name, progress=progress)
    predict_stored(project, version, progress)
    return version


def name_of(path: Path) -> str:
    """Return the default name of a version from this file."""
    stem = path.name
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending)
    name = re.sub(r"[^\w.+-]+", "-", stem).lstrip("_.+-")[:LONGEST_NAME] or "head"
    return f"head-{name}" if _OWN_NAME.fullmatch(name) else name


def _free_name(project: Project, path: Path, given: str | None) -> str:
    """Return the version's name; raises `BadInput` if it is invalid or in use."""
    name = name_of(path) if given is None else given
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} can't be a version's name: it is made of letters, digits and . _ + - "
            f"({LONGEST_NAME} at most), the first a letter or digit."
        )
    if _OWN_NAME.fullmatch(name):
        raise BadInput(
            f"{name} is how versions that are trained here are called; choose another --name."
        )
    for version in db.versions.registry.history(project.store):
        # Some disks hold "A" and "a" for the same file's name.
        if version.name.casefold() == name.casefold():
            raise BadInput(
                f"There is a version {version.name} already; choose another with --name."
            )
    return name


def _encoder(project: Project, published: PublishedHeadFile, name: str | None) -> EncoderRecord:
    """Return the record of the project's encoder; raises `BadInput` if the head has another."""
    own, named = project.encoder, name or published.encoder
    file, width = readable_name(Path(published.file)), published.features
    if named is None:
        raise BadInput(
            f"{file} doesn't tell whose embeddings of {width} values it reads; say so with "
            f"--encoder (this project's is {own})."
        )
    if not _is_compatible(canonical(named), own, any_length=published.normalise):
        advice = "" if name else f", or say --encoder {own} if it was trained on those"
        raise BadInput(
            f"{file} reads embeddings by {canonical(named)}, and this project's are by {own}; use "
            f"it in a project of its encoder (labeler init DIR --encoder {named}){advice}."
        )
    record = db.images.embeddings.encoder(project.store, own)
    if record is None:
        raise BadInput(f"No image was embedded with {own} yet; run: labeler embed")
    if record.width != width:
        raise BadInput(
            f"{file} reads embeddings of {width} values, and those by {own} have {record.width}: "
            "it was trained on another encoder's. Choose another file."
        )
    return record


def _is_compatible(named: str, own: str, *, any_length: bool) -> bool:
    """Return whether a head for the encoder `named` can take embeddings by `own`.

    A head that normalises its input (`any_length`) takes raw and normalised embeddings.
    """
    if any_length:
        named, own = named.removesuffix(NORMALISED), own.removesuffix(NORMALISED)
    return named == own


def _new_version(
    project: Project,
    name: str,
    published: PublishedHeadFile,
    head: AnyHead,
    *,
    record: EncoderRecord,
    label: str | None,
    note: str,
) -> NewVersion:
    from model.heads.published_heads import PublishedHead

    low, high = head.scale if isinstance(head, PublishedHead) else (0.0, 1.0)
    return NewVersion(
        name=name,
        parent=None,
        encoder=record.identity,
        recipe=FOREIGN,
        threshold=project.threshold,
        file=f"{name}.safetensors",
        scored_ids=np.zeros(0, dtype=np.int64),
        scored_values=np.zeros(0),
        settings={
            "kind": published.kind,
            "file": readable_name(Path(published.file)),
            "normalise": published.normalise,
            "scale": [low, high],
            "label": label,
        },
        note=note,
    )


def _save(
    project: Project, record: EncoderRecord, new: NewVersion, head: AnyHead, activate: bool
) -> Version:
    from labeler.versions.files import create_files, head_metadata
    from model.heads.head_files import save_head

    with create_files(project, new) as path:
        name = str(new.settings["kind"])
        metadata = head_metadata(record, new)
        save_head(path, head, name=name, rev=new.name, metadata=metadata, write=atomic_write_bytes)
        return db.versions.registry.add(project.store, new, activate)
