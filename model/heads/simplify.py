"""A head without all that can't change what it says: the same function in fewer multiplications.

Exact but for rounding, whatever the weights are. Rows of the first layer that repeat are computed
once; units that nothing reads, and the residual branch where it is zero, are dropped; neighbouring
linear layers with nothing between them become one where that is less work. A head full of weights
of its own keeps nearly all of its work; one that a regression was written into keeps a fraction.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from model.heads.head import Head
from model.heads.published_heads import AnyHead, Chain

Matrix = NDArray[np.float64]
Units = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Affine:
    """x → weight x + bias, with weight (outputs, inputs) and bias (outputs,)."""

    weight: Matrix
    bias: Matrix

    @property
    def reads(self) -> Units:
        """Which inputs (inputs,) change any output."""
        return np.asarray((self.weight != 0).any(axis=0))

    def rows(self, kept: NDArray[np.generic]) -> Affine:
        return Affine(self.weight[kept], self.bias[kept])

    def columns(self, kept: NDArray[np.generic]) -> Affine:
        return Affine(self.weight[:, kept], self.bias)

    def after(self, first: Affine) -> Affine:
        """This layer and the one before it as one."""
        return Affine(self.weight @ first.weight, self.weight @ first.bias + self.bias)


def compacted(head: AnyHead) -> nn.Module:
    """What says the same as `head` with less work; in float64 until it is cast."""
    if isinstance(head, Head):
        return Compact(head)
    body = head.body
    if isinstance(body, Chain):
        return head.with_body(_straight(body))
    assert isinstance(body, Head)
    return head.with_body(Compact(body))


def work(module: nn.Module) -> int:
    """Multiplications for one embedding."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.ndim == 2)


def coarse(module: nn.Module, number_format: torch.dtype) -> nn.Module:
    """`module`, as `compacted` made it, in a number format that is quicker than float32.

    A head's few last units stay in float32: they take no time, and most of the error is theirs.
    """
    made = copy.deepcopy(module).to(number_format)
    for part in made.modules():
        if isinstance(part, Compact):
            part.bend.float()
            part.last.float()
    return made


def _straight(chain: Chain) -> Chain:
    """Layers with nothing between them as one where that is less work."""
    if chain.bends or len(chain.layers) == 1:
        return copy.deepcopy(chain).double()
    layers = [_affine(layer) for layer in chain.layers if isinstance(layer, nn.Linear)]
    whole = reduce(lambda first, second: second.after(first), layers)
    if whole.weight.size >= work(chain):
        return copy.deepcopy(chain).double()
    with torch.device("meta"):
        straight = Chain((chain.features, chain.outputs), bends=False)
    weights = {"layers.0.weight": whole.weight, "layers.0.bias": whole.bias}
    straight.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()}, assign=True)
    return straight.eval().requires_grad_(False)


class Compact(nn.Module):
    """What `head` says of raw embeddings (B, features), computed with less: (B, outputs).

    In float64 until it is cast, since what is merged here is summed here. `work` is the number of
    multiplications for one embedding. Hidden units are those that the residual branch leaves
    `alone` and those that it has `touched`.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.features, self.outputs = head.features, head.outputs
        layers = {
            name: _affine(layer)
            for name, layer in head.named_modules()
            if isinstance(layer, nn.Linear)
        }
        last = _joined(layers["down.4"], layers["down.5"])
        bent = last[0].reads
        sums = _joined(layers["down.0"], layers["down.1"].rows(bent))
        self._read(layers, sums[0])
        self.bend = _chain(sums[1:])
        self.last = _chain([last[0].columns(bent), *last[1:]])
        self.work = work(self)
        self.requires_grad_(False).eval()

    def _read(self, layers: dict[str, Affine], sums: Affine) -> None:
        """All up to the sums of hidden units with which `down` begins."""
        branch = layers["up.1.long.4"]
        moved = (branch.weight != 0).any(axis=1)
        alone, touched = sums.reads & ~moved, sums.reads & moved
        start, *inner = _branch(layers, touched)
        # What the branch adds to units that it leaves alone is always the same.
        shift = np.where(alone, branch.bias, 0)
        first = Affine(layers["up.0"].weight, layers["up.0"].bias + shift)
        start = Affine(start.weight, start.bias - start.weight @ shift)
        order = np.concatenate(
            [np.flatnonzero(part) for part in (alone, touched, start.reads & ~sums.reads)]
        )
        units, spread = _unrepeated(first.rows(order))
        start = start.columns(order)
        self.units = _Linear(units)
        self.inner = _chain([start.after(spread) if spread else start, *inner])
        end = int(alone.sum()), int(sums.reads.sum())
        self.alone = _part(slice(0, end[0]), spread)
        self.touched = _part(slice(*end), spread)
        self.sum_alone = _Linear(sums.columns(alone))
        self.sum_touched = _Linear(Affine(sums.weight[:, touched], np.zeros_like(sums.bias)))
        self._is_touched = bool(touched.any())

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """See `Head.logits`."""
        x = self.units(x)  # (B, units)
        sums = self.sum_alone(torch.relu(self.alone(x)))  # (B, sums)
        if self._is_touched:
            long = x
            for place in (0, 1):
                long = functional.leaky_relu_(self.inner[place](long), 0.1)
            long = self.inner[2](long)  # (B, touched)
            sums += self.sum_touched(functional.relu_(long.add_(self.touched(x))))
        sums = sums.to(self.last[0].weight.dtype)
        return self.last(functional.leaky_relu_(self.bend(sums)))  # (B, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.logits(x)
        return torch.softmax(x, dim=1) if self.outputs > 1 else (torch.tanh(x) + 1) / 2


class _Linear(nn.Module):
    """A linear layer of given values; it may have no inputs or no outputs."""

    def __init__(self, layer: Affine) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(layer.weight))
        self.bias = nn.Parameter(torch.from_numpy(layer.bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.weight, self.bias)


class _Part(nn.Module):
    """Some neighbouring units of the first layer."""

    def __init__(self, part: slice) -> None:
        super().__init__()
        self._part = part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, self._part]


class _Constant(nn.Module):
    """Units that read nothing."""

    def __init__(self, values: Matrix) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.from_numpy(values))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.values.expand(len(x), -1)


def _part(part: slice, spread: Affine | None) -> nn.Module:
    """Some hidden units: of the first layer's, or repeated from them."""
    if spread is None:
        return _Part(part)
    taken = spread.rows(np.arange(part.start, part.stop))
    return _Linear(taken) if taken.weight.any() else _Constant(taken.bias)


def _affine(layer: nn.Linear) -> Affine:
    weight, bias = (part.detach().cpu().double().numpy() for part in (layer.weight, layer.bias))
    return Affine(weight, bias)


def _joined(first: Affine, second: Affine) -> list[Affine]:
    """Two layers with nothing between them, as one where that is no more work."""
    read = second.reads
    first, second = first.rows(read), second.columns(read)
    joined = second.after(first)
    apart = first.weight.size + second.weight.size
    return [joined] if joined.weight.size <= apart else [first, second]


def _branch(layers: dict[str, Affine], touched: Units) -> list[Affine]:
    """The three layers of the residual branch, without the units that move none of `touched`."""
    third = layers["up.1.long.4"].rows(touched)
    second = layers["up.1.long.2"].rows(third.reads)
    first = layers["up.1.long.0"].rows(second.reads)
    return [first, second.columns(second.reads), third.columns(third.reads)]


def _unrepeated(layer: Affine) -> tuple[Affine, Affine | None]:
    """A first layer without rows that repeat or are zero, and how its units are spread from those.

    Where there are few such it is the layer itself, and nothing is spread.
    """
    filled = np.flatnonzero(layer.weight.any(axis=1))
    places: dict[bytes, int] = {}
    place = [places.setdefault(layer.weight[row].tobytes(), len(places)) for row in filled]
    repeated = np.zeros((len(layer.weight), len(places)))  # (units, rows)
    repeated[filled, place] = 1
    rows = layer.weight[filled[np.unique(place, return_index=True)[1]]]
    if rows.size + repeated.size < layer.weight.size:
        return Affine(rows, np.zeros(len(rows))), Affine(repeated, layer.bias)
    return layer, None


def _chain(layers: list[Affine]) -> nn.Sequential:
    return nn.Sequential(*map(_Linear, layers))
