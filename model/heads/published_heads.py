"""Heads that others have published, told by their tensors' names and shapes, as modules of ours."""

from __future__ import annotations

import bisect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn import functional

from model.heads.head import Head

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


Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A family of published files that hold a chain: how its layers are called, what they mean.

    `encoders` tells by their width the embeddings that it reads (normalised, all of these do);
    `scale` is None where files of the kind differ.
    """

    name: str
    layers: tuple[str, ...]
    bends: bool
    scale: Scale | None
    encoders: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Norm:
    """A BatchNorm under the name `name`, to be folded into the layer `layer` of a chain."""

    name: str
    layer: int
    is_before: bool  # of that layer: else right behind it


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file has a chain of the `kind`: the names of its layers, `prefix` and all."""

    kind: Kind
    prefix: str
    norms: tuple[Norm, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}{layer}" for layer in self.kind.layers)

    def names(self, shapes: Shapes) -> list[str]:
        """The tensors that it is made of."""
        norms = [f"{norm.name}{part}" for norm in self.norms for part in _NORM_PARTS]
        wanted = [f"{layer}{part}" for layer in self.layers for part in ("weight", "bias")]
        return wanted + [name for name in norms if name in shapes]

    def chain(self, tensors: Tensors) -> Chain | None:
        """The chain of these tensors; None if their shapes don't fit one another."""
        weights = [tensors[f"{layer}weight"].double() for layer in self.layers]
        biases = [tensors[f"{layer}bias"].double() for layer in self.layers]
        widths = [int(weights[0].shape[1]), *(int(weight.shape[0]) for weight in weights)]
        if any(weight.shape[1] != width for weight, width in zip(weights, widths, strict=False)):
            return None
        for norm in self.norms:
            scale, shift = _scale_and_shift(norm, tensors)
            layer = norm.layer
            if len(scale) != widths[layer if norm.is_before else layer + 1]:
                return None
            if norm.is_before:  # W (scale x + shift) + b
                biases[layer] = biases[layer] + weights[layer] @ shift
                weights[layer] = weights[layer] * scale
            else:
                weights[layer] = weights[layer] * scale[:, None]
                biases[layer] = biases[layer] * scale + shift
        named = {
            f"layers.{place}.{part}": values
            for place, pair in enumerate(zip(weights, biases, strict=True))
            for part, values in zip(("weight", "bias"), pair, strict=True)
        }
        with torch.device("meta"):
            chain = Chain(widths, self.kind.bends)
        return filled(chain, named)


_NORM_PARTS = ("running_mean", "running_var", "weight", "bias")
_SMALLEST_VARIANCE = 1e-5  # is added to a BatchNorm's; torch's usual, and no file tells another


def _scale_and_shift(norm: Norm, tensors: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """What a BatchNorm in use does: scale x + shift."""
    mean, variance = (tensors[f"{norm.name}running_{part}"].double() for part in ("mean", "var"))
    one = (
        tensors[f"{norm.name}{part}"].double() if f"{norm.name}{part}" in tensors else None
        for part in ("weight", "bias")
    )
    weight, bias = one
    scale = (variance + _SMALLEST_VARIANCE).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale
    return scale, shift if bias is None else shift + bias


def _numbered(prefix: str, *places: int) -> tuple[str, ...]:
    return tuple(f"{prefix}.{place}." for place in places)


# Dropout takes up the numbers that are left out. What LAION's heads say runs from about 1 to 10.
_FROM_1_TO_10 = (1.0, 10.0)
_L14 = {768: "clip-l14"}
KINDS = (
    Kind(
        "LAION improved-aesthetic-predictor",
        _numbered("layers", 0, 2, 4, 6, 7),
        False,
        _FROM_1_TO_10,
        _L14,
    ),
    Kind(
        "LAION improved-aesthetic-predictor with ReLU",
        _numbered("layers", 0, 3, 6, 9, 11),
        True,
        _FROM_1_TO_10,
        _L14,
    ),
    Kind(
        "aesthetic-predictor-v2.5",
        _numbered("scoring_head", 0, 2, 4, 6, 8),
        False,
        _FROM_1_TO_10,
        {1152: "open_clip:ViT-SO400M-14-SigLIP-384/webli"},
    ),
    # Its third version says 0 to 10, the fourth may say 0 to 1.
    Kind("waifu-scorer", _numbered("layers", 0, 4, 8, 12, 16, 18), True, None, _L14),
    # Those of 512 values are for ViT-B/32 or ViT-B/16: the file doesn't say for which.
    Kind("LAION aesthetic-predictor", ("",), False, _FROM_1_TO_10, _L14),
    Kind("LAION aesthetic-predictor", ("predictor.",), False, _FROM_1_TO_10, _L14),
)
_ROOT = re.compile(r"((?:.*\.)?)(layers|scoring_head|predictor)\.")
_IN_SEQUENCE = re.compile(r"layers\.(\d{1,4})\.(weight|bias|running_mean|running_var)")


def layouts(shapes: Shapes) -> list[Layout]:
    """All chains of known kinds in a file, which may hold a whole network beside them."""
    parts: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {}
    if shapes.keys() <= {"weight", "bias"}:
        parts["", ""] = dict(shapes)
    for name, shape in shapes.items():
        if (found := _ROOT.match(name)) and not name.endswith(".num_batches_tracked"):
            parts.setdefault((found[1], found[2]), {})[name.removeprefix(found[1])] = shape
    return [
        layout
        for (prefix, _), part in parts.items()
        for layout in (_plain(prefix, part), _with_norms(prefix, part))
        if layout is not None
    ]


def _plain(prefix: str, shapes: Shapes) -> Layout | None:
    for kind in KINDS:
        wanted = {f"{layer}{part}" for layer in kind.layers for part in ("weight", "bias")}
        if shapes.keys() == wanted and _is_chain(shapes, kind.layers):
            return Layout(kind, prefix)
    return None


def _with_norms(prefix: str, shapes: Shapes) -> Layout | None:
    """Layers with BatchNorms among them, each right behind a layer or after the ReLU behind it."""
    places: dict[int, set[str]] = {}
    for name in shapes:
        found = _IN_SEQUENCE.fullmatch(name)
        if found is None:
            return None
        places.setdefault(int(found[1]), set()).add(found[2])
    norms = sorted(place for place, parts in places.items() if "running_mean" in parts)
    linear = sorted(place for place, parts in places.items() if parts == {"weight", "bias"})
    complete = all({"running_mean", "running_var"} <= places[place] for place in norms)
    if not norms or not complete or len(norms) + len(linear) != len(places):
        return None
    if not 1 < len(linear) <= _LONGEST or not linear[0] < norms[0] < norms[-1] < linear[-1]:
        return None
    names = _numbered("layers", *linear)
    folded = []
    for place in norms:
        before = bisect.bisect(linear, place) - 1
        gap = place - linear[before]
        if gap > 2:
            return None
        name = f"{prefix}layers.{place}."
        folded.append(Norm(name, before + (gap == 2), is_before=gap == 2))
    if len({norm.layer for norm in folded}) < len(folded) or not _is_chain(shapes, names):
        return None
    return Layout(Kind("waifu-scorer", names, True, None, _L14), prefix, tuple(folded))


def _is_chain(shapes: Shapes, layers: Sequence[str]) -> bool:
    weights = [shapes[f"{layer}weight"] for layer in layers]
    biases = [shapes[f"{layer}bias"] for layer in layers]
    return (
        all(len(weight) == 2 and max(weight) <= WIDEST for weight in weights)
        and all(bias == weight[:1] for weight, bias in zip(weights, biases, strict=True))
        and all(one[0] == next_one[1] for one, next_one in pairwise(weights))
        and weights[-1][0] == 1
    )


def oddity(shapes: Shapes) -> str:
    """Why a file may be no plain head, as a part of a sentence; empty where nothing shows."""
    if any(len(shape) > 2 for shape in shapes.values()):
        return "it holds a whole network with a head that is not known"
    if any(name.endswith("running_mean") for name in shapes):
        return "it has BatchNorm layers that can't be folded into others"
    if any(name.endswith("weight") and len(shape) == 1 for name, shape in shapes.items()):
        return "it has layers, such as LayerNorm, that no plain head has"
    return ""


def city_head(shapes: Shapes) -> Head | None:
    """The head that CityAesthetics publishes, without weights, if that is what the shapes are."""
    first, second, last = (
        shapes.get(key, ()) for key in ("up.0.weight", "down.0.weight", "down.5.weight")
    )
    if not len(first) == len(second) == len(last) == 2 or max(*first, *last) > WIDEST:
        return None
    with torch.device("meta"):
        head = Head(first[1], first[0], last[0])
    fits = {key: tuple(value.shape) for key, value in head.state_dict().items()} == dict(shapes)
    return head if fits else None


def filled(module: AnyModule, tensors: Tensors) -> AnyModule | None:
    """`module` with these weights in float32, ready to predict; None if they don't fit."""
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    if shapes != {key: value.shape for key, value in tensors.items()}:
        return None
    weights = {key: value.detach().float().contiguous() for key, value in tensors.items()}
    module.load_state_dict(weights, assign=True)
    module.eval().requires_grad_(False)
    return module
