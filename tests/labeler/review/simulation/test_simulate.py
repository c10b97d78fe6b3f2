"""Protects the simulated loop: nobody is asked for what is withheld or twice, counts add up, the
same plan gives the same result, and every strategy chooses what its name says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import labeler.app
from labeler.core.errors import BadInput
from labeler.core.jobs import child_process
from labeler.review.simulation.report import summary, table
from labeler.review.simulation.simulate import (
    FIGURES,
    LabelledData,
    RoundResult,
    SimulationPlan,
    StrategyRun,
    _first_version,
    check_plan,
    simulate,
)
from labeler.review.simulation.strategies import (
    CARDS_PER_UPDATE,
    PAGE_SIZE,
    STRATEGIES,
    SimulationState,
    TrainedVersion,
)
from model.estimators import kernel_ordinal
from model.review import bandit
from tests.support.review_arrays import at, make_arrays

PLAN = SimulationPlan(
    start=40, rounds=2, batch=10, withhold=0.25, seeds=2, strategies=("review", "random")
)
OPENED = 150  # of 200 images in 40 groups of 5, a quarter of which is withheld


def wrong_side_cluster() -> LabelledData:
    """200 images, 16 values: four heaps, of which no straight line can have the small one right."""
    draw = np.random.default_rng(0)
    heap = draw.permutation(np.repeat([0, 1, 2, 3], [90, 45, 45, 20]))
    corner = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])[heap]
    embeddings = 0.6 * draw.normal(size=(200, 16))
    embeddings[:, :2] = embeddings[:, :2] / 2 + 2 * corner
    good, bad = draw.integers(6, 10, 200), draw.integers(0, 4, 200)
    scores = np.where((heap == 1) | (heap == 2), good, bad).astype(np.float64)
    groups, hashes = np.repeat(np.arange(40), 5), np.zeros(200, dtype=np.uint64)
    return LabelledData(embeddings.astype(np.float32), scores, groups, hashes)


@contextmanager
def no_processes(_workers: int, prepare: Callable[..., None], given: Any) -> Iterator[Executor]:
    """As `child_process.process_pool`, the work being done in this process."""
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(1, initializer=prepare, initargs=given) as executor:
            yield executor
    finally:
        torch.set_num_threads(threads)
        _first_version.cache_clear()


@pytest.fixture(scope="module")
def played() -> list[StrategyRun]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child_process, "process_pool", no_processes)
        return simulate(wrong_side_cluster(), PLAN)


def test_plays_come_in_order_and_their_counts_add_up(played: list[StrategyRun]) -> None:
    order = [(each.seed, each.strategy) for each in played]
    assert order == [(0, "review"), (0, "random"), (1, "review"), (1, "random")]
    for each in played:
        assert [turn.round for turn in each.turns] == [0, 1, 2]
        assert [turn.asked for turn in each.turns] == [0, 10, 10]
        assert [turn.scored for turn in each.turns] == [40, 50, 60]
        assert {(turn.seed, turn.strategy) for turn in each.turns} == {(each.seed, each.strategy)}
        assert all(0 <= turn.found <= turn.asked for turn in each.turns)
        assert all(turn.figures.keys() == set(FIGURES) for turn in each.turns)


def test_chances_are_of_all_that_was_left_before_each_round(played: list[StrategyRun]) -> None:
    for each in played:
        # 110 images are left before the first round, 100 before the second: none is withheld.
        assert each.chances.shape == (OPENED - 40 + OPENED - 50, 2)
        wrong = each.chances[:, 1]
        assert set(wrong.tolist()) <= {0.0, 1.0}
        assert ((each.chances[:, 0] >= 0) & (each.chances[:, 0] <= 1)).all()
        before = [turn.left for turn in each.turns[:2]]
        assert [wrong[:110].sum(), wrong[110:].sum()] == before


def test_all_strategies_of_a_seed_start_from_the_same_version(played: list[StrategyRun]) -> None:
    review, random = (
        [replace(each.turns[0], strategy="") for each in played if each.strategy == name]
        for name in PLAN.strategies
    )
    assert review == random
    assert review[0] != replace(review[1], seed=0)


def test_review_finds_more_real_mistakes_than_chance(played: list[StrategyRun]) -> None:
    found = {
        name: sum(turn.found for each in played if each.strategy == name for turn in each.turns)
        for name in PLAN.strategies
    }
    assert found["review"] >= 2 * found["random"] > 0


def test_the_same_plan_gives_the_same_whatever_else_is_played_in_which_process(
    played: list[StrategyRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    told: list[tuple[int, int, str]] = []
    again = simulate(
        wrong_side_cluster(),
        replace(PLAN, rounds=1, seeds=1, strategies=("random", "review")),
        lambda *now: told.append(now),
    )
    assert told == [(done, 2, "simulating") for done in range(3)]
    assert [each.strategy for each in again] == ["random", "review"]
    for each, before in zip(again, (played[1], played[0]), strict=True):
        assert each.turns == before.turns[:2]
        np.testing.assert_array_equal(each.chances, before.chances[: OPENED - 40])


def test_who_asks_for_all_is_given_each_once_and_nothing_withheld(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child_process, "process_pool", no_processes)
    plan = replace(PLAN, seeds=1, rounds=3, batch=1000, strategies=("review",))
    (each,) = simulate(wrong_side_cluster(), plan)
    assert [turn.asked for turn in each.turns] == [0, OPENED - 40]
    assert [turn.scored for turn in each.turns] == [40, OPENED]
    # Every image that the first version had wrong was found.
    assert each.turns[1].found == each.turns[0].left > 0
    assert each.turns[1].left == 0


class Unexpected(Exception):
    pass


def test_what_progress_raises_ends_it() -> None:
    def stop(done: int, total: int, what: str) -> None:
        raise Unexpected

    with pytest.raises(Unexpected):
        simulate(wrong_side_cluster(), PLAN, stop)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"start": 19}, "--start 19 is too few: a training needs 20"),
        ({"start": OPENED}, "Of 200 images 150 are left .* --start takes 150"),
        ({"withhold": 0.9}, "--start takes 40"),
        ({"threshold": 0.95}, "one side of the threshold 0.95"),
        ({"threshold": 0.0}, "one side of the threshold 0;.*--threshold"),
    ],
)
def test_plans_that_cannot_be_played_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        simulate(wrong_side_cluster(), replace(PLAN, **change))


def test_a_small_collection_is_refused_and_the_usual_one_is_not() -> None:
    data = wrong_side_cluster()
    with pytest.raises(BadInput, match="score more images"):
        check_plan(data.take(np.arange(40)), PLAN)
    check_plan(data, PLAN)


def standing(
    predictions: list[float],
    *,
    degrees: list[float] | None = None,
    scored: dict[int, float] | None = None,
    looks: dict[int, int] | None = None,
    seed: int = 0,
) -> SimulationState:
    """Images at angles (a degree apart unless told), the `scored` ones (row: 0–10) not left."""
    degrees = degrees or list(range(len(predictions)))
    scored, scores = scored or {}, np.full(len(predictions), np.nan)
    scores[list(scored)] = list(scored.values())
    rows = list(scored) or [0, len(predictions) - 1]
    given = np.array([scored.get(row, 10.0 * (k % 2)) for k, row in enumerate(rows)])
    units = at(degrees)
    arrays = make_arrays(
        predictions, degrees, looks=looks, opinion=kernel_ordinal.fit(units[rows], given)
    )
    return SimulationState(
        threshold=0.5,
        version=TrainedVersion(arrays, units),
        left=np.setdiff1d(np.arange(len(predictions)), list(scored)),
        scored=list(scored),
        scores=scores,
        seed=seed,
        draw=np.random.default_rng(seed),
    )


def chosen(name: str, now: SimulationState, wanted: int) -> list[int]:
    """Rows that a strategy chooses."""
    rows, by = STRATEGIES[name](now, wanted)
    assert len(by) == len(rows)
    assert np.isin(rows, now.left).all()
    return rows.tolist()


PREDICTIONS = [0.2, 0.9, 0.48, 0.55, 0.7, 0.1]


def test_highest_score_and_nearest_threshold_by_hand() -> None:
    now = standing(PREDICTIONS, scored={1: 9.0, 5: 0.0})
    assert chosen("highest-score", now, 3) == [4, 3, 2]
    assert chosen("nearest-threshold", now, 3) == [2, 3, 4]
    assert chosen("nearest-threshold", now, 9) == [2, 3, 4, 0]
    for name in ("highest-score", "nearest-threshold", "greedy-sampling", "random"):
        assert STRATEGIES[name](now, 2)[1] == [name, name]


def test_random_gives_every_image_the_same_chance() -> None:
    now = standing(PREDICTIONS, scored={1: 9.0, 5: 0.0})
    rows = [chosen("random", now, 2) for _ in range(400)]
    assert all(len(set(pair)) == 2 for pair in rows)
    counts = np.bincount(np.ravel(rows), minlength=6)
    assert counts[[1, 5]].tolist() == [0, 0]
    assert (np.abs(counts[[0, 2, 3, 4]] - 200) < 50).all()
    assert sorted(chosen("random", now, 9)) == [0, 2, 3, 4]


def test_greedy_sampling_by_hand() -> None:
    """Scored: 0 at 0°. Distance times difference: A 0.17 * 0.9, B 1.41 * 0.5, C 1.41 * 0.1; B is
    chosen, beside which C is nothing and A still 0.16.
    """
    now = standing([0.3, 0.9, 0.5, 0.1], degrees=[0, 10, 90, 90], scored={0: 0.0})
    assert chosen("greedy-sampling", now, 1) == [2]
    assert chosen("greedy-sampling", now, 3) == [2, 1, 3]
    assert sorted(chosen("greedy-sampling", now, 9)) == [1, 2, 3]


def test_greedy_sampling_minds_every_scored_image() -> None:
    draw = np.random.default_rng(4)
    said, degrees = draw.uniform(size=1300), draw.uniform(0, 180, 1300)
    scored = {row: float(draw.integers(0, 11)) for row in range(1200)}
    now = standing(said.tolist(), degrees=degrees.tolist(), scored=scored)
    units, rows = now.version.units.astype(np.float64), np.arange(1200)
    apart = np.linalg.norm(units[1200:, None] - units[None, :1200], axis=2)
    least = (apart * np.abs(said[1200:, None] - now.scores[rows] / 10)).min(axis=1)
    assert chosen("greedy-sampling", now, 1) == [1200 + int(np.argmax(least))]


def around(seed: int = 0) -> SimulationState:
    """Sixty images all around, those of one half scored 9, of the other 1; all predicted 0.8."""
    degrees = (np.arange(60) * 6.0).tolist()
    scored = {row: 9.0 if row < 30 else 1.0 for row in range(0, 60, 3)}
    said = 0.8 + np.arange(60) * 1e-3
    return standing(said.tolist(), degrees=degrees, scored=scored, seed=seed)


def evidence_of(by: list[str | None]) -> list[str]:
    """What dealt each card, without its near-duplicates."""
    return [name for name in by if name is not None]


def test_review_asks_for_a_few_different_ones_by_known_evidence() -> None:
    now = around()
    rows, by = STRATEGIES["review"](now, 40)
    assert len(rows) == len(set(rows.tolist())) == len(by)
    assert len(evidence_of(by)) == CARDS_PER_UPDATE
    assert set(evidence_of(by)) <= set(bandit.PRIORS)
    assert len(STRATEGIES["review"](now, 3)[0]) == 3
    now.left = now.left[[3, 20]]
    assert sorted(chosen("review", now, 40)) == sorted(now.left.tolist())


def test_review_follows_the_evidence_that_found_mistakes() -> None:
    now = around()
    now.record = [(bandit.SECOND_OPINION, True), (bandit.PREDICTION, False), (None, True)] * 100
    assert set(evidence_of(STRATEGIES["review"](now, 9)[1])) == {bandit.SECOND_OPINION}
    now.record = [(bandit.SECOND_OPINION, False), (bandit.PREDICTION, True), (None, True)] * 100
    assert set(evidence_of(STRATEGIES["review"](now, 9)[1])) == {bandit.PREDICTION}


def test_review_is_the_same_for_the_same_seed() -> None:
    rows = [chosen("review", around(seed), 8) for seed in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_answers_of_the_round_are_minded_at_once() -> None:
    now = around()
    now.record = [(bandit.SECOND_OPINION, True), (bandit.PREDICTION, False)] * 100
    first = chosen("review", now, 1)
    now.answers = {first[0]: 9.0}
    assert abs(chosen("review", now, 1)[0] - first[0]) > 3


def test_near_duplicates_are_answered_with_the_card_that_they_are_on() -> None:
    """Ten heaps of six pictures that look the same."""
    degrees = np.repeat(np.arange(10) * 36.0, 6).tolist()
    looks = {row: (0x0F0F_3355_0F0F_3355 << row // 6) & (2**64 - 1) for row in range(60)}
    now = standing([0.6] * 60, degrees=degrees, looks=looks, scored={0: 9.0, 59: 1.0})
    rows, by = STRATEGIES["review"](now, 12)
    heaps = rows // 6
    assert (np.diff(heaps) != 0).sum() == len(set(heaps.tolist())) - 1
    assert [name is None for name in by] == [False, *(np.diff(heaps) == 0).tolist()]
    assert len(set(rows.tolist())) == 12


def test_pages_are_asked_for_as_the_browser_does() -> None:
    """The page's own numbers are in its scripts."""
    scripts = Path(labeler.app.__file__).parent / "assets"
    code = "\n".join(file.read_text() for file in sorted(scripts.rglob("*.js")))
    assert re.findall(r"const PAGE_SIZE = (\d+);", code) == [str(PAGE_SIZE)]
    assert re.findall(r"const REPLACE_AFTER = (\d+);", code) == [str(CARDS_PER_UPDATE)]


def test_intervals_of_shares_hold_only_what_a_share_can_be() -> None:
    figures = dict.fromkeys(FIGURES, 0.99)
    turns = [
        RoundResult(
            seed=seed,
            strategy="review",
            round=0,
            asked=0,
            found=seed,
            left=seed,
            scored=40,
            figures=figures | {"precision": share},
        )
        for seed, share in enumerate([1.0, 0.9])
    ]
    played = [StrategyRun("review", each.seed, [each], np.zeros((0, 2))) for each in turns]
    told = summary(played, replace(PLAN, rounds=0, strategies=("review",)))
    found = told["rounds"][0]["figures"]
    assert found["precision"]["high"] == 1.0 and 0 <= found["precision"]["low"] < 0.95
    assert found["found"]["low"] == 0 and found["found"]["high"] > 1
    assert "0.950 (0.315 to 1.000)" in "\n".join(table(told))
