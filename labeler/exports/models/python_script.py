"""Export the active version as one readable Python file, its weights and config beside.

The file (labeler/exports/models/score.py) is the same for every version: what is read from a
project goes into the config as data and is never written into source.
"""

from __future__ import annotations

from pathlib import Path

from labeler.core.errors import BadInput
from labeler.core.files.export_writer import ExportWriter
from labeler.core.project import Project
from labeler.exports.models.safetensors_pair import safetensors_pair
from labeler.exports.models.target import active_version, encoder_record, shown_encoder, target
from labeler.versions.model_files import CONFIG_SUFFIX, WEIGHTS_SUFFIX

SUFFIX = ".py"
_SCRIPT = Path(__file__).with_name("score.py")


def export_python(project: Project, out: Path, writer: ExportWriter) -> list[Path]:
    """Write the script and the version's pair of files beside it; return the paths, script first.

    OUT is the script's file if it ends with .py, else a folder. Raises `BadInput` without a
    version, where its files are missing, or for an encoder whose preprocessing isn't known;
    `ModelError` for files that are no head.
    """
    version = active_version(project)
    record = encoder_record(project, version)
    file = target(project, version, out, SUFFIX)
    pair = safetensors_pair(project, version)
    if not pair.preprocessing_complete:
        raise BadInput(
            f"How {shown_encoder(record.identity)} takes its pictures is not known here, since its "
            "embeddings came from elsewhere; embed a picture with it first: labeler embed"
        )
    files = {
        file: _SCRIPT.read_bytes(),
        file.with_name(f"{file.stem}{CONFIG_SUFFIX}"): pair.config,
        file.with_suffix(WEIGHTS_SUFFIX): pair.weights,
    }
    writer.write_all(files)
    return list(files)
