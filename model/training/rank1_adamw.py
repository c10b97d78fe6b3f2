"""AdamW for one image a step, where the reading and writing of all weights is what takes the time.

The gradient of one image in a linear layer is the outer product of two vectors, so several steps
are computed from a few thin matrices and the weights are gone through once for all of them. Each
image still has a step of its own, at its own rate and with its own share of the momentum. What
differs from one step after the other (Loshchilov & Hutter 2019, algorithm 2): the images of one
call see the weights at its start and share the second moments at its end, which a step changes by
a thousandth. A call with one image is AdamW itself.

Measured on one core, a head of 768 → 1024: 2.1 ms a step, where torch's fused AdamW takes 9.6 ms
and its plain one 21.5 ms; 100,000 steps take 3.4 minutes instead of 16 or 36.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.hooks import RemovableHandle

# The defaults of torch.optim.AdamW, which the original recipe leaves as they are.
BETA1, BETA2, EPSILON, WEIGHT_DECAY = 0.9, 0.999, 1e-8, 0.01
STEPS_AT_ONCE = 16  # few beside the thousands of images that a rate of 7e-6 needs to move a weight


class Rank1AdamW:
    """Trains all linear layers of `module`, the only ones in it that have weights.

    `rate(k)` is the learning rate of step k = 0, 1, …
    """

    def __init__(self, module: nn.Module, rate: Callable[[int], float]) -> None:
        module.requires_grad_(False)
        self.rate, self.steps_done = rate, 0
        self.layers = [_Layer(each) for each in module.modules() if isinstance(each, nn.Linear)]
        largest = max(layer.weight.values.numel() for layer in self.layers)
        device = self.layers[0].weight.values.device
        self.buffers = torch.empty(2, largest, device=device)

    def step(self, compute_losses: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Take a step for each of the losses (k,) of k images, computed together; return them.

        The input of `module` must require a gradient, since its weights don't.
        """
        hooks = [layer.record() for layer in self.layers]
        try:
            losses = compute_losses()
        finally:
            for hook in hooks:
                hook.remove()
        self._update(losses)
        return losses.detach()

    def _update(self, losses: torch.Tensor) -> None:
        count, device = len(losses), self.buffers.device
        gradients = torch.autograd.grad(losses.sum(), [layer.outputs for layer in self.layers])
        rates = [self.rate(self.steps_done + k) for k in range(count)]
        coefficients = _coefficients(rates, self.steps_done, device)
        ones = torch.ones(count, 1, device=device)
        for layer, gradient in zip(self.layers, gradients, strict=True):
            layer.weight.update(gradient, layer.inputs, coefficients, self.buffers)
            layer.bias.update(gradient, ones, coefficients, self.buffers)
        self.steps_done += count


@dataclass(frozen=True, slots=True)
class _Coefficients:
    """What each of k steps counts for at their end, and what was there before them.

    `move`, `first` and `second` (k, 1) are the gradients' coefficients in the weights' move, the
    momentum and the second moments; `move_kept` … those of the moments before.
    """

    move: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    move_kept: float
    first_kept: float
    second_kept: float
    weight_kept: float
    second_total: float  # the bias correction of the second moments: less than 1 early on


def _coefficients(rates: list[float], steps_done: int, device: torch.device) -> _Coefficients:
    """Return the coefficients of steps at `rates` (k,), after `steps_done` others."""

    def column(values: NDArray[np.floating]) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device)[:, None]  # (k, 1)

    count = len(rates)
    number = np.arange(1, count + 1)
    # A step moves a weight by rate × momentum / the bias correction of the momentum.
    corrected = np.array(rates) / (1 - BETA1 ** (steps_done + number))
    decay = BETA1 ** np.maximum(number[None] - number[:, None], 0)  # (gradient of step, at step)
    move = (1 - BETA1) * np.triu(decay) @ corrected
    return _Coefficients(
        move=column(move),
        first=column((1 - BETA1) * BETA1 ** (count - number)),
        second=column((1 - BETA2) * BETA2 ** (count - number)),
        move_kept=float((corrected * BETA1**number).sum()),
        first_kept=BETA1**count,
        second_kept=BETA2**count,
        weight_kept=float(np.prod(1 - WEIGHT_DECAY * np.array(rates))),
        second_total=1 - BETA2 ** (steps_done + count),
    )


class _Layer:
    """A linear layer with its inputs (k, in) and outputs (k, out) of the last forward pass."""

    def __init__(self, layer: nn.Linear) -> None:
        self.weight = _Parameter(layer.weight.data)
        self.bias = _Parameter(layer.bias.data[:, None])
        self.inputs = self.outputs = torch.empty(0)
        self.layer = layer

    def record(self) -> RemovableHandle:
        """Keep inputs and outputs of forward passes until the returned handle is removed."""
        return self.layer.register_forward_hook(self._keep)

    def _keep(
        self, _layer: nn.Module, inputs: tuple[torch.Tensor, ...], outputs: torch.Tensor
    ) -> None:
        self.inputs, self.outputs = inputs[0].detach(), outputs


class _Parameter:
    """The values (out, in) of a weight or bias, with their first and second moments."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)

    def update(
        self,
        gradient: torch.Tensor,
        inputs: torch.Tensor,
        coefficients: _Coefficients,
        buffers: torch.Tensor,
    ) -> None:
        """Take steps whose gradients are the products of `gradient` (k, out), `inputs` (k, in)."""
        step, scale = (part[: self.values.numel()].view_as(self.values) for part in buffers)
        move, first, second = (
            (gradient**power * each).T  # (out, k)
            for power, each in (
                (1, coefficients.move),
                (1, coefficients.first),
                (2, coefficients.second),
            )
        )
        torch.addmm(self.first, move, inputs, beta=coefficients.move_kept, out=step)
        self.first.addmm_(first, inputs, beta=coefficients.first_kept)
        self.second.addmm_(second, inputs**2, beta=coefficients.second_kept)
        torch.sqrt(self.second, out=scale).mul_(coefficients.second_total**-0.5).add_(EPSILON)
        self.values.mul_(coefficients.weight_kept).addcdiv_(step, scale, value=-1)
