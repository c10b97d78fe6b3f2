"""Repeats: which images are shown once more, and which two scores are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import db.importing.files
import db.scores.events
import db.scores.hand_scores
import db.scores.undo_history
import db.versions.rounds
from db.scores.aggregation import Rule, set_effective_rule
from db.scores.repeats import BETWEEN, blind_pairs, repeats_behind
from db.store.store import Store
from tests.support.store_rows import (
    NOON,
    add_encoder,
    add_images,
    add_version,
    event,
    new_store,
    score,
)

OLD = 6  # images that ann scored before `BETWEEN` others


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Images 1 to 6 scored by ann, then 50 others, all in one go."""
    with new_store(tmp_path) as made:
        ids = add_images(made, OLD + BETWEEN + 10)
        by_ann(made, ids[: OLD + BETWEEN])
        yield made


def by_ann(store: Store, ids: Sequence[int], **more: Any) -> None:
    """Ann scores them without a prediction, as many points as the id's last digits say."""
    given = {"scorer": "ann", "queue": "score", **more}
    events = [event(f"image-{i}-0", "score", i, value=i % 11, **given) for i in ids]
    assert all(receipt.accepted for receipt in db.scores.events.record(store, events))


def offered(store: Store, scorer: str | None = "ann", **more: Any) -> set[int]:
    """The images that come behind one or another of a hundred images."""
    found = repeats_behind(store, scorer, range(1, 100), **more)
    return {image.id for image in found.values()}


def behind(store: Store, image_id: int, **more: Any) -> int | None:
    found = repeats_behind(store, "ann", [image_id], **more)
    return found[image_id].id if found else None


def test_only_what_was_scored_a_while_ago_by_the_same_person(store: Store) -> None:
    assert offered(store) == {1, 2, 3, 4, 5, 6}
    assert offered(store, "bob") == offered(store, None) == set()
    assert offered(store, exclude={1, 2}) == {3, 4, 5, 6}


def test_few_scores_repeat_nothing(tmp_path: Path) -> None:
    with new_store(tmp_path) as few:
        by_ann(few, add_images(few, BETWEEN))
        assert offered(few) == set()


def test_others_scores_do_not_count_as_scores_between(store: Store) -> None:
    for image_id in range(1, OLD + 1):
        score(store, image_id, 2, scorer="bob", queue="score")
    assert offered(store, "bob") == set()
    assert offered(store) == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param({"queue": "score"}, id="revised"),
        pytest.param({"why": "import"}, id="imported too"),
        pytest.param({"queue": "score", "repeat": True}, id="repeated"),
    ],
)
def test_what_was_scored_again_is_not_repeated(store: Store, seen: dict[str, Any]) -> None:
    score(store, 3, 9, scorer="ann", **seen)
    assert offered(store) - {7} == {1, 2, 4, 5, 6}
    undo = event("undo", "undo", undoes=f"image-3-{1}")
    db.scores.events.record(store, [undo])
    assert 3 in offered(store)


def test_what_was_seen_with_a_prediction_is_not_repeated(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        ids = add_images(store, OLD + BETWEEN)
        by_ann(store, ids[:1], shown_prediction=0.4)
        by_ann(store, ids[1:2], why="import")
        by_ann(store, ids[2:])
        add_encoder(store)
        add_version(store)
        review = db.versions.rounds.open_round(store, 1, 0.5)
        db.versions.rounds.mark_shown(store, review.id, "hand-score", [(3, 0.9)])
        assert offered(store) == {4, 5, 6}


def test_skipped_and_missing_images_are_not_repeated(store: Store) -> None:
    db.scores.events.record(store, [event("skip", "skip", 5, queue="score")])
    db.importing.files.mark_missing(store, 1, ["/pictures/0.png"])
    assert offered(store) == {2, 3, 4, 6}


def test_the_choice_is_at_random_and_stays_as_long_as_it_may(store: Store) -> None:
    chosen = {image_id: behind(store, image_id) for image_id in range(400)}
    counts = Counter(chosen.values())
    assert counts.keys() == {1, 2, 3, 4, 5, 6}
    assert all(30 < count < 105 for count in counts.values())  # 67, five standard deviations
    score(store, 2, 5, scorer="ann", queue="score", repeat=True)
    for image_id, before in chosen.items():
        assert behind(store, image_id) in ({before, 7} if before != 2 else {1, 3, 4, 5, 6, 7})


def test_a_page_shows_none_twice(store: Store) -> None:
    found = repeats_behind(store, "ann", [100, 200, 300, 400, 500, 600, 700, 800])
    assert len({image.id for image in found.values()}) == len(found) == OLD


def test_a_repeat_is_history_and_the_latest_score_counts(store: Store) -> None:
    receipt = score(store, 4, 9, scorer="ann", queue="score", repeat=True, event_id="again")
    assert (receipt.before, receipt.after) == (4, 9)
    last = db.scores.hand_scores.history(store, 4)[-1]
    assert (last.value, last.why) == (9, "revision")
    acts = db.scores.undo_history.recent_events(store, ("score",), 2, "ann")
    assert [(act.is_repeat, act.before) for act in acts] == [(False, None), (True, 4)]
    assert pairs(store) == {"ann": [(4, 4.0, 9.0)]}
    undone = db.scores.events.record(store, [event("undo", "undo", undoes="again")])[0]
    assert undone.after == 4
    assert pairs(store) == {}


def test_under_the_mean_each_scorers_latest_counts(store: Store) -> None:
    set_effective_rule(store, Rule("mean"))
    score(store, 4, 9, scorer="ann", queue="score", repeat=True)
    assert db.scores.hand_scores.effective_of(store, [4]) == {4: 9.0}


def pairs(store: Store) -> dict[str | None, list[tuple[int, float, float]]]:
    return {
        who: list(zip(*(each.tolist() for each in arrays), strict=True))
        for who, arrays in blind_pairs(store).items()
    }


def test_pairs_are_the_first_score_and_what_became_of_the_repeat(store: Store) -> None:
    later = NOON + timedelta(days=1)
    score(store, 6, 2, scorer="ann", queue="score", repeat=True, at=later)
    score(store, 2, 5, scorer="ann", queue="score", repeat=True)
    score(store, 2, 4, scorer="ann", queue="score", repeat=True)  # a slip mended at once
    score(store, 2, 10, scorer="ann", queue="score")  # on purpose, in another order
    score(store, 2, 0, scorer="bob", queue="score")
    assert pairs(store) == {"ann": [(2, 2.0, 4.0), (6, 6.0, 2.0)]}


@pytest.mark.parametrize(
    ("between", "again"),
    [
        pytest.param({"queue": "score"}, {"scorer": "ann"}, id="revised before"),
        pytest.param(None, {"scorer": "bob"}, id="somebody else's"),
        pytest.param(None, {"scorer": "ann", "shown_prediction": 0.7}, id="prediction shown"),
    ],
)
def test_what_was_not_blind_does_not_count(
    store: Store, between: dict[str, Any] | None, again: dict[str, Any]
) -> None:
    if between is not None:
        score(store, 1, 8, scorer="ann", **between)
    score(store, 1, 7, queue="score", repeat=True, **again)
    assert pairs(store) == {}
