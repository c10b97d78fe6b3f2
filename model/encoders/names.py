"""The names of encoders and what a name alone tells; no torch, so that checking one is cheap."""

from __future__ import annotations

import difflib
import importlib.util
import json
from pathlib import Path

from model.errors import ModelError

LITE = "lite"
OPEN_CLIP = "open_clip:"
QUICK_GELU = "-quickgelu"
# After any name: its embeddings divided by their lengths, as clip-retrieval keeps them.
NORMALISED = "/normalised"
LITE_WIDTH = 1280
SHORT_NAMES = {
    "clip-l14-336": "open_clip:ViT-L-14-336-quickgelu/openai",
    "clip-l14": "open_clip:ViT-L-14-quickgelu/openai",
    "clip-b32": "open_clip:ViT-B-32-quickgelu/openai",
}
CHECKPOINT_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors", ".ckpt")


def canonical(name: str) -> str:
    """Return the one spelling of an encoder's name, as the store keeps it.

    'clip-l14' → 'open_clip:ViT-L-14-quickgelu/openai'; a local checkpoint gets its absolute path,
    and '/normalised' at the end stays there.
    Raises `ModelError` for unknown names; doesn't check whether the weights can be had.
    """
    name = name.strip()
    if name.endswith(NORMALISED):
        end = len(name)
        while name.endswith(NORMALISED, 0, end):
            end -= len(NORMALISED)
        return canonical(name[:end]).removesuffix(NORMALISED) + NORMALISED
    if name == LITE:
        return LITE
    if name in SHORT_NAMES:
        return SHORT_NAMES[name]
    if not name.startswith(OPEN_CLIP):
        raise ModelError(
            f"There is no encoder named {name!r}; use {LITE}, {', '.join(SHORT_NAMES)}, "
            "or open_clip:MODEL/PRETRAINED."
        )
    architecture, pretrained = split_name(name)
    _check_architecture(architecture)
    if is_local(pretrained):
        pretrained = str(Path(pretrained).expanduser().resolve())
    else:
        pretrained = pretrained.lower().replace("-", "_")
    if pretrained == "openai" and not architecture.endswith(QUICK_GELU):
        architecture += QUICK_GELU
        _check_architecture(architecture)
    return f"{OPEN_CLIP}{architecture}/{pretrained}"


def split_name(name: str) -> tuple[str, str]:
    """Return (MODEL, PRETRAINED) of 'open_clip:MODEL/PRETRAINED'; PRETRAINED may hold slashes."""
    architecture, _, pretrained = name.removeprefix(OPEN_CLIP).partition("/")
    if not architecture or not pretrained:
        raise ModelError(
            f"{name!r} doesn't name its weights; write open_clip:MODEL/PRETRAINED, PRETRAINED "
            "being a tag such as openai or the path of a checkpoint."
        )
    return architecture, pretrained


def is_local(pretrained: str) -> bool:
    """Return whether PRETRAINED is a checkpoint's path rather than a tag."""
    looks_like_path = any(mark in pretrained for mark in "/\\~")
    return looks_like_path or pretrained.lower().endswith(CHECKPOINT_SUFFIXES)


def known_width(identity: str) -> int | None:
    """Return the width of this encoder's embeddings, `None` if only loading it tells."""
    raw_name = identity.removesuffix(NORMALISED)
    if raw_name == LITE:
        return LITE_WIDTH
    config = _architectures().get(split_name(raw_name)[0])
    try:
        settings = json.loads(config.read_text(encoding="utf-8")) if config else {}
        return int(settings["embed_dim"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_architecture(architecture: str) -> None:
    architectures = _architectures()
    if architectures and architecture not in architectures:
        matches = difflib.get_close_matches(architecture, sorted(architectures), n=3)
        hint = f"did you mean {' or '.join(matches)}?" if matches else "ViT-B-32 is one it knows."
        raise ModelError(f"open_clip has no architecture named {architecture!r}; {hint}")


def _architectures() -> dict[str, Path]:
    """Return the config file of each architecture of the installed open_clip; imports neither."""
    spec = importlib.util.find_spec("open_clip")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return {
        path.stem: path
        for folder in folders
        for path in Path(folder, "model_configs").glob("*.json")
    }
