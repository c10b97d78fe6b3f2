"""CLIP-like encoders of open_clip: a published tag or a local checkpoint, never random weights.

Only the image tower is kept. Two things that a checkpoint's file doesn't tell decide what its
embeddings mean: the activation (OpenAI's weights need QuickGELU) and the scaling of the pixels.
Both come from the published entry where there is one, for a local file from the config beside it,
or from the entry that its path names; they are part of the encoder's `preprocessing`.
"""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model.checkpoints.read import Checkpoint, content_digest, read_checkpoint
from model.encoders import torchvision_import  # noqa: F401  (before open_clip)
from model.encoders.encoder import Precision
from model.encoders.fast_vit import speed_up
from model.encoders.names import QUICK_GELU, is_local, split_name
from model.encoders.precision import LowPrecision
from model.encoders.preprocessing import ResizeCrop
from model.encoders.torch_encoder import TorchEncoder, build_encoder
from model.errors import ModelError
from model.files.bounded import read_bounded
from model.files.bounded_json import parse_json

# Imported where they are used: open_clip takes seconds to load, after torchvision_import.

# open_clip is imported inside functions, since torchvision_import must come before it.
OPENAI_ENTRY = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "quick_gelu": True,
}
SCALING_KEYS = ("mean", "std", "interpolation", "resize_mode")
BATCH_SIZE = 16
MIN_TAG_LENGTH = 6  # tags below this length ("v1", "e32", "meta") turn up in paths by chance
CONFIG = "open_clip_config.json"  # what the model hub keeps beside the weights


@dataclass(frozen=True)
class WeightsSource:
    """A file of weights, and its settings as a pretrained entry of open_clip has them."""

    path: Path
    checkpoint: Checkpoint
    entry: dict[str, Any]
    fingerprint: dict[str, Any]


def load_clip(
    identity: str, device: str | None = None, precision: Precision = "auto"
) -> TorchEncoder:
    """Load the encoder named by a canonical identity.

    Raises `ModelError` when the weights can't be had, can't be read safely, or don't fit.
    """
    architecture, pretrained = split_name(identity)
    source = _local_source(architecture, Path(pretrained)) if is_local(pretrained) else None
    source = source or _published_source(identity, architecture, pretrained)
    tower, quick_gelu = _loaded_tower(architecture, source)
    return build_encoder(
        identity,
        LowPrecision(tower),
        _resize_crop(tower.tower, source.entry),
        device=device,
        precision=precision,
        batch_size=BATCH_SIZE,
        fingerprint={"quick_gelu": quick_gelu, **source.fingerprint},
    )


class ImageTower(torch.nn.Module):
    """A model's image side; of those that return (embedding, tokens) only the embedding."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map normalised pixels (n, 3, size, size) to projected, not normalised (n, width)."""
        embedded = self.tower(pixels)
        return embedded[0] if isinstance(embedded, tuple) else embedded


def _published_source(identity: str, architecture: str, tag: str) -> WeightsSource:
    from open_clip.pretrained import get_pretrained_cfg

    entry = get_pretrained_cfg(architecture, tag)
    if not entry:
        raise ModelError(_unknown_tag_message(architecture, tag))
    try:
        path = _cached_path(entry) or _downloaded_path(entry)
    except Exception as error:  # the network, the hub and the disk raise their own kinds
        raise ModelError(
            f"The weights of {identity} are not on this machine and can't be downloaded now; use "
            "--encoder lite, or download them elsewhere and name the file "
            f"(open_clip:{architecture}//PATH/TO/FILE), or point HF_HOME to a cache that has them."
        ) from error
    return WeightsSource(path, read_checkpoint(path), entry, {})


def _cached_path(entry: dict[str, Any]) -> Path | None:
    """Return the entry's file from the hub's cache, without asking the network; else None."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    repository, _, name = entry.get("hf_hub", "").rpartition("/")
    names = [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME] if not name else []
    names = names or [str(Path(name).with_suffix(".safetensors")), name]
    cached = [try_to_load_from_cache(repository, file) for file in names] if repository else []
    return next((Path(path) for path in cached if isinstance(path, str)), None)


def _downloaded_path(entry: dict[str, Any]) -> Path:
    from huggingface_hub import constants, get_session
    from open_clip.pretrained import download_pretrained

    if entry.get("hf_hub"):
        # Without a network the download would try again for most of a minute; this says it at once.
        get_session().head(constants.ENDPOINT, timeout=10)
    with _without_random_weights_warning():
        return Path(download_pretrained(entry))


def _unknown_tag_message(architecture: str, tag: str) -> str:
    from open_clip.pretrained import list_pretrained_tags_by_model

    tags = list_pretrained_tags_by_model(architecture)
    hint = f"it has {', '.join(tags[:8])}" if tags else "it has none: name a local checkpoint"
    return f"open_clip knows no weights {tag!r} for {architecture}; {hint}."


def _local_source(architecture: str, path: Path) -> WeightsSource:
    checkpoint = read_checkpoint(path)
    entry = _entry_beside(path)
    if not entry:
        entry = OPENAI_ENTRY if checkpoint.from_openai else _entry_of_path(architecture, path)
    return WeightsSource(path, checkpoint, entry, {"weights": f"sha256:{content_digest(path)}"})


def _entry_beside(path: Path) -> dict[str, Any]:
    """Return the entry by the config that the model hub keeps beside a checkpoint, else {}."""
    config = path.parent / CONFIG
    try:
        document = parse_json(read_bounded(config)) if os.path.lexists(config) else {}
        scaling = document.get("preprocess_cfg", {})
        given = {key: scaling[key] for key in SCALING_KEYS if scaling.get(key) is not None}
        validated = {key: _validated_scaling(key, value) for key, value in given.items()}
        quick_gelu = document["model_cfg"].get("quick_gelu", False) if document else False
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise ModelError(
            f"{config}, which describes {path.name}, can't be read; download it again or move "
            "the checkpoint to a folder of its own."
        ) from error
    return {**OPENAI_ENTRY, **validated, "quick_gelu": bool(quick_gelu)} if document else {}


def _validated_scaling(key: str, value: Any) -> Any:
    """Return a config's scaling value in its own type; raises `ValueError`, `TypeError`."""
    if key not in ("mean", "std"):
        if not isinstance(value, str):
            raise TypeError(f"{key} is no text")
        return value
    values = tuple(float(each) for each in value)
    if len(values) != 3 or not all(map(math.isfinite, values)) or (key == "std" and 0 in values):
        raise ValueError(f"{key} is not three numbers")
    return values


def _entry_of_path(architecture: str, path: Path) -> dict[str, Any]:
    """Return the published entry whose tag the path names, else the most common scaling."""
    from open_clip import pretrained

    base_name = architecture.removesuffix(QUICK_GELU)
    entries = {
        tag: pretrained.get_pretrained_cfg(base_name, tag)
        for tag in pretrained.list_pretrained_tags_by_model(base_name)
    }
    path_text = "/".join(path.parts[-4:]).lower().replace("-", "_")
    matches = [tag for tag in entries if len(tag) >= MIN_TAG_LENGTH and tag in path_text]
    if matches:
        return {"quick_gelu": False, **entries[max(matches, key=len)]}
    settings = Counter(tuple(entry[key] for key in SCALING_KEYS) for entry in entries.values())
    values = (
        settings.most_common(1)[0][0] if settings else [OPENAI_ENTRY[key] for key in SCALING_KEYS]
    )
    return dict(zip(SCALING_KEYS, values, strict=True))


def _loaded_tower(architecture: str, source: WeightsSource) -> tuple[ImageTower, bool]:
    """Return the image tower with all of the checkpoint's weights, and if it has QuickGELU."""
    quick_gelu = _uses_quick_gelu(architecture, source)
    image = {
        name.removeprefix("visual."): tensor
        for name, tensor in source.checkpoint.tensors.items()
        if name.startswith("visual.")
    }
    if not image:
        raise ModelError(
            f"{source.path} holds no image encoder as open_clip saves it; convert it, or name "
            "another file."
        )
    tower = _empty_tower(architecture, quick_gelu)
    if source.checkpoint.archive:  # archives also list constants that are no weights
        image = {name: tensor for name, tensor in image.items() if name in tower.state_dict()}
    # Checked before any is converted: many may be views of the same few numbers.
    if _shapes(image) != _shapes(tower.state_dict()):
        raise ModelError(
            f"The weights in {source.path} are not those of a {architecture}; name the "
            "architecture that they were saved from: open_clip:MODEL/…"
        )
    converted = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in image.items()
    }
    tower.load_state_dict(converted, strict=True, assign=True)
    speed_up(tower)
    return ImageTower(tower), quick_gelu


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _uses_quick_gelu(architecture: str, source: WeightsSource) -> bool:
    """Return whether to compute with QuickGELU; the weights' entry beats the name."""
    by_name = architecture.endswith(QUICK_GELU)
    by_weights = bool(source.entry.get("quick_gelu", by_name))
    if by_name and not by_weights:
        raise ModelError(
            f"The weights in {source.path} were trained without QuickGELU; use "
            f"open_clip:{architecture.removesuffix(QUICK_GELU)}/{source.path}"
        )
    return by_weights


def _empty_tower(architecture: str, quick_gelu: bool) -> torch.nn.Module:
    """Return the image tower without weights; on the CPU if it computes buffers, else on meta."""
    import open_clip

    def build(device: str) -> torch.nn.Module:
        with _without_random_weights_warning(), torch.device(device):
            return open_clip.create_model(
                architecture, device=device, force_quick_gelu=quick_gelu
            ).visual

    try:
        tower = build("meta")
        saved = tower.state_dict().keys()
        computed_buffers = [name for name, _ in tower.named_buffers() if name not in saved]
        return build("cpu") if computed_buffers else tower
    except (RuntimeError, ImportError) as error:
        raise ModelError(
            f"open_clip can't build a {architecture} here ({str(error).splitlines()[0]}); "
            "use another encoder, such as clip-l14 or lite."
        ) from error


@contextmanager
def _without_random_weights_warning() -> Iterator[None]:
    """Suppress open_clip's warning that the model has random weights: they are loaded next.

    The null handler keeps `logging` from configuring the root logger meanwhile.
    """

    def not_from_factory(record: logging.LogRecord) -> bool:
        return record.module != "factory"

    root = logging.getLogger()
    null_handler = logging.NullHandler()
    root.addFilter(not_from_factory)
    root.addHandler(null_handler)
    try:
        yield
    finally:
        root.removeHandler(null_handler)
        root.removeFilter(not_from_factory)


def _resize_crop(tower: Any, entry: dict[str, Any]) -> ResizeCrop:
    size = tower.image_size
    sides = set(size) if isinstance(size, tuple | list) else {size}
    if len(sides) != 1 or entry["resize_mode"] not in ("shortest", "squash"):
        raise ModelError(
            f"Inputs of {size} pixels resized by {entry['resize_mode']!r} are not supported; "
            "use another encoder, such as clip-l14 or lite."
        )
    return ResizeCrop(
        int(sides.pop()),
        entry["resize_mode"],
        "bilinear" if entry["interpolation"] == "bilinear" else "bicubic",
        tuple(float(value) for value in entry["mean"]),  # type: ignore[arg-type]
        tuple(float(value) for value in entry["std"]),  # type: ignore[arg-type]
    )
