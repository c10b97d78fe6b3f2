"""What every export of the model asks first: which version, whose embeddings, into which file."""

from __future__ import annotations

from pathlib import Path

import db.images.embeddings
import db.versions.registry
from db.records import EncoderRecord, Version
from labeler.core.errors import BadInput
from labeler.core.project import Project
from model.encoders.names import OPEN_CLIP, is_local, split_name


def active_version(project: Project) -> Version:
    """Raises `BadInput` where there is none."""
    version = db.versions.registry.active(project.store)
    if version is None:
        raise BadInput(f"{project.folder} has no version yet; make one with: labeler train")
    return version


def encoder_record(project: Project, version: Version) -> EncoderRecord:
    """The encoder whose embeddings the version reads."""
    record = db.images.embeddings.encoder(project.store, version.encoder)
    if record is None:
        raise BadInput(f"No image was embedded with {version.encoder} yet; run: labeler embed")
    return record


def target(project: Project, version: Version, out: Path, suffix: str) -> Path:
    """OUT itself if it ends with `suffix`, else PROJECT-VERSION`suffix` in the folder OUT.

    Raises `BadInput` for a place among the project's own models.
    """
    named = out.suffix.lower() == suffix and not out.is_dir()
    # The project may be somebody else's: what it calls a version leads to no other folder.
    stem = f"{project.folder.name}-{version.name}".replace("/", "_").replace("\\", "_")
    file = out if named else out / f"{stem}{suffix}"
    if file.parent.resolve() == project.models.resolve():
        raise BadInput(f"{out} is where the project keeps its versions; choose another folder.")
    if file.is_dir():
        raise BadInput(f"{file} is a folder; name another file.")
    return file


def shown_encoder(identity: str) -> str:
    """The encoder's name for other people: of a checkpoint on this machine only the file's name."""
    if not identity.startswith(OPEN_CLIP):
        return identity
    architecture, pretrained = split_name(identity)
    return (
        f"{OPEN_CLIP}{architecture}/{Path(pretrained).name if is_local(pretrained) else pretrained}"
    )
