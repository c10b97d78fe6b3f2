"""An encoder around torch modules: pictures in as bytes, embeddings out as float32."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from model.devices import has_bfloat16
from model.encoders.encoder import Precision
from model.encoders.precision import AGREEMENT, agreement, lowered, probe_pictures
from model.encoders.preprocessing import Framing
from model.errors import ModelError

AT_ONCE_CUDA = 128  # images computed at once; for a processor each encoder says how many


@dataclass(frozen=True)
class TorchEncoder:
    """An `Encoder` whose embeddings come from `module`: normalised pixels (n, 3, size, size) →
    (n, width), float32. `dtype` is what most of the work is computed in.
    """

    identity: str
    width: int
    framing: Framing
    module: torch.nn.Module
    device: torch.device
    at_once: int
    fingerprint: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    normalised: bool = False

    @property
    def preprocessing(self) -> dict[str, Any]:
        return {**self.framing.described(), **self.fingerprint}

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """RGB picture → uint8 (3, size, size)."""
        return self.framing.frame(image)

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """uint8 (n, 3, size, size) → float32 (n, width)."""
        if len(batch) == 0:
            return np.empty((0, self.width), dtype=np.float32)
        pixels = torch.from_numpy(np.require(batch, np.uint8, ["W"]))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            parts = [self._embed(part).float().cpu() for part in pixels.split(self.at_once)]
        return np.ascontiguousarray(torch.cat(parts).numpy())

    def _embed(self, pixels: torch.Tensor) -> torch.Tensor:
        # Moved as bytes; scaled in float32, since bfloat16 can't hold the means exactly.
        scale = self._bytes(self.framing.std).reciprocal()
        shift = -self._bytes(self.framing.mean) * scale
        scaled = torch.addcmul(shift, pixels.to(self.device).to(torch.float32), scale)
        return self.module(scaled)  # (n, width)

    def _bytes(self, values: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(values, device=self.device).mul_(255).view(1, 3, 1, 1)


def build(
    identity: str,
    module: torch.nn.Module,
    framing: Framing,
    *,
    device: str | None,
    precision: Precision,
    at_once: int,
    fingerprint: dict[str, Any],
) -> TorchEncoder:
    """An encoder on `device` in the precision asked for; `auto` tries bfloat16 on drawn pictures.

    Only the parts of `module` that are `Robust` are ever in bfloat16. `at_once` images are computed
    together on a processor. The width is measured. Raises `ModelError` when the device isn't there
    or the embeddings aren't finite.
    """
    place = _place(device)
    module = module.eval().requires_grad_(False).float()
    module = module.to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    probe = np.stack([framing.frame(picture) for picture in probe_pictures()])
    at_once = AT_ONCE_CUDA if place.type == "cuda" else at_once
    expected = TorchEncoder(identity, 0, framing, module, place, at_once).encode(probe)
    if not np.isfinite(expected).all():
        raise ModelError(
            f"The weights of {identity} are damaged (not every number is finite); get them again."
        )
    width = expected.shape[1]
    exact = TorchEncoder(identity, width, framing, module, place, at_once, fingerprint)
    if precision == "float32" or (precision == "auto" and not has_bfloat16(place)):
        return exact
    quick = replace(exact, module=lowered(module), dtype=torch.bfloat16)
    if precision == "bfloat16" or agreement(quick.encode(probe), expected) >= AGREEMENT:
        return quick
    return exact


def _place(device: str | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"This torch can't compute on {device!r}; use cpu, or install a torch built for it."
        ) from error
    return place
