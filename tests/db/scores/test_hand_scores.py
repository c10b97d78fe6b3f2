"""Hand scores: every one that was shown as kept is kept, on its image, once.

Protects: a repeated submission is harmless, undo really undoes and many times, unscored is never 0,
the effective score always is what the rule makes of those that are not undone (the latest, the mean
of several scorers, one person's), one bad event doesn't cost the others, and review outcomes follow
what was done. A model of a dozen lines plays random sequences of scores by several people, skips,
undos, repetitions and changes of the rule against the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

import db.images.counts
import db.images.lookup
import db.records
import db.scores.aggregation
import db.scores.events
import db.scores.hand_scores
import db.scores.queue_queries
import db.versions.rounds
from db.errors import StoreError
from db.records import Event
from db.scores.aggregation import Rule, read_rule
from db.store.store import Store
from tests.support.store_rows import (
    NOON,
    add_encoder,
    add_images,
    add_version,
    event,
    later,
    new_store,
    score,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        yield made


def hand_score(store: Store, image_id: int) -> float | None:
    image = db.images.lookup.get(store, image_id)
    assert image is not None
    return image.hand_score


def test_a_score_is_kept_with_all_that_was_shown(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    score(store, image_id, 3, scorer="ann")
    add_encoder(store)
    version = add_version(store)
    tokyo = datetime(2025, 3, 1, 21, 30, tzinfo=timezone(timedelta(hours=9)))
    score(store, image_id, 6.5, at=tokyo, scorer="ann", shown_prediction=0.25, shown_version="v1.0")
    first, second = db.scores.hand_scores.history(store, image_id)
    assert (first.value, first.why, first.at) == (3.0, "first", NOON)
    assert (second.value, second.why, second.scorer) == (6.5, "revision", "ann")
    assert (second.shown_prediction, second.shown_version) == (0.25, version.name)
    assert (second.at, second.undone_at) == (tokyo, None)
    assert second.at.utcoffset() == timedelta(0)


def test_zero_is_a_score_and_unscored_is_none(store: Store) -> None:
    scored_id, unscored_id = add_images(store, 2)
    score(store, scored_id, 0)
    assert hand_score(store, scored_id) == 0.0
    assert hand_score(store, unscored_id) is None
    assert db.images.counts.by_hand_score(store).distribution == [1, *[0] * 10]
    assert (
        db.images.counts.by_hand_score(store).scored,
        db.images.counts.by_hand_score(store).waiting,
    ) == (1, 1)
    ids, values = db.scores.hand_scores.effective(store)
    assert (ids.tolist(), values.tolist()) == ([scored_id], [0.0])


def test_the_same_event_again_changes_nothing(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    five = event("five", "score", image_id, value=5)
    eight = event("eight", "score", image_id, value=8)
    db.scores.events.record(store, [five, eight])
    receipts = db.scores.events.record(store, [five, five])
    assert [(r.event_id, r.accepted, r.repeated) for r in receipts] == [("five", True, True)] * 2
    assert hand_score(store, image_id) == 8.0
    assert len(db.scores.hand_scores.history(store, image_id)) == 2


def test_a_receipt_tells_what_counted_before_and_what_counts_now(store: Store) -> None:
    image_id, other = add_images(store, 2)
    assert (score(store, image_id, 7).before, score(store, other, 1).after) == (None, 1)
    # Of somebody who takes it for unscored still, all in one batch.
    told = db.scores.events.record(
        store,
        [
            event("mine", "score", image_id, value=3),
            event("back", "undo", image_id, undoes="mine"),
            event("again", "score", image_id, value=4),
            event("past", "skip", other),
            event("mine", "score", image_id, value=3),
            event("gone", "undo", undoes="nothing"),
        ],
    )
    assert [(each.before, each.after) for each in told] == [
        (7, 4),
        (3, 4),
        (7, 4),
        (1, 1),
        (None, None),  # a repetition
        (None, None),  # refused
    ]
    [undone] = db.scores.events.record(store, [event("last", "undo", image_id, undoes="again")])
    assert (undone.before, undone.after) == (4, 7)
    db.scores.aggregation.set_effective_rule(store, Rule("mean"))
    assert score(store, image_id, 2, scorer="bob").after == 4.5


def test_an_event_sent_again_after_it_was_undone_stays_undone(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    five, undo = event("five", "score", image_id, value=5), event("undo", "undo", undoes="five")
    db.scores.events.record(store, [five, undo])
    receipts = db.scores.events.record(store, [five, undo, event("another", "undo", undoes="five")])
    assert all(receipt.accepted and receipt.repeated for receipt in receipts)
    assert hand_score(store, image_id) is None


def test_an_event_id_is_never_used_for_something_else(store: Store) -> None:
    one, two = add_images(store, 2)
    db.scores.events.record(store, [event("e", "score", one, value=5)])
    for other in (
        event("e", "score", two, value=5),
        event("e", "score", one, value=6),
        event("e", "skip", one),
    ):
        receipt = db.scores.events.record(store, [other])[0]
        assert (receipt.accepted, receipt.repeated) == (False, True)
        assert "used for something else" in (receipt.problem or "")
    assert (hand_score(store, one), hand_score(store, two)) == (5.0, None)


def test_undo_goes_back_step_by_step(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    for value in (0, 4, 9):
        score(store, image_id, value, event_id=f"s{value}")
    seen = []
    for value in (9, 4, 0):
        db.scores.events.record(
            store, [event(f"u{value}", "undo", undoes=f"s{value}", at=later(1))]
        )
        seen.append(hand_score(store, image_id))
    assert seen == [4.0, 0.0, None]
    assert [row.undone_at for row in db.scores.hand_scores.history(store, image_id)] == [
        later(1)
    ] * 3
    assert db.scores.hand_scores.history_counts(store) == {}
    assert score(store, image_id, 7).accepted
    assert db.scores.hand_scores.history(store, image_id)[-1].why == "first"


def test_undoing_an_older_score_leaves_the_later_one(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    score(store, image_id, 2, event_id="older")
    score(store, image_id, 6)
    db.scores.events.record(store, [event("undo", "undo", undoes="older")])
    assert hand_score(store, image_id) == 6.0


BAD = [
    ({"kind": "score", "value": 10.5}, "is not between 0 and 10."),
    ({"kind": "score", "value": -1}, "is not between 0 and 10."),
    ({"kind": "score", "value": float("nan")}, "is not between 0 and 10."),
    ({"kind": "score", "value": None}, "is not between 0 and 10."),
    ({"kind": "score", "value": True}, "is not between 0 and 10."),
    ({"kind": "score", "value": "7"}, "is not between 0 and 10."),
    ({"kind": "score", "value": 5, "image_id": 999}, "no image 999"),
    ({"kind": "score", "value": 5, "image_id": 10**30}, "no image"),
    ({"kind": "score", "value": 5, "why": "mood"}, "no reason to score"),
    ({"kind": "skip", "queue": "nowhere"}, "in a queue 'nowhere'"),
    ({"kind": "praise"}, "There is no event 'praise'"),
    ({"kind": "undo", "undoes": "never"}, "nothing called never"),
    ({"kind": "undo"}, "An event needs an id of its own"),
    ({"kind": "score", "value": 5, "at": datetime(2025, 3, 1)}, "needs a time zone"),
    ({"kind": "score", "value": 10**400}, "is not between 0 and 10."),
    ({"kind": "score", "value": 5, "shown_prediction": 7}, "A prediction of 7"),
    ({"kind": "score", "value": 5, "event_id": ""}, "plain characters"),
    ({"kind": "score", "value": 5, "event_id": "\ud800"}, "plain characters"),
    ({"kind": "score", "value": 5, "event_id": "x" * 300}, "plain characters"),
]


@pytest.mark.parametrize(("details", "problem"), BAD)
def test_a_bad_event_is_refused_and_the_others_are_taken(
    store: Store, details: dict, problem: str
) -> None:
    before, after = add_images(store, 2)
    bad = event(**({"event_id": "bad", "image_id": before} | details))
    receipts = db.scores.events.record(
        store,
        [event("a", "score", before, value=1), bad, event("b", "score", after, value=2)],
    )
    assert [receipt.accepted for receipt in receipts] == [True, False, True]
    assert problem in (receipts[1].problem or "")
    assert (hand_score(store, before), hand_score(store, after)) == (1.0, 2.0)


def test_the_schema_refuses_a_score_outside_the_scale_as_well(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    score(store, image_id, 5)
    for value in (10.5, -1):
        with pytest.raises(IntegrityError), store.transaction() as session:
            session.connection().exec_driver_sql("UPDATE hand_scores SET value = ?", (value,))
    assert hand_score(store, image_id) == 5.0


def test_a_batch_of_nothing_but_bad_events_is_answered(store: Store) -> None:
    receipts = db.scores.events.record(store, [event("a", "score", 0, value=1)] * 2)
    assert [receipt.problem for receipt in receipts] == ["There is no image 0."] * 2


def test_numbers_from_numpy_are_numbers(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    details = {"value": np.float32(2.5), "shown_prediction": np.float32(0.5)}
    assert db.scores.events.record(store, [event("e", "score", np.int64(image_id), **details)])[
        0
    ].accepted
    assert db.scores.hand_scores.history(store, image_id)[0].shown_prediction == 0.5
    assert hand_score(store, image_id) == 2.5


def test_a_version_that_nobody_knows_does_not_cost_the_score(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    assert score(store, image_id, 4, shown_version="v9.9").accepted
    assert db.scores.hand_scores.history(store, image_id)[0].shown_version is None


def test_the_distribution_rounds_half_up(store: Store) -> None:
    ids = add_images(store, 5)
    for image_id, value in zip(ids, (0.4, 0.5, 9.49, 9.5, 10), strict=True):
        score(store, image_id, value)
    assert db.images.counts.by_hand_score(store).distribution == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2]


def test_scores_since_a_version_are_the_new_the_changed_and_the_withdrawn(store: Store) -> None:
    ids = add_images(store, 5)
    for image_id in ids[:4]:
        score(store, image_id, 5)
    assert db.scores.hand_scores.since_version(store, None) == 4
    add_encoder(store)
    version = add_version(store)
    assert db.scores.hand_scores.since_version(store, version.id) == 0
    score(store, ids[0], 6)
    score(store, ids[1], 5)
    score(store, ids[4], 0)
    db.scores.events.record(store, [event("undo", "undo", undoes=f"image-{ids[2]}-0")])
    assert db.scores.hand_scores.since_version(store, version.id) == 3


# Several scorers


def test_a_rule_is_written_as_it_is_given() -> None:
    for text in ("latest", "mean", "person:ann", "person:", "person:a:b"):
        assert str(read_rule(text)) == text
    assert read_rule("person:") == Rule("person", None)
    for nonsense in ("", "Mean", "median", "ann"):
        with pytest.raises(StoreError, match="latest, mean or person:NAME"):
            read_rule(nonsense)


def test_what_is_first_and_what_a_revision_goes_by_who_scores(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    for scorer in ("ann", "ben", "ann", None):
        score(store, image_id, 5, scorer=scorer)
    whys = [row.why for row in db.scores.hand_scores.history(store, image_id)]
    assert whys == ["first", "first", "revision", "first"]


def test_a_confirmation_holds_where_others_move_the_mean(store: Store) -> None:
    (image_id,) = add_images(store, 1)
    db.scores.aggregation.set_effective_rule(store, Rule("mean"))
    score(store, image_id, 4, scorer="ann")
    score(store, image_id, 8, scorer="ben")
    keep = {"queue": "hand-score", "why": "confirmation"}
    score(store, image_id, 6, scorer="ann", **keep)  # as shown; the mean becomes 7
    assert db.scores.hand_scores.confirmed_image_ids(store) == {image_id}
    score(store, image_id, 1, scorer="ben")
    assert db.scores.hand_scores.confirmed_image_ids(store) == set()


def test_a_store_from_before_there_were_rules_goes_by_the_latest(store: Store) -> None:
    assert store.setting(db.scores.aggregation.SETTING) is None
    assert db.scores.aggregation.effective_rule(store) == Rule("latest")


# Tempo


def type_scores(store: Store, minutes: list[float], why: str | None = None) -> None:
    ids = add_images(store, len(minutes))
    events = [
        event(f"image-{image_id}-0", "score", image_id, value=5, at=later(minute), why=why)
        for image_id, minute in zip(ids, minutes, strict=True)
    ]
    assert all(receipt.accepted for receipt in db.scores.events.record(store, events))


def test_tempo_is_that_of_the_current_sitting(store: Store) -> None:
    type_scores(store, [-100, -50, -3, -2, -1.5, -1, 0])
    tempo = db.scores.hand_scores.tempo(store, later(1))
    assert (tempo.today, tempo.last_hour) == (7, 6)
    assert tempo.per_minute == pytest.approx(4 / 3)


def test_the_tempo_of_a_long_sitting_is_that_of_its_last_scores(store: Store) -> None:
    slowly, then = [float(m) for m in range(-30, -5)], [-5 + k / 100 for k in range(500)]
    type_scores(store, slowly + then)
    assert db.scores.hand_scores.tempo(store, later(0)).per_minute == pytest.approx(100)


def test_there_is_no_tempo_after_a_pause_or_of_a_single_score(store: Store) -> None:
    type_scores(store, [0, 0.5])
    assert db.scores.hand_scores.tempo(store, later(2)).per_minute == pytest.approx(2.0)
    assert db.scores.hand_scores.tempo(store, later(2.6)).per_minute is None
    score(store, 1, 5, at=later(10))
    assert db.scores.hand_scores.tempo(store, later(10)).per_minute is None


def test_imported_and_undone_scores_have_no_tempo(store: Store) -> None:
    type_scores(store, [0, 0.1, 0.2], why="import")
    score(store, 1, 5, at=later(0.5), event_id="e")
    db.scores.events.record(store, [event("undo", "undo", undoes="e")])
    assert db.scores.hand_scores.tempo(store, later(1)) == db.records.Tempo(0, 0, None)


def test_today_begins_at_midnight_where_the_person_is(store: Store) -> None:
    type_scores(store, [0, 11 * 60])  # Noon and 23:00 UTC: 21:00 and 8:00 the next day in Tokyo.
    evening = later(11.5 * 60)
    assert db.scores.hand_scores.tempo(store, evening).today == 2
    assert (
        db.scores.hand_scores.tempo(store, evening.astimezone(timezone(timedelta(hours=9)))).today
        == 1
    )


# Review


@pytest.fixture
def review(store: Store) -> int:
    """A round with images 1–3 shown as likely false positives."""
    ids = add_images(store, 4)
    add_encoder(store)
    review = db.versions.rounds.open_round(store, add_version(store).id, 0.5)
    db.versions.rounds.mark_shown(store, review.id, "false-positive", [(i, 0.75) for i in ids[:3]])
    return review.id


def card(event_id: str, kind: str, image_id: int, **details: object) -> Event:
    shown = {"queue": "false-positive", "shown_version": "v1.0", "shown_prediction": 0.75}
    return event(event_id, kind, image_id, **(shown | details))


def outcome_counts(store: Store) -> tuple[int, int, int, int]:
    (review,) = db.versions.rounds.history(store)
    return review.shown, review.corrected, review.confirmed, review.skipped


def test_cards_are_counted_by_what_was_done(store: Store, review: int) -> None:
    db.scores.events.record(
        store,
        [
            card("a", "score", 1, value=2),
            card("b", "score", 2, value=8, why="confirmation"),
            card("c", "skip", 3),
        ],
    )
    assert outcome_counts(store) == (3, 1, 1, 1)
    assert db.versions.rounds.handled(store, review, "false-positive") == {1, 2, 3}
    row = db.scores.hand_scores.history(store, 1)[0]
    assert (row.why, row.queue) == ("correction-false-positive", "false-positive")
    assert row.round_id == review


def test_undo_brings_a_card_back_to_what_it_was(store: Store, review: int) -> None:
    db.scores.events.record(store, [card("a", "skip", 1), card("b", "score", 1, value=2)])
    assert outcome_counts(store) == (3, 1, 0, 0)
    db.scores.events.record(store, [card("c", "undo", 1, undoes="b")])
    assert outcome_counts(store) == (3, 0, 0, 1)
    db.scores.events.record(store, [card("d", "undo", 1, undoes="a")])
    assert outcome_counts(store) == (3, 0, 0, 0)
    assert db.versions.rounds.handled(store, review, "false-positive") == set()


def test_a_card_handled_before_it_was_noted_as_shown_counts(store: Store, review: int) -> None:
    db.scores.events.record(store, [card("a", "score", 4, value=1)])
    assert outcome_counts(store) == (4, 1, 0, 0)


def test_scores_outside_review_touch_no_round(store: Store, review: int) -> None:
    score(store, 1, 2)
    score(store, 2, 2, queue="score", shown_version="v1.0")
    assert outcome_counts(store) == (3, 0, 0, 0)


def test_the_reason_alone_tells_the_queue(store: Store, review: int) -> None:
    score(store, 1, 2, why="correction-false-positive", shown_version="v1.0")
    assert outcome_counts(store) == (3, 1, 0, 0)


def test_after_the_next_version_a_late_card_is_scored_but_counts_for_no_round(
    store: Store, review: int
) -> None:
    score(store, 4, 5)  # what the next version learns from
    add_version(store, parent="v1.0")
    assert db.scores.events.record(store, [card("a", "score", 1, value=2)])[0].accepted
    assert outcome_counts(store) == (3, 0, 0, 0)
    assert hand_score(store, 1) == 2.0


# Any sequence

IMAGES = 3
SCORERS = st.sampled_from([None, "ann", "ben"])
RULES = [
    Rule(),
    Rule("mean"),
    Rule("person", "ann"),
    Rule("person", None),
    Rule("person", "nobody"),
]
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("score"),
            st.integers(1, IMAGES),
            st.sampled_from([0, 0.5, 1, 7.25, 10]),
            SCORERS,
        ),
        st.tuples(st.just("skip"), st.integers(1, IMAGES), st.none(), st.none()),
        st.tuples(st.just("undo"), st.integers(0, 30), st.none(), st.none()),
        st.tuples(st.just("repeat"), st.integers(0, 30), st.none(), st.none()),
        st.tuples(st.just("rule"), st.integers(0, len(RULES) - 1), st.none(), st.none()),
    ),
    max_size=25,
)


class Model:
    """What the store should hold: the acts in order, and which of them are undone."""

    def __init__(self) -> None:
        self.sent: list[Event] = []
        self.acts: list[Event] = []
        self.undone: set[str] = set()
        self.rule = RULES[0]

    def next(self, kind: str, number: int, value: float | None, scorer: str | None) -> Event | None:
        if kind == "repeat":
            return self.sent[number % len(self.sent)] if self.sent else None
        name = f"e{len(self.sent)}"
        if kind != "undo":
            made = event(name, kind, number, value=value, scorer=scorer)
            self.acts.append(made)
        elif self.acts:
            target = self.acts[number % len(self.acts)].event_id
            made = event(name, "undo", undoes=target)
            self.undone.add(target)
        else:
            return None
        self.sent.append(made)
        return made

    def standing(self, kind: str, image_id: int) -> list[Event]:
        return [
            act
            for act in self.acts
            if act.kind == kind and act.image_id == image_id and act.event_id not in self.undone
        ]

    def hand_score(self, image_id: int) -> float | None:
        standing = self.standing("score", image_id)
        if self.rule.kind == "person":
            standing = [act for act in standing if act.scorer == self.rule.person]
        latest = {act.scorer: act.value or 0.0 for act in standing}
        if self.rule.kind == "mean" and latest:
            return fmean(latest.values())
        return standing[-1].value if standing else None


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, size=st.integers(1, 4))
def test_any_sequence_of_events_ends_as_the_model_says(
    steps: list[tuple[str, int, float | None, str | None]], size: int
) -> None:
    with TemporaryDirectory() as folder, new_store(Path(folder)) as store:
        add_images(store, IMAGES)
        model = Model()
        batch: list[Event] = []
        for step in [*steps, ("rule", 0, None, None)]:
            if step[0] != "rule":
                batch += [made for made in [model.next(*step)] if made]
            if len(batch) >= size or step[0] == "rule":
                receipts = db.scores.events.record(store, batch)
                assert all(receipt.accepted for receipt in receipts)
                batch = []
            if step[0] == "rule":
                before = [model.hand_score(i) for i in range(1, IMAGES + 1)]
                assert [hand_score(store, i) for i in range(1, IMAGES + 1)] == before
                model.rule = RULES[step[1]]
                after = [model.hand_score(i) for i in range(1, IMAGES + 1)]
                changed = sum(old != new for old, new in zip(before, after, strict=True))
                assert db.scores.aggregation.set_effective_rule(store, model.rule) == changed
                assert db.scores.aggregation.effective_rule(store) == model.rule
        for image_id in range(1, IMAGES + 1):
            kept = [
                row.event_id
                for row in db.scores.hand_scores.history(store, image_id)
                if not row.undone_at
            ]
            standing = model.standing("score", image_id)
            assert kept == [act.event_id for act in standing]
            assert hand_score(store, image_id) == model.hand_score(image_id)
        waiting = db.scores.queue_queries.unscored(store, order="newest", limit=9)
        unscored = [i for i in range(IMAGES, 0, -1) if model.hand_score(i) is None]
        skipped = [i for i in unscored if model.standing("skip", i)]
        assert {image.id for image in waiting} == set(unscored)
        fresh = [i for i in unscored if i not in skipped]
        assert [image.id for image in waiting][: len(fresh)] == fresh
