"""AdamW for one image a step, where the reading and writing of all weights is what takes the time.

The gradient that one image gives a linear layer is the product of two vectors, so several steps are
worked out from a few thin matrices and the weights are gone through once for all of them. Each
image still has a step of its own, at its own rate and with its own share of the momentum. What
differs from one step after the other (Loshchilov & Hutter 2019, algorithm 2): the images of a
stretch see the weights at its start and share the second moments at its end, which a step changes
by a thousandth. A stretch of one step is AdamW itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.hooks import RemovableHandle

# Of torch.optim.AdamW, which the original recipe leaves as they are.
FIRST, SECOND, TINY, DECAY = 0.9, 0.999, 1e-8, 0.01
STRETCH = 16  # steps; the images are few beside the thousands that a rate of 7e-6 needs to move


class SingleSteps:
    """Trains all linear layers of `module`, the only ones in it that have weights.

    `rate` tells the learning rate of step 0, 1, …
    """

    def __init__(self, module: nn.Module, rate: Callable[[int], float]) -> None:
        module.requires_grad_(False)
        self.rate, self.step = rate, 0
        self.layers = [_Layer(each) for each in module.modules() if isinstance(each, nn.Linear)]
        largest = max(layer.weight.now.numel() for layer in self.layers)
        device = self.layers[0].weight.now.device
        self.scratch = torch.empty(2, largest, device=device)

    def follow(self, see: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Take a step for each loss (k,) that `see` computes of k images together; returns them.

        What `module` reads there must require a gradient, since its weights don't.
        """
        hooks = [layer.listen() for layer in self.layers]
        try:
            losses = see()
        finally:
            for hook in hooks:
                hook.remove()
        self._step(losses)
        return losses.detach()

    def _step(self, losses: torch.Tensor) -> None:
        count = len(losses)
        slopes = torch.autograd.grad(losses.sum(), [layer.said for layer in self.layers])
        rates, device = [self.rate(self.step + k) for k in range(count)], self.scratch.device
        shares = _shares(rates, self.step, device)
        ones = torch.ones(count, 1, device=device)
        for layer, slope in zip(self.layers, slopes, strict=True):
            layer.weight.follow(slope, layer.read, shares, self.scratch)
            layer.bias.follow(slope, ones, shares, self.scratch)
        self.step += count


@dataclass(frozen=True, slots=True)
class _Shares:
    """What each of k steps counts for at their end, and what was there before them.

    `pull`, `first` and `second` (k, 1) are the gradients' shares in the weights' move, the momentum
    and the second moments; `pull_kept` … those of what was before.
    """

    pull: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    pull_kept: float
    first_kept: float
    second_kept: float
    weight_kept: float
    second_total: float  # of all shares that the second moments have had: less than 1 early on


def _shares(rates: list[float], before: int, device: torch.device) -> _Shares:
    """Of steps at `rates`, after `before` others."""

    def column(values: NDArray[np.floating]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device)[:, None]

    count = len(rates)
    number = np.arange(1, count + 1)
    # A weight moves by rate × momentum / its total of shares, at each step.
    weighed = np.array(rates) / (1 - FIRST ** (before + number))
    later = FIRST ** np.maximum(number[None] - number[:, None], 0)  # (of step, seen by step)
    pull = (1 - FIRST) * np.triu(later) @ weighed
    return _Shares(
        pull=column(pull),
        first=column((1 - FIRST) * FIRST ** (count - number)),
        second=column((1 - SECOND) * SECOND ** (count - number)),
        pull_kept=float((weighed * FIRST**number).sum()),
        first_kept=FIRST**count,
        second_kept=SECOND**count,
        weight_kept=float(np.prod(1 - DECAY * np.array(rates))),
        second_total=1 - SECOND ** (before + count),
    )


class _Layer:
    """A linear layer, and what it read (k, inputs) and said (k, outputs) of the last batch."""

    def __init__(self, layer: nn.Linear) -> None:
        self.weight, self.bias = _Weights(layer.weight.data), _Weights(layer.bias.data[:, None])
        self.read = self.said = torch.empty(0)
        self.layer = layer

    def listen(self) -> RemovableHandle:
        """To what it reads and says, until the handle is removed."""
        return self.layer.register_forward_hook(self._keep)

    def _keep(self, _layer: nn.Module, read: tuple[torch.Tensor, ...], said: torch.Tensor) -> None:
        self.read, self.said = read[0].detach(), said


class _Weights:
    """Weights (outputs, inputs) with their two moments."""

    def __init__(self, now: torch.Tensor) -> None:
        self.now, self.first, self.second = now, torch.zeros_like(now), torch.zeros_like(now)

    def follow(
        self, slope: torch.Tensor, read: torch.Tensor, shares: _Shares, scratch: torch.Tensor
    ) -> None:
        """Steps whose gradients are the products of `slope` (k, outputs) and `read` (k, inputs)."""
        move, size = (part[: self.now.numel()].view_as(self.now) for part in scratch)
        pull, first, second = (
            (slope**power * share).T
            for power, share in ((1, shares.pull), (1, shares.first), (2, shares.second))
        )
        torch.addmm(self.first, pull, read, beta=shares.pull_kept, out=move)
        self.first.addmm_(first, read, beta=shares.first_kept)
        self.second.addmm_(second, read**2, beta=shares.second_kept)
        torch.sqrt(self.second, out=size).mul_(shares.second_total**-0.5).add_(TINY)
        self.now.mul_(shares.weight_kept).addcdiv_(move, size, value=-1)
