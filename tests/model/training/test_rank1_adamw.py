"""Steps of one image each are AdamW's own, also where several go through the weights at once."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch

from model.heads.head import Head
from model.training.rank1_adamw import STEPS_AT_ONCE, Rank1AdamW

STEPS, RATE = 160, 1e-5


def rate(step: int) -> float:
    return RATE * (1 + math.cos(math.pi * step / STEPS)) / 2


def made() -> tuple[Head, torch.Tensor, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        # Without dropout, which draws otherwise for several images than for one.
        return Head(24, 48).eval(), torch.randn(STEPS, 24), torch.rand(STEPS)


def trained_by_adamw() -> Head:
    head, inputs, truth = made()
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE)
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = rate(step)
        optimiser.zero_grad()
        (head(inputs[step : step + 1])[0, 0] - truth[step]).abs().backward()
        optimiser.step()
    return head


def trained(at_once: int) -> Head:
    head, inputs, truth = made()
    optimizer = Rank1AdamW(head, rate)

    def losses() -> torch.Tensor:
        rows = slice(optimizer.steps_done, optimizer.steps_done + at_once)
        return torch.abs(head(inputs[rows].requires_grad_())[:, 0] - truth[rows])

    while optimizer.steps_done < STEPS:
        optimizer.step(losses)
    return head


def moved(head: Head) -> np.ndarray:
    """How far each weight is from where it was made."""
    pairs = zip(head.parameters(), made()[0].parameters(), strict=True)
    return np.concatenate([(now - then).detach().numpy().ravel() for now, then in pairs])


def test_one_step_after_the_other_is_adamw() -> None:
    expected, found = moved(trained_by_adamw()), moved(trained(1))
    assert np.abs(expected).max() > 20 * RATE
    np.testing.assert_allclose(found, expected, atol=0.02 * RATE)


def test_several_steps_at_once_go_nearly_the_same_way() -> None:
    expected, found = moved(trained_by_adamw()), moved(trained(STEPS_AT_ONCE))
    alike = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
    assert alike > 0.95
    assert 0.9 < np.linalg.norm(found) / np.linalg.norm(expected) < 1.1


def test_weights_decay_as_with_adamw_where_nothing_pulls() -> None:
    head, _, _ = made()
    before = copy.deepcopy(head.state_dict())
    optimizer = Rank1AdamW(head, lambda step: 0.1)
    nothing = torch.zeros(5, 24, requires_grad=True)
    optimizer.step(lambda: head(nothing)[:, 0] * 0)
    for name, weights in head.state_dict().items():
        torch.testing.assert_close(weights, before[name] * (1 - 0.01 * 0.1) ** 5)
