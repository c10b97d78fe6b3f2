"""What an encoder is, and an encoder whose embeddings all have length 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model.estimators.kernels import normalize

if TYPE_CHECKING:
    from PIL import Image

Precision = Literal["auto", "float32", "bfloat16"]


class Encoder(Protocol):
    """Turns images into embeddings: projected where the model projects.

    They are divided by their length only if the name ends with `/normalised`.

    `identity` is the canonical name; `preprocessing` holds, in plain JSON values, whatever else
    decides what the numbers mean (input size, scaling, the checkpoint's content).
    """

    @property
    def identity(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def normalised(self) -> bool: ...
    @property
    def preprocessing(self) -> dict[str, Any]: ...

    def prepare(self, image: Image.Image) -> NDArray[Any]:
        """Return the input for one RGB image, without a batch dimension. Thread-safe."""
        ...

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Embed stacked inputs (n, …) as float32 (n, width); n may be 0."""
        ...


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
        """See `Encoder`."""
        return self._encoder.prepare(image)

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """See `Encoder`; a row of zeros stays."""
        return normalize(self._encoder.encode(batch))
