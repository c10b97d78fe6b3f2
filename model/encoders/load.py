"""Load an encoder by its name."""

from __future__ import annotations

from model.encoders.encoder import Encoder, Normalised, Precision
from model.encoders.names import LITE, NORMALISED, canonical

# Imported where they are used: each encoder brings its own library, of which one is needed.


def load_encoder(name: str, device: str | None = None, precision: Precision = "auto") -> Encoder:
    """Load an encoder with its weights; `device` None takes CUDA where there is one.

    `auto` computes in bfloat16 where the processor has it and the embeddings agree with float32.
    Raises `ModelError` when the weights can't be had or don't fit.
    """
    identity = canonical(name)
    if identity.endswith(NORMALISED):
        raw = load_encoder(identity.removesuffix(NORMALISED), device, precision)
        return Normalised(raw, identity)
    # Each encoder's module imports timm or open_clip, which takes seconds: only the one asked for.
    if identity == LITE:
        from model.encoders.lite import load_lite

        return load_lite(device, precision)
    from model.encoders.clip import load_clip

    return load_clip(identity, device, precision)
