"""Protects the simplification of heads: the same function whatever the weights are, and far less
work for heads that are mostly zeros or repetitions.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from model.estimators.ordinal import Features, Ordinal
from model.heads.head import Head
from model.heads.simplify import SimplifiedHead, in_format
from model.training.ordinal_to_head import ordinal_to_head

WIDTH, HIDDEN = 24, 96


def dense(outputs: int = 1) -> Head:
    torch.manual_seed(1)
    return Head(WIDTH, HIDDEN, outputs).eval().requires_grad_(False)


def written(features: int, hidden: int = HIDDEN) -> Head:
    """As the default recipe writes it."""
    draw = np.random.default_rng(3)
    bent = Features(
        draw.normal(0, 0.3, (WIDTH, features)),
        draw.normal(0, 1, features),
        draw.normal(0, 0.5, (features, 10)),
    )
    weights = draw.normal(0, 3 / np.sqrt(WIDTH), (WIDTH, 10))
    fitted = Ordinal(weights, np.linspace(3, -3, 10), bent if features else None)
    return ordinal_to_head(fitted, 0.5, hidden)


def thinned(seed: int) -> Head:
    """A head of which each layer reads some units and fills some, some alike; biases stay."""
    draw, head = np.random.default_rng(seed), dense(1 + 2 * (seed % 2))
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            rows, columns = (draw.random(size) < 0.6 for size in layer.weight.shape)
            layer.weight *= torch.from_numpy(rows[:, None] & columns[None, :]) * 4
    alike = torch.from_numpy(draw.integers(0, 5, HIDDEN))
    if seed % 3:
        head.first.weight.copy_(head.first.weight[alike])
    return head


def empty() -> Head:
    head = dense()
    for parameter in head.parameters():
        parameter.zero_()
    last = head.down[5]
    assert isinstance(last, nn.Linear)
    last.bias.fill_(0.3)
    return head


HEADS = {
    "dense": dense(),
    "classes": dense(3),
    "many classes": dense(300),
    "regression": written(0),
    "regression with features": written(8),
    "empty": empty(),
} | {f"thinned {seed}": thinned(seed) for seed in range(8)}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_compact_head_says_what_the_head_says(head: Head) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(64, WIDTH)))
    with torch.inference_mode():
        whole, compact = copy.deepcopy(head).double()(x), SimplifiedHead(head)(x)
        np.testing.assert_allclose(compact, whole, rtol=0, atol=1e-9)
        in_float32 = SimplifiedHead(head).float()(x.float())
    np.testing.assert_allclose(in_float32, whole, rtol=0, atol=5e-4)


def test_a_dense_head_in_float32_differs_by_rounding_alone() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(64, WIDTH))).float()
    with torch.inference_mode():
        np.testing.assert_allclose(
            SimplifiedHead(dense()).float()(x), dense()(x), rtol=0, atol=1e-6
        )


def test_a_coarse_head_errs_less_than_one_that_is_bfloat16_to_its_end() -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(512, WIDTH))).float()
    steep = dense()
    steep.down[5].weight *= 30
    compact = SimplifiedHead(steep)
    with torch.inference_mode():
        exact = steep(x)
        coarsened = in_format(compact, torch.bfloat16)(x.bfloat16())
        through = copy.deepcopy(steep).bfloat16()(x.bfloat16()).float()
    assert coarsened.dtype == torch.float32
    assert exact.std() > 0.02
    assert (coarsened - exact).abs().max() < 0.6 * (through - exact).abs().max()
    assert next(compact.parameters()).dtype == torch.float64


def test_one_embedding_and_none() -> None:
    for head in HEADS.values():
        compact = SimplifiedHead(head)
        with torch.inference_mode():
            assert compact(torch.zeros(1, WIDTH).double()).shape == (1, head.outputs)
            assert compact(torch.zeros(0, WIDTH).double()).shape == (0, head.outputs)


def test_work_is_what_is_left_to_do() -> None:
    full = sum(layer.weight.numel() for layer in dense().modules() if isinstance(layer, nn.Linear))
    assert 0.6 * full < SimplifiedHead(dense()).multiplications <= full
    # 10 levels and 8 features of the embedding, up and down again through all corners.
    assert SimplifiedHead(written(8)).multiplications < full / 2
    assert SimplifiedHead(written(0)).multiplications < full / 2
    assert SimplifiedHead(empty()).multiplications == 0
