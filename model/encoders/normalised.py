"""An encoder whose embeddings all have length 1, as many published collections keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

    from model.encoders.names import Encoder


class Normalised:
    """Another encoder, each of its embeddings divided by its length."""

    normalised = True

    def __init__(self, encoder: Encoder, identity: str) -> None:
        self.identity = identity
        self._encoder = encoder
        self.device = getattr(encoder, "device", None)

    @property
    def width(self) -> int:
        return self._encoder.width

    @property
    def preprocessing(self) -> dict[str, Any]:
        return self._encoder.preprocessing

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        return self._encoder.prepare(image)

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        raw = self._encoder.encode(batch)
        lengths = np.linalg.norm(raw, axis=1, keepdims=True)
        return raw / np.maximum(lengths, np.float32(1e-12))
