"""Protects scoring many embeddings: on all cores and in any number format the predictions are those
of the head, in the order of the rows.
"""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest
import torch

from model.heads import inference as scoring
from model.heads.head import Head, predict
from model.heads.inference import BatchPredictor, row_lengths
from model.threads import parallel_map

CPU = torch.device("cpu")


def head(hidden: int = 512, steep: float = 1.0) -> Head:
    """`steep` makes small differences before the end large."""
    torch.manual_seed(2)
    made = Head(16, hidden).eval().requires_grad_(False)
    last = made.down[5]
    assert isinstance(last, torch.nn.Linear)
    last.weight.mul_(steep)
    return made


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(count, 16)).astype(np.float32)


def has_bfloat16(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    """As on another processor: every one computes bfloat16, but not every one quickly."""
    monkeypatch.setattr(scoring, "has_bfloat16", lambda device: answer)


def test_it_says_what_the_head_says_of_any_float_format() -> None:
    x = rows(3000)
    said = BatchPredictor(head(), CPU)(x)
    np.testing.assert_allclose(said, predict(head(), x), atol=1e-5)
    assert (said.dtype, said.shape) == (np.float32, (3000,))
    half = x.astype(np.float16)
    for given in (half, half.astype(np.float64), np.asfortranarray(half), half.astype(">f4")):
        np.testing.assert_allclose(BatchPredictor(head(), CPU)(given), said, atol=2e-3)
    frozen = x.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(BatchPredictor(head(), CPU)(frozen), said)


def test_all_rows_come_back_in_their_order() -> None:
    x = rows(2 * scoring.ROWS_PER_THREAD + 5)
    scorer = BatchPredictor(head(32), CPU)
    np.testing.assert_allclose(scorer.predict_all(x), predict(head(32), x), atol=1e-5)
    assert scorer.predict_all(x[:0]).shape == (0,)


def test_classes_come_as_shares() -> None:
    torch.manual_seed(2)
    made = Head(16, 32, 3).eval().requires_grad_(False)
    said = BatchPredictor(made, CPU).predict_all(rows(10))
    assert said.shape == (10, 3)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-6)


def test_bfloat16_is_used_where_it_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    has_bfloat16(monkeypatch, True)
    tuned = BatchPredictor(head(), CPU).tuned(rows(512))
    assert tuned.format == torch.bfloat16
    x = rows(2000)
    np.testing.assert_allclose(tuned(x), predict(head(), x), atol=scoring.AGREEMENT)


def test_bfloat16_is_not_used_where_it_says_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_bfloat16(monkeypatch, True)
    steep = BatchPredictor(head(steep=300.0), CPU)
    assert steep.tuned(rows(512)).format == torch.float32
    broken = rows(512)
    broken[7] = np.inf
    assert BatchPredictor(head(), CPU).tuned(broken).format == torch.float32


def test_a_processor_without_bfloat16_keeps_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    has_bfloat16(monkeypatch, False)
    assert BatchPredictor(head(), CPU).tuned(rows(512)).format == torch.float32


def test_a_small_head_says_the_same_whatever_else_is_in_its_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_bfloat16(monkeypatch, True)
    scorer, x = BatchPredictor(head(32), CPU).tuned(rows(512)), rows(200)
    assert scorer.format == torch.float64
    alone = np.concatenate([scorer(x[k : k + 1]) for k in range(len(x))])
    np.testing.assert_allclose(scorer(x), alone, rtol=0, atol=1e-7)


def test_lengths_tell_what_is_not_finite() -> None:
    x = np.array([[3, 4], [np.inf, 1], [np.nan, 1]], dtype=np.float16)
    found = row_lengths(x)
    assert found[0] == 5
    assert np.isfinite(found).tolist() == [True, False, False]


def test_shared_work_is_in_order_in_threads_of_one_core_each() -> None:
    before = torch.get_num_threads()
    found = list(parallel_map(lambda item: (item * 2, torch.get_num_threads()), range(50)))
    assert [doubled for doubled, _ in found] == list(range(0, 100, 2))
    assert {threads for _, threads in found} == {1}
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *later] == [before, before]


def test_work_that_is_closed_early_is_not_done_to_its_end() -> None:
    seen: list[int] = []
    with closing(parallel_map(seen.append, range(10_000))) as multiplications:
        next(multiplications)
    assert len(seen) < 100


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda item: 1 // item, range(5)))
