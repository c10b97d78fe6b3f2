"""An encoder around a torch module: uint8 pixels in, float32 embeddings out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from model.devices import has_bfloat16
from model.encoders.encoder import Precision
from model.encoders.precision import MIN_COSINE, in_bfloat16, lowest_cosine, probe_images
from model.encoders.preprocessing import ResizeCrop
from model.errors import ModelError

BATCH_SIZE_CUDA = 128  # images; for a CPU each encoder has its own number


@dataclass(frozen=True)
class TorchEncoder:
    """An `Encoder` whose embeddings come from `module`.

    `module` maps normalised pixels (n, 3, size, size) to float32 embeddings (n, width). `dtype` is
    what most of the work is computed in. `fingerprint` is what else decides the embeddings.
    """

    identity: str
    width: int
    resize_crop: ResizeCrop
    module: torch.nn.Module
    device: torch.device
    batch_size: int
    fingerprint: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    normalised: bool = False

    @property
    def preprocessing(self) -> dict[str, Any]:
        return {**self.resize_crop.to_json(), **self.fingerprint}

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop an RGB image to uint8 (3, size, size)."""
        return self.resize_crop.apply(image)

    def encode(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Embed uint8 pixels (n, 3, size, size) as float32 (n, width)."""
        if len(batch) == 0:
            return np.empty((0, self.width), dtype=np.float32)
        pixels = torch.from_numpy(np.require(batch, np.uint8, ["W"]))
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            parts = [self._embed(part).float().cpu() for part in pixels.split(self.batch_size)]
        return np.ascontiguousarray(torch.cat(parts).numpy())

    def _embed(self, pixels: torch.Tensor) -> torch.Tensor:
        # Moved as bytes; scaled in float32, since bfloat16 can't hold the means exactly.
        scale = self._per_channel(self.resize_crop.std).reciprocal()
        shift = -self._per_channel(self.resize_crop.mean) * scale
        scaled = torch.addcmul(shift, pixels.to(self.device).to(torch.float32), scale)
        return self.module(scaled)  # (n, width)

    def _per_channel(self, values: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(values, device=self.device).mul_(255).view(1, 3, 1, 1)


def build_encoder(
    identity: str,
    module: torch.nn.Module,
    resize_crop: ResizeCrop,
    *,
    device: str | None,
    precision: Precision,
    batch_size: int,
    fingerprint: dict[str, Any],
) -> TorchEncoder:
    """Return an encoder on `device` in the requested precision; `auto` tries bfloat16.

    `auto` keeps bfloat16 where embeddings of drawn images agree (`MIN_COSINE`). Only the parts of
    `module` that are `LowPrecision` are ever in bfloat16. `batch_size` images are computed together
    on a CPU. The width is measured. Raises `ModelError` when the device isn't there
    or the embeddings aren't finite.
    """
    resolved = _resolve_device(device)
    module = module.eval().requires_grad_(False).float()
    module = module.to(device=resolved, memory_format=torch.channels_last)  # type: ignore[call-overload]
    probe = np.stack([resize_crop.apply(picture) for picture in probe_images()])
    batch_size = BATCH_SIZE_CUDA if resolved.type == "cuda" else batch_size
    expected = TorchEncoder(identity, 0, resize_crop, module, resolved, batch_size).encode(probe)
    if not np.isfinite(expected).all():
        raise ModelError(
            f"The weights of {identity} are damaged (not every number is finite); get them again."
        )
    width = expected.shape[1]
    exact = TorchEncoder(identity, width, resize_crop, module, resolved, batch_size, fingerprint)
    if precision == "float32" or (precision == "auto" and not has_bfloat16(resolved)):
        return exact
    reduced = replace(exact, module=in_bfloat16(module), dtype=torch.bfloat16)
    if precision == "bfloat16" or lowest_cosine(reduced.encode(probe), expected) >= MIN_COSINE:
        return reduced
    return exact


def _resolve_device(device: str | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(1, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"This torch can't compute on {device!r}; use cpu, or install a torch built for it."
        ) from error
    return resolved
