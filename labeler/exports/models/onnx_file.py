"""Export the active version's head as an ONNX file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import db.images.embeddings
import db.versions.predictions
from db.records import EncoderRecord, Version
from labeler.core.files.export_writer import ExportWriter
from labeler.core.files.tables import plain_text
from labeler.core.project import Project
from labeler.exports.models.safetensors_pair import checked_threshold
from labeler.exports.models.target import active_version, encoder_record, shown_encoder, target
from labeler.versions.model_files import head_path
from model.encoders.stored_preprocessing import validated_preprocessing

SUFFIX = ".onnx"
SAMPLE_SIZE = 256  # embeddings


def export_onnx(project: Project, out: Path, writer: ExportWriter) -> list[Path]:
    """Write the head to OUT if that ends with .onnx, else into the folder OUT; return its path.

    Raises `BadInput` without a version; `ModelError` where a package is missing, or where the
    scores of stored embeddings differ from the head's: then nothing is written.
    """
    # Imported where they are used: torch takes seconds to load; the Export page does without.
    from model.heads.head_files import load_head
    from model.heads.onnx_export import head_to_onnx

    version = active_version(project)
    record = encoder_record(project, version)
    file = target(project, version, out, SUFFIX)
    writer.check(file)
    metadata = _metadata(project, version, record)
    head = load_head(head_path(project, version), record.width).head
    writer.write(file, head_to_onnx(head, _sample(project, version, record), metadata))
    return [file]


def _sample(project: Project, version: Version, record: EncoderRecord) -> NDArray[np.float32]:
    """Return some stored embeddings (n, width), raw; random ones if none are stored."""
    ids = db.versions.predictions.predictions(project.store, version.id).image_ids
    chosen = ids[np.linspace(0, len(ids) - 1, min(len(ids), SAMPLE_SIZE)).astype(int)]
    _, vectors = db.images.embeddings.get(project.store, record.id, chosen)
    if len(vectors):
        return vectors
    random = np.random.default_rng(0).normal(size=(SAMPLE_SIZE, record.width))
    return random.astype(np.float32)


def _metadata(project: Project, version: Version, record: EncoderRecord) -> dict[str, str]:
    """Return the file's metadata besides its shape."""
    facts = {
        "name": project.folder.name,
        "version": version.name,
        "encoder": shown_encoder(record.identity),
        "width": str(record.width),
        "normalised": json.dumps(record.normalised),  # of the embeddings that it takes
        "preprocessing": json.dumps(validated_preprocessing(record.preprocessing, record.identity)),
        "threshold": f"{checked_threshold(project):g}",
        "recipe": version.recipe,
    }
    return {name: plain_text(value) for name, value in facts.items()}
