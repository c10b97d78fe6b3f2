"""The version, encoder and output file of every export of a model."""

from __future__ import annotations

from pathlib import Path

import db.images.embeddings
import db.versions.registry
from db.records import EncoderRecord, Version
from labeler.core.errors import BadInput
from labeler.core.project import Project
from model.encoders.names import OPEN_CLIP, is_local, split_name


def active_version(project: Project) -> Version:
    """Return the active version; raises `BadInput` if there is none."""
    version = db.versions.registry.active(project.store)
    if version is None:
        raise BadInput(f"{project.folder} has no version yet; make one with: labeler train")
    return version


def encoder_record(project: Project, version: Version) -> EncoderRecord:
    """Return the version's encoder; raises `BadInput` if it has no embeddings."""
    record = db.images.embeddings.encoder(project.store, version.encoder)
    if record is None:
        raise BadInput(f"No image was embedded with {version.encoder} yet; run: labeler embed")
    return record


def target(project: Project, version: Version, out: Path, suffix: str) -> Path:
    """Return `out` if it ends with `suffix`, else PROJECT-VERSION`suffix` in the folder `out`.

    Raises `BadInput` for a path in the project's folder of models.
    """
    named = out.suffix.lower() == suffix and not out.is_dir()
    # The project may be untrusted: a version's name must not lead to another folder.
    stem = f"{project.folder.name}-{version.name}".replace("/", "_").replace("\\", "_")
    file = out if named else out / f"{stem}{suffix}"
    if file.parent.resolve() == project.models.resolve():
        raise BadInput(f"{out} is where the project keeps its versions; choose another folder.")
    if file.is_dir():
        raise BadInput(f"{file} is a folder; name another file.")
    return file


def shown_encoder(identity: str) -> str:
    """Return the encoder's name to publish: of a local checkpoint only the file's name."""
    if not identity.startswith(OPEN_CLIP):
        return identity
    architecture, pretrained = split_name(identity)
    return (
        f"{OPEN_CLIP}{architecture}/{Path(pretrained).name if is_local(pretrained) else pretrained}"
    )
