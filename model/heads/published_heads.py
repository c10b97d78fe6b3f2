"""Heads that others have published, recognised by names and shapes of tensors, as modules."""

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

MAX_WIDTH = 65_536  # a width beyond any encoder's: refuse before allocating for it
_MAX_LAYERS = 32  # layers of a chain
Tensors = Mapping[str, torch.Tensor]
Scale = tuple[float, float]
AnyModule = TypeVar("AnyModule", bound=nn.Module)


class LinearChain(nn.Module):
    """Linear layers (B, features) → (B, outputs), with ReLUs between them if `has_relu`."""

    def __init__(self, widths: Sequence[int], has_relu: bool) -> None:
        super().__init__()
        self.widths, self.has_relu = tuple(widths), has_relu
        self.features, self.outputs = self.widths[0], self.widths[-1]
        self.layers = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise(self.widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for place, layer in enumerate(self.layers):
            x = layer(torch.relu(x) if self.has_relu and place else x)  # (B, width)
        return x


class PublishedHead(nn.Module):
    """Somebody else's head on raw embeddings (B, features) → scores (B, 1), 0–1.

    `body` gives (B, k). Its output `column`, on its own `scale` (low, high), becomes 0–1 and is
    clipped. With `normalise` the body reads embeddings of length 1.
    """

    outputs = 1

    def __init__(self, body: nn.Module, *, normalise: bool, scale: Scale, column: int = 0) -> None:
        super().__init__()
        self.body, self.normalise, self.scale, self.column = body, normalise, scale, column
        self.features = int(body.features)  # type: ignore[arg-type]

    def with_body(self, body: nn.Module) -> PublishedHead:
        """Return this head with another body."""
        return PublishedHead(body, normalise=self.normalise, scale=self.scale, column=self.column)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.normalize(x, dim=1) if self.normalise else x
        low, high = self.scale
        outputs = self.body(x)[:, self.column : self.column + 1]  # (B, 1)
        return ((outputs - low) / (high - low)).clamp(0, 1)

    @property
    def params(self) -> dict[str, Any]:
        """JSON values from which `empty_published_head` makes a head of the same shape."""
        body = self.body
        assert isinstance(body, (Head, LinearChain))
        body_params: dict[str, Any] = {"features": body.features, "outputs": body.outputs}
        if isinstance(body, LinearChain):
            body_params |= {"widths": list(body.widths), "bends": body.has_relu}
        else:
            body_params |= {"hidden": body.hidden}
        return {
            "features": self.features,
            "outputs": self.outputs,
            "normalise": self.normalise,
            "scale": list(self.scale),
            "column": self.column,
            "body": body_params,
        }


AnyHead = Head | PublishedHead


def empty_published_head(params: Any) -> PublishedHead:
    """Return a head of the shape that `PublishedHead.params` describes, its weights not set.

    Raises `ValueError`, saying what is wrong with `params`.
    """
    body_params = _required(params, "body", dict)
    body: Head | LinearChain
    if "widths" in body_params:
        widths = _required(body_params, "widths", list)
        if not 2 <= len(widths) <= _MAX_LAYERS:
            raise ValueError(f'"widths" must hold 2 to {_MAX_LAYERS} numbers')
        body = LinearChain(
            [_validated_width(width) for width in widths], _required(body_params, "bends", bool)
        )
    else:
        body = Head(
            *(_validated_width(body_params.get(key)) for key in ("features", "hidden", "outputs"))
        )
    column = _required(params, "column", int)
    if not 0 <= column < body.outputs:
        raise ValueError('"column" is not one of the outputs')
    return PublishedHead(
        body,
        normalise=_required(params, "normalise", bool),
        scale=validated_scale(_required(params, "scale", list)),
        column=column,
    )


def validated_scale(scale: Sequence[Any]) -> Scale:
    """Return (low, high) of finite numbers; raises `ValueError` for anything else."""
    # Not math.isfinite, which fails for a whole number too large for a float.
    most = sys.float_info.max
    numbers = [float(end) for end in scale if type(end) in (int, float) and abs(end) <= most]
    if len(scale) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise ValueError("a scale is two numbers, the lower first")
    return numbers[0], numbers[1]


def _required(params: Any, name: str, expected_type: type) -> Any:
    value = params.get(name) if isinstance(params, dict) else None
    if type(value) is not expected_type:
        raise ValueError(f'"{name}" is missing or of another kind')
    return value


def _validated_width(size: Any) -> int:
    if type(size) is not int or not 0 < size <= MAX_WIDTH:
        raise ValueError(f"a width is a whole number from 1 to {MAX_WIDTH}")
    return size


Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class HeadFamily:
    """A family of published files that hold a linear chain: names of its layers, and its meaning.

    `encoders` gives by width the encoder whose embeddings it reads (all of these read normalised
    ones); `scale` is None where files of the family differ.
    """

    name: str
    layers: tuple[str, ...]
    has_relu: bool
    scale: Scale | None
    encoders: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Norm:
    """A BatchNorm under the name `name`, to be folded into the layer `layer` of a chain."""

    name: str
    layer: int
    is_before: bool  # before that layer, else right behind it


@dataclass(frozen=True, slots=True)
class ChainLayout:
    """Where a file holds a chain of a family: every name of a layer begins with `prefix`."""

    family: HeadFamily
    prefix: str
    norms: tuple[Norm, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(f"{self.prefix}{layer}" for layer in self.family.layers)

    def names(self, shapes: Shapes) -> list[str]:
        """Return the names of its tensors."""
        norms = [f"{norm.name}{part}" for norm in self.norms for part in _NORM_PARTS]
        linear = [f"{layer}{part}" for layer in self.layers for part in ("weight", "bias")]
        return linear + [name for name in norms if name in shapes]

    def chain(self, tensors: Tensors) -> LinearChain | None:
        """Return the chain of these tensors; None if their shapes don't fit one another."""
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
            chain = LinearChain(widths, self.family.has_relu)
        return with_weights(chain, named)


_NORM_PARTS = ("running_mean", "running_var", "weight", "bias")
_SMALLEST_VARIANCE = 1e-5  # is added to a BatchNorm's; torch's usual, and no file tells another


def _scale_and_shift(norm: Norm, tensors: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift of a BatchNorm in evaluation: scale x + shift."""
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


# Dropout has the numbers that are left out. Scores of LAION's heads run from about 1 to 10.
_FROM_1_TO_10 = (1.0, 10.0)
_L14 = {768: "clip-l14"}
FAMILIES = (
    HeadFamily(
        "LAION improved-aesthetic-predictor",
        _numbered("layers", 0, 2, 4, 6, 7),
        False,
        _FROM_1_TO_10,
        _L14,
    ),
    HeadFamily(
        "LAION improved-aesthetic-predictor with ReLU",
        _numbered("layers", 0, 3, 6, 9, 11),
        True,
        _FROM_1_TO_10,
        _L14,
    ),
    HeadFamily(
        "aesthetic-predictor-v2.5",
        _numbered("scoring_head", 0, 2, 4, 6, 8),
        False,
        _FROM_1_TO_10,
        {1152: "open_clip:ViT-SO400M-14-SigLIP-384/webli"},
    ),
    # Version 3 scores 0 to 10, version 4 may score 0 to 1.
    HeadFamily("waifu-scorer", _numbered("layers", 0, 4, 8, 12, 16, 18), True, None, _L14),
    # Those of 512 values are for ViT-B/32 or ViT-B/16: the file doesn't say for which.
    HeadFamily("LAION aesthetic-predictor", ("",), False, _FROM_1_TO_10, _L14),
    HeadFamily("LAION aesthetic-predictor", ("predictor.",), False, _FROM_1_TO_10, _L14),
)
_CHAIN_NAME = re.compile(r"((?:.*\.)?)(layers|scoring_head|predictor)\.")
_LAYER_NAME = re.compile(r"layers\.(\d{1,4})\.(weight|bias|running_mean|running_var)")


def find_chains(shapes: Shapes) -> list[ChainLayout]:
    """Return all chains of known families in a file, which may hold a whole network beside them."""
    parts: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {}
    if shapes.keys() <= {"weight", "bias"}:
        parts["", ""] = dict(shapes)
    for name, shape in shapes.items():
        if (match := _CHAIN_NAME.match(name)) and not name.endswith(".num_batches_tracked"):
            parts.setdefault((match[1], match[2]), {})[name.removeprefix(match[1])] = shape
    return [
        layout
        for (prefix, _), part in parts.items()
        for layout in (_without_norms(prefix, part), _with_norms(prefix, part))
        if layout is not None
    ]


def _without_norms(prefix: str, shapes: Shapes) -> ChainLayout | None:
    for family in FAMILIES:
        expected = {f"{layer}{part}" for layer in family.layers for part in ("weight", "bias")}
        if shapes.keys() == expected and _is_chain(shapes, family.layers):
            return ChainLayout(family, prefix)
    return None


def _with_norms(prefix: str, shapes: Shapes) -> ChainLayout | None:
    """Return a chain with BatchNorms, each right behind a layer or after the ReLU behind it."""
    places: dict[int, set[str]] = {}
    for name in shapes:
        match = _LAYER_NAME.fullmatch(name)
        if match is None:
            return None
        places.setdefault(int(match[1]), set()).add(match[2])
    norms = sorted(place for place, parts in places.items() if "running_mean" in parts)
    linear = sorted(place for place, parts in places.items() if parts == {"weight", "bias"})
    complete = all({"running_mean", "running_var"} <= places[place] for place in norms)
    if not norms or not complete or len(norms) + len(linear) != len(places):
        return None
    if not 1 < len(linear) <= _MAX_LAYERS or not linear[0] < norms[0] < norms[-1] < linear[-1]:
        return None
    names = _numbered("layers", *linear)
    folded = []
    for place in norms:
        previous = bisect.bisect(linear, place) - 1
        gap = place - linear[previous]
        if gap > 2:
            return None
        name = f"{prefix}layers.{place}."
        folded.append(Norm(name, previous + (gap == 2), is_before=gap == 2))
    if len({norm.layer for norm in folded}) < len(folded) or not _is_chain(shapes, names):
        return None
    return ChainLayout(HeadFamily("waifu-scorer", names, True, None, _L14), prefix, tuple(folded))


def _is_chain(shapes: Shapes, layers: Sequence[str]) -> bool:
    weights = [shapes[f"{layer}weight"] for layer in layers]
    biases = [shapes[f"{layer}bias"] for layer in layers]
    return (
        all(len(weight) == 2 and max(weight) <= MAX_WIDTH for weight in weights)
        and all(bias == weight[:1] for weight, bias in zip(weights, biases, strict=True))
        and all(layer[0] == next_layer[1] for layer, next_layer in pairwise(weights))
        and weights[-1][0] == 1
    )


def explain_unknown(shapes: Shapes) -> str:
    """Return why a file holds no known head, as a part of a sentence; empty where unclear."""
    if any(len(shape) > 2 for shape in shapes.values()):
        return "it holds a whole network with a head that is not known"
    if any(name.endswith("running_mean") for name in shapes):
        return "it has BatchNorm layers that can't be folded into others"
    if any(name.endswith("weight") and len(shape) == 1 for name, shape in shapes.items()):
        return "it has layers, such as LayerNorm, that no plain head has"
    return ""


def cityaesthetics_head(shapes: Shapes) -> Head | None:
    """Return the head of CityAesthetics, its weights not set, if the shapes are its own."""
    first, second, last = (
        shapes.get(key, ()) for key in ("up.0.weight", "down.0.weight", "down.5.weight")
    )
    if not len(first) == len(second) == len(last) == 2 or max(*first, *last) > MAX_WIDTH:
        return None
    with torch.device("meta"):
        head = Head(first[1], first[0], last[0])
    fits = {key: tuple(value.shape) for key, value in head.state_dict().items()} == dict(shapes)
    return head if fits else None


def with_weights(module: AnyModule, tensors: Tensors) -> AnyModule | None:
    """Return `module` with these weights in float32, ready to predict; None if they don't fit."""
    shapes = {key: value.shape for key, value in module.state_dict().items()}
    if shapes != {key: value.shape for key, value in tensors.items()}:
        return None
    weights = {key: value.detach().float().contiguous() for key, value in tensors.items()}
    module.load_state_dict(weights, assign=True)
    module.eval().requires_grad_(False)
    return module
