"""Export the active version as the pair of files that CityAesthetics reads: weights and config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.records import EncoderRecord, Version
from labeler.core.errors import BadInput
from labeler.core.files.export_writer import ExportWriter
from labeler.core.project import Project
from labeler.exports.models.target import active_version, encoder_record, target
from labeler.versions.model_files import CONFIG_SUFFIX, WEIGHTS_SUFFIX, head_path
from model.encoders.stored_preprocessing import RESIZE_CROP_KEYS, validated_preprocessing


@dataclass(frozen=True, slots=True)
class SafetensorsPair:
    """The content of the two files.

    `preprocessing_complete` tells whether the config states all of the encoder's preprocessing.
    """

    config: bytes
    weights: bytes
    preprocessing_complete: bool


def version_files(project: Project) -> tuple[Path, Path]:
    """Return the paths of the active version's weights and config in the project.

    Raises `BadInput` without a version, or where one of them is missing.
    """
    weights = head_path(project, active_version(project))
    config = weights.with_name(f"{weights.name.removesuffix(WEIGHTS_SUFFIX)}{CONFIG_SUFFIX}")
    for file in (config, weights):
        if not file.is_file():
            raise BadInput(f"{file} is gone; put it back, or train again with: labeler train")
    return weights, config


def export_model(project: Project, out: Path, writer: ExportWriter) -> list[Path]:
    """Write the pair and return both, the config first.

    OUT is the weights' file if it ends with .safetensors, else a folder. Raises `BadInput` without
    a version, where its files are gone, or where OUT lies among the project's own models;
    `ModelError` for files that are no head; `OSError` where it can't write.
    """
    version = active_version(project)
    weights_path = target(project, version, out, WEIGHTS_SUFFIX)
    pair = safetensors_pair(project, version)
    config_path = weights_path.with_name(
        f"{weights_path.name.removesuffix(weights_path.suffix)}{CONFIG_SUFFIX}"
    )
    writer.write_all({config_path: pair.config, weights_path: pair.weights})
    return [config_path, weights_path]


def safetensors_pair(project: Project, version: Version) -> SafetensorsPair:
    """Build both files anew from the loaded and checked head, without anything else in them.

    Raises `BadInput` where they are missing, `ModelError` where they are no head of this encoder.
    """
    # Imported where they are used: torch takes seconds to load; the Export page does
    # without.
    from model.heads.head_files import head_bytes, load_head

    weights, _ = version_files(project)
    record = encoder_record(project, version)
    head = load_head(weights, record.width).head
    metadata = config_metadata(project, version, record)
    try:
        config, data = head_bytes(
            head, name=project.folder.name, rev=version.name, metadata=metadata
        )
    except ValueError as error:  # NaN, which is no JSON
        raise BadInput(
            f"What the project keeps of {version.name} holds a figure that is no number; train "
            "again with: labeler train"
        ) from error
    return SafetensorsPair(
        config, data, all(key in metadata["preprocessing"] for key in RESIZE_CROP_KEYS)
    )


def config_metadata(project: Project, version: Version, record: EncoderRecord) -> dict[str, Any]:
    """Return what the config states besides the head's shape.

    Raises `ModelError` for an impossible preprocessing.
    """
    return {
        "encoder": record.identity,
        "width": record.width,
        "normalised": record.normalised,
        "preprocessing": validated_preprocessing(record.preprocessing, record.identity),
        "recipe": version.recipe,
        "settings": version.settings,
        "threshold": checked_threshold(project),
        "scored_images": version.scored_count,
        "metrics": version.metrics,
        "note": version.note,
    }


def checked_threshold(project: Project) -> float:
    """Return the project's threshold, in (0, 1); raise `BadInput` if the stored one is invalid."""
    try:
        threshold = project.threshold
    except ValueError:
        threshold = 0.0
    if not 0 < threshold < 1:
        raise BadInput(
            f"{project.folder} keeps a threshold that is no number between 0 and 1; set it anew "
            "on the Train page, or run: labeler doctor --repair"
        )
    return threshold
