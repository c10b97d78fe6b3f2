"""Adopting somebody else's head: a published file becomes a version like one's own.

It is converted once to a file of ours, which alone is read from then on. It has seen none of the
project's hand scores: all of them may judge it, and reviewing it needs none.
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
    """Add the head in `path` as a version, and let it predict all embedded images.

    `name` is that of the file without it; `encoder` says whose embeddings it reads where the file
    implies another or none, `scale` what its worst and best outputs are, `label` which class is the
    score where it has several. `activate` None makes it the active one where none is active yet.
    Raises `ModelError` for a file that is no head, `BadInput` if the rest doesn't fit; what passes
    through from `progress` leaves a version that goes on predicting when it is made active.
    """
    # Imported where they are used: torch takes seconds to load; pages import this module.
    from model.heads.published_files import read_published

    name = _free_name(project, path, name)
    found = read_published(path)
    record = _encoder(project, found, encoder)
    head = found.head(scale, label)
    new = _described(project, name, found, head, record=record, label=label, note=note)
    is_first = db.versions.registry.active(project.store) is None
    version = _keep(project, record, new, head, is_first and activate is not False)
    if activate:
        return make_active(project, name, progress=progress)
    predict_stored(project, version, progress)
    return version


def name_of(path: Path) -> str:
    """What a version from this file is called unless somebody says otherwise."""
    stem = path.name
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending)
    plain = re.sub(r"[^\w.+-]+", "-", stem).lstrip("_.+-")[:LONGEST_NAME] or "head"
    return f"head-{plain}" if _OWN_NAME.fullmatch(plain) else plain


def _free_name(project: Project, path: Path, given: str | None) -> str:
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


def _encoder(project: Project, found: PublishedHeadFile, given: str | None) -> EncoderRecord:
    """The project's encoder, of which the head must be; raises `BadInput` if it is not."""
    own, named = project.encoder, given or found.encoder
    file, width = readable_name(Path(found.file)), found.features
    if named is None:
        raise BadInput(
            f"{file} doesn't tell whose embeddings of {width} values it reads; say so with "
            f"--encoder (this project's is {own})."
        )
    if not _same(canonical(named), own, any_length=found.normalise):
        known = "" if given else f", or say --encoder {own} if it was trained on those"
        raise BadInput(
            f"{file} reads embeddings by {canonical(named)}, and this project's are by {own}; use "
            f"it in a project of its encoder (labeler init DIR --encoder {named}){known}."
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


def _same(named: str, own: str, *, any_length: bool) -> bool:
    """Whether a head of the encoder `named` can read embeddings by `own`.

    One that normalises by itself (`any_length`) reads raw and normalised ones alike.
    """
    if any_length:
        named, own = named.removesuffix(NORMALISED), own.removesuffix(NORMALISED)
    return named == own


def _described(
    project: Project,
    name: str,
    found: PublishedHeadFile,
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
            "kind": found.kind,
            "file": readable_name(Path(found.file)),
            "normalise": found.normalise,
            "scale": [low, high],
            "label": label,
        },
        note=note,
    )


def _keep(
    project: Project, record: EncoderRecord, new: NewVersion, head: AnyHead, activate: bool
) -> Version:
    from labeler.versions.files import create_files, head_metadata
    from model.heads.head_files import save_head

    with create_files(project, new) as path:
        name = str(new.settings["kind"])
        metadata = head_metadata(record, new)
        save_head(path, head, name=name, rev=new.name, metadata=metadata, write=atomic_write_bytes)
        return db.versions.registry.add(project.store, new, activate)
