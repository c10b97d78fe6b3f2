"""The active version as the pair of files that CityAesthetics reads: weights and their config."""

from __future__ import annotations

import shutil
from pathlib import Path

from labeler.errors import BadInput
from labeler.exports.model_place import active_version, target
from labeler.opinions import head_path
from labeler.project import Project
from labeler.whole_files import whole_file

WEIGHTS_SUFFIX, CONFIG_SUFFIX = ".safetensors", ".config.json"


def own_files(project: Project) -> tuple[Path, Path]:
    """Where the project keeps the active version's weights and config; raises `BadInput` without a
    version, or where one of them is gone.
    """
    weights = head_path(project, active_version(project))
    config = weights.with_name(f"{weights.name.removesuffix(WEIGHTS_SUFFIX)}{CONFIG_SUFFIX}")
    for file in (config, weights):
        if not file.is_file():
            raise BadInput(f"{file} is gone; put it back, or train again with: labeler train")
    return weights, config


def export_model(project: Project, out: Path) -> list[Path]:
    """Write the pair, replacing an older one, and return both, the config first.

    OUT is the weights' file if it ends with .safetensors, else a folder. Raises `BadInput` without
    a version, where its files are gone, or where OUT lies among the project's own models; `OSError`
    where it can't write.
    """
    place = target(project, active_version(project), out, WEIGHTS_SUFFIX)
    weights, config = own_files(project)
    beside = place.with_name(f"{place.name.removesuffix(place.suffix)}{CONFIG_SUFFIX}")
    for source, copy in ((config, beside), (weights, place)):
        with whole_file(copy) as scratch:
            shutil.copyfile(source, scratch)
    return [beside, place]
