"""List the forms in which a model is exported, and export it in one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from labeler.core.errors import BadInput
from labeler.core.files.export_writer import ExportWriter
from labeler.core.jobs import child_process
from labeler.core.project import Project


@dataclass(frozen=True, slots=True)
class ModelKind:
    """One form; `maker` is "module:function" of (project, OUT, writer) → paths of the files.

    `is_heavy`: it loads torch, which a page must not.
    """

    name: str
    label: str
    purpose: str
    maker: str
    is_heavy: bool = False


MODEL_KINDS = {
    kind.name: kind
    for kind in (
        ModelKind(
            "model",
            "Weights and config",
            "The weights as safetensors and the config beside them: what CityAesthetics reads.",
            "labeler.exports.models.safetensors_pair:export_model",
            is_heavy=True,
        ),
        ModelKind(
            "onnx",
            "ONNX",
            "One file for any ONNX runtime: raw embeddings in, scores from 0 to 1 out. It is tried "
            "on your own embeddings before you get it.",
            "labeler.exports.models.onnx_file:export_onnx",
            is_heavy=True,
        ),
        ModelKind(
            "python",
            "Python script",
            "A short script that scores images, and the weights beside it: it runs without this "
            "program and is there to be read and changed.",
            "labeler.exports.models.python_script:export_python",
            is_heavy=True,
        ),
        ModelKind(
            "model-card",
            "Model card",
            "What the model is for, how it came about and how good it is, in Markdown, with its "
            "loss curve and its best images as pictures.",
            "labeler.exports.models.model_card:export_model_card",
        ),
    )
}


def model_kind(name: str) -> ModelKind:
    """Return the form named `name`; raises `BadInput` if there is none."""
    if name not in MODEL_KINDS:
        raise BadInput(f"There is no model as {name}; there are {', '.join(MODEL_KINDS)}.")
    return MODEL_KINDS[name]


def export_as(project: Project, name: str, out: Path, *, force: bool = False) -> list[Path]:
    """Write the active version as the kind `name` to OUT; return the paths of the files.

    Files that are not as an earlier export left them are replaced only by `force`. Raises
    `BadInput` for those and without a version, `ModelError` for a version that can't be loaded, and
    `OSError` where it can't be written.
    """
    module, _, function = model_kind(name).maker.partition(":")
    export: Callable[[Project, Path, ExportWriter], list[Path]]
    export = getattr(import_module(module), function)
    return export(project, out, ExportWriter.of(project, force=force))


def export_in_subprocess(project: Project, name: str, out: Path, *, force: bool = False) -> None:
    """Do `export_as` for the folder OUT, in a process of its own if the kind loads torch."""
    if not model_kind(name).is_heavy:
        export_as(project, name, out, force=force)
        return
    child_process.run_command(
        project, "export", name, *(["--force"] if force else []), "--", str(out)
    )
