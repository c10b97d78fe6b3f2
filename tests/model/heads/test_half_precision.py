"""Protects the default recipe's head in half precision: in the module that CityAesthetics published
it says the same in bfloat16 and float16 as in float32, embeddings with dominating values included,
and as good predictions of images that were withheld as the regression that it was written from.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import spearmanr

from model.estimators import ordinal
from model.estimators.ordinal import Inputs, Ordinal
from model.heads.head import Head
from model.training.hidden_features import learn_features
from model.training.ordinal_to_head import ordinal_to_head
from tests.support.published import City

WIDTH, TAUGHT, OTHERS = 192, 400, 1200
JUDGED = 500  # images of which every format is asked
FORMATS = {torch.float32: 1e-5, torch.float16: 0.002, torch.bfloat16: 0.01}
KINDS = ["all alike", "dominated"]


def collection(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Raw embeddings and hand scores; the taste is not quite linear. In CLIP's embeddings two
    values are larger than all others together.
    """
    draw = np.random.default_rng(3)
    hidden = draw.normal(size=(TAUGHT + OTHERS, 24))
    raw = hidden @ draw.normal(size=(24, WIDTH)) / 5 + 0.1 * draw.normal(size=(len(hidden), WIDTH))
    if kind == "dominated":
        raw[:, [17, 90]] += [6.0, -5.0]
    taste = 1.5 * hidden[:, 0] + hidden[:, 1] + np.maximum(hidden[:, 2], 0) * hidden[:, 3]
    scores = 4.5 + 1.8 * taste + 0.5 * draw.normal(size=len(hidden))
    # What is measured is what the head rounds, not what rounding an embedding does.
    held = torch.from_numpy(raw).to(torch.bfloat16).to(torch.float16).float().numpy()
    return held, np.clip(np.round(scores), 0, 10)


@cache
def regression(kind: str) -> Ordinal:
    embeddings, scores = (each[:TAUGHT] for each in collection(kind))
    inputs = Inputs(embeddings)
    found = inputs.ordinal(ordinal.fit(inputs.values, scores, 15.0))
    return learn_features(
        found, embeddings, scores, count=64, epochs=10, seed=0, callback=lambda *_: None
    )


@cache
def head(kind: str, threshold: float = 0.5) -> Head:
    return ordinal_to_head(regression(kind), threshold, 1024)


@cache
def published(kind: str, number_format: torch.dtype, threshold: float = 0.5) -> np.ndarray:
    """What the published module says in this format of some images."""
    city = City(WIDTH, 1024)
    city.load_state_dict(head(kind, threshold).state_dict())
    with torch.inference_mode():
        x = torch.from_numpy(collection(kind)[0][:JUDGED]).to(number_format)
        return city.eval().to(number_format)(x).double().numpy()[:, 0]


@pytest.mark.parametrize(
    ("kind", "threshold"), [("all alike", 0.5), ("dominated", 0.5), ("dominated", 0.3)]
)
def test_every_format_says_the_same(kind: str, threshold: float) -> None:
    exact = published(kind, torch.float64, threshold)
    assert exact.std() > 0.2
    for number_format, most in FORMATS.items():
        wrong = np.abs(published(kind, number_format, threshold) - exact)
        assert wrong.max() <= most, number_format
        assert wrong.mean() <= most / 4, number_format


def test_few_images_change_sides_in_bfloat16() -> None:
    exact, rough = (published("all alike", each) for each in (torch.float64, torch.bfloat16))
    assert ((exact >= 0.5) != (rough >= 0.5)).mean() <= 0.01
    assert 0.2 < (exact >= 0.5).mean() < 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_both_half_formats_hold_every_weight(kind: str) -> None:
    for name, weight in head(kind).state_dict().items():
        for half in (torch.bfloat16, torch.float16):
            assert torch.equal(weight.to(half).float(), weight), (name, half)


def before(log_odds: np.ndarray) -> np.ndarray:
    """What the recipe made of log odds (n, 10) when it heaped clear cases; threshold 0.5."""
    weight, scale = np.ones(10), np.full(10, 0.5)
    weight[4], scale[4] = 20.0, 0.6
    total = (weight * expit(log_odds / scale)).sum(axis=1)
    return np.interp(total, [0, 4, 14, 24, 25, 29], [0.0, 0.4, 0.5, 0.52, 0.6, 1.0])


def test_withheld_images_are_predicted_as_well_as_before() -> None:
    embeddings, scores = (each[TAUGHT:] for each in collection("all alike"))
    truth = scores / 10
    with torch.inference_mode():
        said = head("all alike")(torch.from_numpy(embeddings)).numpy()[:, 0]
    log_odds = regression("all alike").logits(embeddings)
    was = before(log_odds)
    assert np.abs(said - truth).mean() <= np.abs(was - truth).mean() + 0.001
    assert spearmanr(said, truth).statistic >= spearmanr(was, truth).statistic - 0.002
    for threshold in (0.3, 0.5, 0.7):
        passes = truth >= threshold - 1e-9
        assert precision(passes, said) >= precision(passes, was) - 0.003


def precision(passes: np.ndarray, said: np.ndarray) -> float:
    """Average precision."""
    right = passes[np.argsort(-said, kind="stable")]
    return float((np.cumsum(right) / np.arange(1, len(right) + 1))[right].mean())


def test_predictions_are_not_heaped_on_whole_tenths() -> None:
    with torch.inference_mode():
        said = head("all alike")(torch.from_numpy(collection("all alike")[0])).numpy()
    near = np.abs(said - np.round(said, 1)) < 1e-5
    assert near.mean() < 0.01
