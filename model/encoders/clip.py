"""CLIP-like encoders of open_clip: a published tag or a local checkpoint, never random weights.

Only the image tower is kept. Two things that a checkpoint's file doesn't say decide what its
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
from model.encoders.fast_vit import shorten
from model.encoders.names import QUICK_GELU, is_local, split
from model.encoders.precision import Robust
from model.encoders.preprocessing import Framing
from model.encoders.torch_encoder import TorchEncoder, build
from model.errors import ModelError
from model.files.bounded import read_bounded
from model.files.bounded_json import parse_json

OPENAI_ENTRY = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "quick_gelu": True,
}
SCALING = ("mean", "std", "interpolation", "resize_mode")
AT_ONCE = 16
SHORTEST_TAG = 6  # tags below this length ("v1", "e32", "meta") turn up in paths by chance
CONFIG = "open_clip_config.json"  # what the model hub keeps beside the weights


@dataclass(frozen=True)
class Source:
    """Where weights come from, and what is known of them, as a pretrained entry of open_clip."""

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
    architecture, pretrained = split(identity)
    source = _local(architecture, Path(pretrained)) if is_local(pretrained) else None
    source = source or _published(identity, architecture, pretrained)
    tower, quick_gelu = _tower(architecture, source)
    return build(
        identity,
        Robust(tower),
        _framing(tower.tower, source.entry),
        device=device,
        precision=precision,
        at_once=AT_ONCE,
        fingerprint={"quick_gelu": quick_gelu, **source.fingerprint},
    )


class ImageTower(torch.nn.Module):
    """A model's image side; some return (embedding, tokens), of which only the first is wanted."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels (n, 3, size, size) → projected, unnormalised (n, width)."""
        embedded = self.tower(pixels)
        return embedded[0] if isinstance(embedded, tuple) else embedded


def _published(identity: str, architecture: str, tag: str) -> Source:
    from open_clip.pretrained import get_pretrained_cfg

    entry = get_pretrained_cfg(architecture, tag)
    if not entry:
        raise ModelError(_unknown_tag(architecture, tag))
    try:
        path = _cached(entry) or _downloaded(entry)
    except Exception as error:  # whatever the network, the hub or the disk came up with
        raise ModelError(
            f"The weights of {identity} are not on this machine and can't be downloaded now; use "
            "--encoder lite, or download them elsewhere and name the file "
            f"(open_clip:{architecture}//PATH/TO/FILE), or point HF_HOME to a cache that has them."
        ) from error
    return Source(path, read_checkpoint(path), entry, {})


def _cached(entry: dict[str, Any]) -> Path | None:
    """The entry's file if the hub's cache has it: then the network isn't even asked."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    repository, _, name = entry.get("hf_hub", "").rpartition("/")
    names = [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME] if not name else []
    names = names or [str(Path(name).with_suffix(".safetensors")), name]
    held = [try_to_load_from_cache(repository, one) for one in names] if repository else []
    return next((Path(path) for path in held if isinstance(path, str)), None)


def _downloaded(entry: dict[str, Any]) -> Path:
    from huggingface_hub import constants, get_session
    from open_clip.pretrained import download_pretrained

    if entry.get("hf_hub"):
        # Without a network the download would try again for most of a minute; this says it at once.
        get_session().head(constants.ENDPOINT, timeout=10)
    with _quiet():
        return Path(download_pretrained(entry))


def _unknown_tag(architecture: str, tag: str) -> str:
    from open_clip.pretrained import list_pretrained_tags_by_model

    tags = list_pretrained_tags_by_model(architecture)
    known = f"it has {', '.join(tags[:8])}" if tags else "it has none: name a local checkpoint"
    return f"open_clip knows no weights {tag!r} for {architecture}; {known}."


def _local(architecture: str, path: Path) -> Source:
    checkpoint = read_checkpoint(path)
    entry = _entry_beside(path)
    if not entry:
        entry = OPENAI_ENTRY if checkpoint.from_openai else _entry_of_path(architecture, path)
    return Source(path, checkpoint, entry, {"weights": f"sha256:{content_digest(path)}"})


def _entry_beside(path: Path) -> dict[str, Any]:
    """From the config that the model hub keeps beside a checkpoint; {} without one."""
    config = path.parent / CONFIG
    try:
        held = parse_json(read_bounded(config)) if os.path.lexists(config) else {}
        scaling = held.get("preprocess_cfg", {})
        told = {key: scaling[key] for key in SCALING if scaling.get(key) is not None}
        known = {key: _scaling(key, value) for key, value in told.items()}
        quick_gelu = held["model_cfg"].get("quick_gelu", False) if held else False
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise ModelError(
            f"{config}, which describes {path.name}, can't be read; download it again or move "
            "the checkpoint to a folder of its own."
        ) from error
    return {**OPENAI_ENTRY, **known, "quick_gelu": bool(quick_gelu)} if held else {}


def _scaling(key: str, value: Any) -> Any:
    """What a config says of the scaling, as what it must be; raises `ValueError`, `TypeError`."""
    if key not in ("mean", "std"):
        if not isinstance(value, str):
            raise TypeError(f"{key} is no text")
        return value
    values = tuple(float(each) for each in value)
    if len(values) != 3 or not all(map(math.isfinite, values)) or (key == "std" and 0 in values):
        raise ValueError(f"{key} is not three numbers")
    return values


def _entry_of_path(architecture: str, path: Path) -> dict[str, Any]:
    """The published entry whose tag the path names, else the scaling that is usual for it."""
    from open_clip import pretrained

    plain = architecture.removesuffix(QUICK_GELU)
    entries = {
        tag: pretrained.get_pretrained_cfg(plain, tag)
        for tag in pretrained.list_pretrained_tags_by_model(plain)
    }
    words = "/".join(path.parts[-4:]).lower().replace("-", "_")
    named = [tag for tag in entries if len(tag) >= SHORTEST_TAG and tag in words]
    if named:
        return {"quick_gelu": False, **entries[max(named, key=len)]}
    usual = Counter(tuple(entry[key] for key in SCALING) for entry in entries.values())
    values = usual.most_common(1)[0][0] if usual else [OPENAI_ENTRY[key] for key in SCALING]
    return dict(zip(SCALING, values, strict=True))


def _tower(architecture: str, source: Source) -> tuple[ImageTower, bool]:
    """The image tower with the checkpoint's weights, every one of them, and its activation."""
    quick_gelu = _activation(architecture, source)
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
    # Before any is converted: many may be views of the same few numbers.
    if _shapes(image) != _shapes(tower.state_dict()):
        raise ModelError(
            f"The weights in {source.path} are not those of a {architecture}; name the "
            "architecture that they were saved from: open_clip:MODEL/…"
        )
    plain = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in image.items()
    }
    tower.load_state_dict(plain, strict=True, assign=True)
    shorten(tower)
    return ImageTower(tower), quick_gelu


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _activation(architecture: str, source: Source) -> bool:
    """Whether to compute with QuickGELU. What is known of the weights beats the name."""
    by_name = architecture.endswith(QUICK_GELU)
    by_weights = bool(source.entry.get("quick_gelu", by_name))
    if by_name and not by_weights:
        raise ModelError(
            f"The weights in {source.path} were trained without QuickGELU; use "
            f"open_clip:{architecture.removesuffix(QUICK_GELU)}/{source.path}"
        )
    return by_weights


def _empty_tower(architecture: str, quick_gelu: bool) -> torch.nn.Module:
    """The image tower without weights: shapes only, unless it computes tables while it is built."""
    import open_clip

    def built(device: str) -> torch.nn.Module:
        with _quiet(), torch.device(device):
            return open_clip.create_model(
                architecture, device=device, force_quick_gelu=quick_gelu
            ).visual

    try:
        tower = built("meta")
        kept = tower.state_dict().keys()
        tables = [name for name, _ in tower.named_buffers() if name not in kept]
        return built("cpu") if tables else tower
    except (RuntimeError, ImportError) as error:
        raise ModelError(
            f"open_clip can't build a {architecture} here ({str(error).splitlines()[0]}); "
            "use another encoder, such as clip-l14 or lite."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without open_clip's warning that the model is random: its weights come next.

    The handler that does nothing keeps `logging` from setting up the root logger on the way.
    """

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.module != "factory"

    root = logging.getLogger()
    nothing = logging.NullHandler()
    root.addFilter(elsewhere)
    root.addHandler(nothing)
    try:
        yield
    finally:
        root.removeHandler(nothing)
        root.removeFilter(elsewhere)


def _framing(tower: Any, entry: dict[str, Any]) -> Framing:
    size = tower.image_size
    sides = set(size) if isinstance(size, tuple | list) else {size}
    if len(sides) != 1 or entry["resize_mode"] not in ("shortest", "squash"):
        raise ModelError(
            f"Inputs of {size} pixels resized by {entry['resize_mode']!r} are not supported; "
            "use another encoder, such as clip-l14 or lite."
        )
    return Framing(
        int(sides.pop()),
        entry["resize_mode"],
        "bilinear" if entry["interpolation"] == "bilinear" else "bicubic",
        tuple(float(value) for value in entry["mean"]),  # type: ignore[arg-type]
        tuple(float(value) for value in entry["std"]),  # type: ignore[arg-type]
    )
