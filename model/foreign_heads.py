"""Heads that others have published, told by their tensors' names and shapes, as modules of ours."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import functional

from model.head import Head

WIDEST = 65_536  # a width beyond any encoder's: refuse before allocating for it
_LONGEST = 32  # layers of a chain
Tensors = Mapping[str, torch.Tensor]
Scale = tuple[float, float]
AnyModule = TypeVar("AnyModule", bound=nn.Module)


class Chain(nn.Module):
    """Linear layers one after the other, with a ReLU between them where it `bends`:
    (B, features) → (B, outputs).
    """

    def __init__(self, widths: Sequence[int], bends: bool) -> None:
        super().__init__()
        self.widths, self.bends = tuple(widths), bends
        self.features, self.outputs = self.widths[0], self.widths[-1]
        self.layers = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise(self.widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for place, layer in enumerate(self.layers):
            x = layer(torch.relu(x) if self.bends and place else x)  # (B, width)
        return x


class ForeignHead(nn.Module):
    """What somebody else's head says of our raw embeddings: (B, features) → (B, 1), 0–1.

    `body` gives (B, k). Its output `column` on its own `scale`, from low to high, becomes 0–1; what
    lies outside is cut off. With `normalise` the body reads embeddings of length 1.
    """

    outputs = 1

    def __init__(self, body: nn.Module, *, normalise: bool, scale: Scale, column: int = 0) -> None:
        super().__init__()
        self.body, self.normalise, self.scale, self.column = body, normalise, scale, column
        self.features = int(body.features)  # type: ignore[arg-type]

    def with_body(self, body: nn.Module) -> ForeignHead:
        """The same of another body."""
        return ForeignHead(body, normalise=self.normalise, scale=self.scale, column=self.column)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.normalize(x, dim=1) if self.normalise else x
        low, high = self.scale
        said = self.body(x)[:, self.column : self.column + 1]  # (B, 1)
        return ((said - low) / (high - low)).clamp(0, 1)

    @property
    def params(self) -> dict[str, Any]:
        """JSON from which `built` makes a head of the same shape."""
        body = self.body
        assert isinstance(body, (Head, Chain))
        inside: dict[str, Any] = {"features": body.features, "outputs": body.outputs}
        if isinstance(body, Chain):
            inside |= {"widths": list(body.widths), "bends": body.bends}
        else:
            inside |= {"hidden": body.hidden}
        return {
            "features": self.features,
            "outputs": self.outputs,
            "normalise": self.normalise,
            "scale": list(self.scale),
            "column": self.column,
            "body": inside,
        }


AnyHead = Head | ForeignHead


def built(params: Any) -> ForeignHead:
    """A head of the shape that `ForeignHead.params` tells, its weights still to be filled in.

    Raises `ValueError`, saying what is wrong with `params`.
    """
    inside = _part(params, "body", dict)
    body: Head | Chain
    if "widths" in inside:
        widths = _part(inside, "widths", list)
        if not 2 <= len(widths) <= _LONGEST:
            raise ValueError(f'"widths" must hold 2 to {_LONGEST} numbers')
        body = Chain([_width(width) for width in widths], _part(inside, "bends", bool))
    else:
        body = Head(*(_width(inside.get(key)) for key in ("features", "hidden", "outputs")))
    column = _part(params, "column", int)
    if not 0 <= column < body.outputs:
        raise ValueError('"column" is not one of the outputs')
    return ForeignHead(
        body,
        normalise=_part(params, "normalise", bool),
        scale=checked_scale(_part(params, "scale", list)),
        column=column,
    )


def checked_scale(scale: Sequence[Any]) -> Scale:
    """(low, high) of finite numbers; raises `ValueError` for anything else."""
    # Compared, not asked whether it is finite: a whole number may be too large for that.
    most = sys.float_info.max
    numbers = [float(end) for end in scale if type(end) in (int, float) and abs(end) <= most]
    if len(scale) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise ValueError("a scale is two numbers, the lower first")
    return numbers[0], numbers[1]


def _part(params: Any, name: str, kind: type) -> Any:
    found = params.get(name) if isinstance(params, dict) else None
    if type(found) is not kind:
        raise ValueError(f'"{name}" is missing or of another kind')
    return found


def _width(size: Any) -> int:
    if type(size) is not int or not 0 < size <= WIDEST:
        raise ValueError(f"a width is a whole number from 1 to {WIDEST}")
    return size


@dataclass(frozen=True, slots=True)
class Kind:
    """A family of published files that hold a chain: how its layers are called, what they mean.

    `encoders` tells by their width the embeddings that it reads (normalised, all of these do).
    """

    name: str
    layers: tuple[str, ...]
    bends: bool
    scale: Scale
    encoders: Mapping[int, str]

    def chain(self, tensors: Tensors) -> Chain | None:
        """The chain in `tensors`, None if that is not of this kind."""
        wanted = [(f"{layer}weight", f"{layer}bias") for layer in self.layers]
        if tensors.keys() != {key for pair in wanted for key in pair}:
            return None
        weights = [tensors[weight] for weight, _ in wanted]
        if any(weight.ndim != 2 for weight in weights):
            return None
        widths = [int(weights[0].shape[1]), *(int(weight.shape[0]) for weight in weights)]
        if max(widths) > WIDEST:
            return None
        with torch.device("meta"):
            chain = Chain(widths, self.bends)
        named = {
            f"layers.{place}.{part}": tensors[key]
            for place, pair in enumerate(wanted)
            for part, key in zip(("weight", "bias"), pair, strict=True)
        }
        return filled(chain, named) if chain.outputs == 1 else None


def _numbered(prefix: str, *places: int) -> tuple[str, ...]:
    return tuple(f"{prefix}.{place}." for place in places)


# Dropout takes up the numbers that are left out. What these heads say runs from about 1 to 10.
_FROM_1_TO_10 = (1.0, 10.0)
KINDS = (
    Kind(
        "LAION improved-aesthetic-predictor",
        _numbered("layers", 0, 2, 4, 6, 7),
        False,
        _FROM_1_TO_10,
        {768: "clip-l14"},
    ),
    Kind(
        "LAION improved-aesthetic-predictor with ReLU",
        _numbered("layers", 0, 3, 6, 9, 11),
        True,
        _FROM_1_TO_10,
        {768: "clip-l14"},
    ),
    Kind(
        "aesthetic-predictor-v2.5",
        _numbered("scoring_head", 0, 2, 4, 6, 8),
        False,
        _FROM_1_TO_10,
        {1152: "open_clip:ViT-SO400M-14-SigLIP-384/webli"},
    ),
    # Those of 512 values are for ViT-B/32 or ViT-B/16: the file doesn't say for which.
    Kind("LAION aesthetic-predictor", ("",), False, _FROM_1_TO_10, {768: "clip-l14"}),
)


def city_head(tensors: Tensors) -> Head | None:
    """The head that CityAesthetics publishes, if that is what `tensors` hold."""
    first, second, last = (
        tensors[key].shape if key in tensors else ()
        for key in ("up.0.weight", "down.0.weight", "down.5.weight")
    )
    if not len(first) == len(second) == len(last) == 2 or max(*first, *last) > WIDEST:
        return None
    with torch.device("meta"):
        head = Head(int(first[1]), int(first[0]), int(last[0]))
    return filled(head, tensors)


def filled(module: AnyModule, tensors: Tensors) -> AnyModule | None:
    """`module` with these weights in float32, ready to predict; None if they don't fit."""
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    if shapes != {key: value.shape for key, value in tensors.items()}:
        return None
    weights = {key: value.detach().float().contiguous() for key, value in tensors.items()}
    module.load_state_dict(weights, assign=True)
    module.eval().requires_grad_(False)
    return module
