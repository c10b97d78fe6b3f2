"""What the random sample may say, and that it is random.

Protects: the audit's shares are right on average and its intervals hold the truth as often as they
claim while a review keeps picking mistakes out of the collection; the sample is what the random
order has gone through, whoever scored it and whatever was imported since; no image is judged by a
head that has seen its score; too small a sample gives no number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

import db.images.locations
import db.importing.files
import db.scores.aggregation
import db.scores.events
import db.scores.hand_scores
import db.scores.queue_queries
import db.scores.random_sample
import db.versions.predictions
from db.records import Predictions
from db.scores.aggregation import Rule
from db.store.schema import ImageRow
from db.store.store import Store
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.scoring.events import record_events
from labeler.scoring.queue import next_images
from labeler.scoring.random_checks import is_followed_by_check
from labeler.versions.evaluation.audit import audit_report
from labeler.versions.evaluation.random_draws import drawn_since, unseen_counts
from model.evaluation.audit import FEWEST, audit
from model.evaluation.proportions import always_valid, proportion, wilson
from model.evaluation.random_draws import RandomDraws
from tests.support.collection import (
    add_unscored,
    add_version,
    draw_pictures,
    make_collection,
    score_at_random,
)
from tests.support.store_rows import add_images, event, new_store, score

# The statistics, on numbers that can be checked by hand.


def test_wilsons_interval_of_known_shares() -> None:
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(15 / 40, 40) == pytest.approx((0.2422, 0.5297), abs=1e-4)
    assert wilson(1.0, 10)[1] == 1
    assert proportion(0, 0) is None
    repeated = proportion(5, 20, independent=4)
    assert repeated is not None
    assert (repeated.low, repeated.high) == wilson(0.25, 4)


def test_the_bounds_for_any_number_of_looks_are_wider_and_hold_at_all_of_them() -> None:
    low, high = always_valid(0.1, 100)
    assert low < wilson(0.1, 100)[0] < wilson(0.1, 100)[1] < high
    assert always_valid(0.0, 20)[0] == 0.0
    assert always_valid(1.0, 20)[1] == 1.0
    generator, ever_wrong, plainly_wrong = np.random.default_rng(0), 0, 0
    looks = np.arange(20, 301, 5)
    for _ in range(200):
        hits = (generator.random(300) < 0.1).cumsum()
        seen = [(hits[n - 1] / n, n) for n in looks]
        for interval in (always_valid, wilson):
            wrong = any(not low <= 0.1 <= high for low, high in (interval(*each) for each in seen))
            ever_wrong += wrong and interval is always_valid
            plainly_wrong += wrong and interval is wilson
    assert ever_wrong <= 10
    assert plainly_wrong > 20


def draws_of(
    predictions: np.ndarray, scores: np.ndarray, population: int, passing: int | None = None
) -> RandomDraws:
    drawn = np.ones(len(scores), dtype=bool)
    return RandomDraws(predictions, scores, drawn, population, 0.5, passing)


def test_an_audit_counts_each_side_by_itself() -> None:
    said = np.array([0.9] * 30 + [0.1] * 40)
    scores = np.array([1.0] * 24 + [0.2] * 6 + [0.5] * 10 + [0.0] * 30)
    found = audit(draws_of(said, scores, 700, 300))
    positives, negatives = found.false_positives, found.false_negatives
    assert (positives.mistakes, positives.judged, positives.side) == (6, 30, 300)
    assert (negatives.mistakes, negatives.judged, negatives.side) == (10, 40, 400)
    assert positives.share is not None
    assert positives.share.value == pytest.approx(0.2)
    assert (positives.share.low, positives.share.high) == pytest.approx(wilson(0.2, 30))
    assert positives.always is not None
    assert positives.always.high > positives.share.high
    assert positives.left is not None
    assert positives.left.value == pytest.approx(0.2 * 300 - 6)
    assert found.good is not None
    assert found.good.value == pytest.approx((0.8 * 300 + 0.25 * 400) / 700)
    assert found.left is not None
    assert found.left.value == pytest.approx(0.2 * 300 + 0.25 * 400 - 16)
    assert found.left.high < positives.left.high + negatives.left.high


def test_nothing_is_left_where_everything_is_scored() -> None:
    said = np.array([0.9] * 25 + [0.1] * 25)
    found = audit(draws_of(said, 1 - said, 50, 25))
    assert found.left is not None
    assert (found.left.value, found.left.high) == (0, 0)


def test_skipped_draws_widen_the_interval_to_both_sides() -> None:
    said, scores = np.full(40, 0.9), np.array([1.0] * 36 + [0.0] * 4)
    plain = audit(draws_of(said, scores, 1000)).false_positives
    skipped = audit(draws_of(said, scores, 1000), skipped=np.full(10, 0.9)).false_positives
    assert plain.share is not None
    assert skipped.share is not None
    assert (skipped.skipped, skipped.share.value) == (10, plain.share.value)
    assert skipped.share.low < plain.share.low
    assert skipped.share.high >= wilson(14 / 50, 50)[1] - 1e-9


def test_the_interval_holds_though_three_in_ten_mistakes_are_skipped() -> None:
    generator, held, naive = np.random.default_rng(1), [], []
    for _ in range(300):
        wrong = generator.random(100) < 0.1
        skipped = wrong & (generator.random(100) < 0.3)
        scores = 1 - wrong[~skipped].astype(float)
        draws = draws_of(np.full(len(scores), 0.9), scores, 5000)
        for kept, skips in ((held, int(skipped.sum())), (naive, 0)):
            share = audit(draws, skipped=np.full(skips, 0.9)).false_positives.share
            assert share is not None
            kept.append(share.low <= 0.1 <= share.high)
    assert np.mean(held) >= 0.94
    assert np.mean(naive) < np.mean(held) - 0.03


def test_what_was_chosen_stands_for_itself_alone() -> None:
    chosen, drawn = np.zeros(20, dtype=bool), np.ones(40, dtype=bool)
    said = np.concatenate([np.full(20, 0.9), np.full(40, 0.9)])
    scores = np.concatenate([np.zeros(20), np.ones(40)])
    draws = RandomDraws(said, scores, np.concatenate([chosen, drawn]), 1020, 0.5)
    found = audit(draws).false_positives
    assert found.share is not None
    assert found.share.value == pytest.approx(20 / 1020)


def test_too_few_images_give_no_number() -> None:
    said = np.array([0.9] * (FEWEST - 1) + [0.1] * FEWEST)
    found = audit(draws_of(said, said, 1000))
    assert found.false_positives.share is None
    assert found.false_negatives.share is not None
    assert found.left is None


# Unbiased, while a review picks what looks wrong.


def reviewed_collection(
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, list[int], list[bool]]:
    """Predictions, scores, and what is scored in which order, and whether it was drawn, in six
    rounds: a review of the surest mistakes, and twenty random draws, as in the app."""
    size = 700
    scores = generator.uniform(0, 1, size)
    said = np.clip(scores + generator.normal(0, 0.3, size), 0, 1)
    wrong = (said >= 0.5) != (scores >= 0.5)
    suspicion = wrong + generator.normal(0, 0.5, size)  # the review is good at finding mistakes
    keys = generator.permutation(size)
    order: list[int] = []
    drawn: list[bool] = []
    for _ in range(6):
        for by, count, is_draw in ((-suspicion, 30, False), (keys, 20, True)):
            left = np.setdiff1d(np.arange(size), order)
            order += left[np.argsort(by[left])][:count].tolist()
            drawn += [is_draw] * count
    return said, scores, order, drawn


def test_the_audit_is_unbiased_and_its_interval_holds_while_a_review_goes_on() -> None:
    errors, naive, held = [], [], []
    for seed in range(400):
        said, scores, order, drawn = reviewed_collection(np.random.default_rng(seed))
        passing, good = said >= 0.5, scores >= 0.5
        truth = (passing & ~good).sum() / passing.sum()
        draws = RandomDraws(
            said[order], scores[order], np.array(drawn), len(said), 0.5, int(passing.sum())
        )
        found = audit(draws)
        share, left = found.false_positives.share, found.left
        assert share is not None
        assert left is not None
        errors.append(share.value - truth)
        scored = np.isin(np.arange(len(said)), order)
        naive.append((scored & passing & ~good).sum() / (scored & passing).sum() - truth)
        still = ((passing != good) & ~scored).sum()
        held.append((share.low <= truth <= share.high, left.low <= still <= left.high))
    doubt = np.std(errors) / np.sqrt(len(errors))
    assert abs(np.mean(errors)) < 3 * doubt < 0.01
    assert np.mean(naive) > 0.1  # what all hand scores together would have told
    assert (np.mean(held, axis=0) >= 0.94).all()


# The sample in the store.


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        yield made


def in_random_order(store: Store) -> list[int]:
    with store.reading() as session:
        return list(session.scalars(select(ImageRow.id).order_by(ImageRow.shuffle)))


def sampled(store: Store) -> list[int]:
    found = db.scores.random_sample.random_sample(store)
    return sorted(found.image_ids[found.drawn].tolist())


def test_the_sample_is_what_the_random_order_has_gone_through(store: Store) -> None:
    add_images(store, 12)
    order = in_random_order(store)
    score(store, order[4], 3)  # by a review, say: chosen
    score(store, order[9], 3)
    for image_id in order[:3]:
        score(store, image_id, 5, draw=True)
    assert sampled(store) == sorted(order[:3])
    score(store, order[3], 5, draw=True)
    assert sampled(store) == sorted(order[:4])  # the chosen one stands for itself alone


def test_a_score_that_is_no_draw_does_not_lead_the_sample_on(store: Store) -> None:
    add_images(store, 12)
    order = in_random_order(store)
    score(store, order[0], 5, draw=True)
    for image_id in order[5:9]:
        score(store, image_id, 5)
    assert sampled(store) == order[:1]


def test_random_scores_from_before_draws_were_noted_count(store: Store) -> None:
    add_images(store, 12)
    order = in_random_order(store)
    for image_id in order[:6]:
        score(store, image_id, 5)
    assert sampled(store) == sorted(order[:6])


def test_scores_that_were_brought_along_are_no_random_sample(store: Store) -> None:
    add_images(store, 12)
    order = in_random_order(store)
    for image_id in order[:6]:
        score(store, image_id, 5, why="import")
    assert sampled(store) == []
    score(store, order[6], 5, draw=True)
    assert sampled(store) == [order[6]]


def test_a_draw_that_is_undone_is_none(store: Store) -> None:
    add_images(store, 12)
    order = in_random_order(store)
    for image_id in (order[0], order[6]):
        score(store, image_id, 5, draw=True)
    assert sampled(store) == sorted([order[0], order[6]])
    assert db.scores.random_sample.random_sample(store).waiting == 5
    db.scores.events.record(store, [event("undo", "undo", undoes=f"image-{order[6]}-0")])
    assert sampled(store) == order[:1]
    assert db.scores.random_sample.random_sample(store).waiting == 0


def test_skipped_and_newly_imported_images_are_missing_and_told(store: Store) -> None:
    add_images(store, 20)
    order = in_random_order(store)
    db.scores.events.record(store, [event("skip", "skip", order[1], queue="score")])
    for image_id in (order[0], *order[2:]):
        score(store, image_id, 5, draw=True)
    assert len(sampled(store)) == 19
    found = db.scores.random_sample.random_sample(store)
    assert (found.waiting, found.skipped.tolist()) == (0, [order[1]])
    add_images(store, 100, first=50)
    found = db.scores.random_sample.random_sample(store)
    assert found.drawn.sum() == 19
    before = in_random_order(store).index(order[-1]) - 19
    assert found.waiting == before
    first = db.scores.queue_queries.unscored(store, order="random", limit=1)[0].id
    assert first == next(i for i in in_random_order(store) if i not in order)


# The service: whose predictions are judged.


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """60 images, all of them scored: each is in the sample."""
    made = make_collection(tmp_path, images=60, scored=60)
    yield made
    made.close()


def test_trained_images_are_judged_by_their_out_of_fold_predictions(project: Project) -> None:
    version = add_version(project, noise=0.0)
    ids, values = db.scores.hand_scores.effective(project.store)
    flattered = Predictions(ids, (values / 10).astype(np.float32))
    db.versions.predictions.put_predictions(project.store, version.id, flattered)
    with project.store.transaction() as session:
        session.connection().exec_driver_sql("UPDATE out_of_fold SET score = 1 - score")
    found = audit_report(project).active
    assert found is not None
    wrong = found.audit.false_positives.mistakes + found.audit.false_negatives.mistakes
    assert wrong == (values != 5).sum()


def test_images_scored_since_are_judged_by_their_stored_predictions(tmp_path: Path) -> None:
    made = make_collection(tmp_path, images=90, scored=20)
    version = add_version(made, noise=0.0)
    ids = sorted(db.images.locations.ids_by_path(made.store).values())
    low = Predictions(np.array(ids), np.full(90, 0.1, np.float32))
    db.versions.predictions.put_predictions(made.store, version.id, low)
    for image_id in ids[20:60]:
        score(made.store, image_id, 9, event_id=f"later-{image_id}", draw=True)
    found = audit_report(made).active
    assert found is not None
    assert (found.basis, found.audit.judged) == ("after", 40)
    assert found.audit.false_negatives.mistakes == 40
    assert db.scores.random_sample.unseen_counts(made.store, version.id, 0.5) == (0, 70)
    made.close()


def test_draws_from_before_the_training_are_judged_out_of_fold_until_there_are_later_ones(
    tmp_path: Path,
) -> None:
    made = make_collection(tmp_path, images=90, scored=0)
    ids = in_random_order(made.store)
    for number, image_id in enumerate(ids[:30]):
        score(made.store, image_id, number % 11, draw=True)
    version = add_version(made, noise=0.1)
    everything = Predictions(np.array(sorted(ids)), np.full(90, 0.6, np.float32))
    db.versions.predictions.put_predictions(made.store, version.id, everything)
    found = audit_report(made).active
    assert found is not None
    assert (found.basis, found.audit.judged) == ("before", 30)
    for image_id in ids[30:50]:
        score(made.store, image_id, 2, draw=True)
    found = audit_report(made).active
    assert found is not None
    assert (found.basis, found.audit.judged) == ("after", 20)
    assert found.audit.false_positives.mistakes == 20
    made.close()


def test_draws_of_what_was_imported_since_stand_for_themselves(tmp_path: Path) -> None:
    """They come first, since their places lie before the one reached: all of them are new."""
    made = make_collection(tmp_path, images=60, scored=0)
    order = in_random_order(made.store)
    for number, image_id in enumerate(order[:30]):
        score(made.store, image_id, number % 11, draw=True)
    version = add_version(made, noise=0.1)
    add_unscored(made, 97)
    score_at_random(made, 25, (version, 0.3))
    sample = db.scores.random_sample.random_sample(made.store)
    trained = db.versions.predictions.trained_on(made.store, version.id)[0]
    reached = max(sample.keys[np.isin(sample.image_ids, trained)])
    behind = sample.keys[drawn_since(sample, trained)]
    assert len(behind) < 25
    assert (behind > reached).all()
    made.close()


def test_of_several_people_only_the_draws_of_whose_scores_count_do(store: Store) -> None:
    add_images(store, 12)
    order = in_random_order(store)
    for image_id in order[:6]:
        score(store, image_id, 5, draw=True, scorer="ben")
    db.scores.aggregation.set_effective_rule(store, Rule("person", "anna"))
    for image_id in order[2:5]:
        score(store, image_id, 9, scorer="anna", event_id=f"anna-{image_id}")
    assert sampled(store) == []


def test_a_draw_that_was_taken_back_and_scored_again_was_drawn(store: Store) -> None:
    add_images(store, 12)
    order = in_random_order(store)
    for image_id in order[:2]:
        score(store, image_id, 5, draw=True)
    db.scores.events.record(store, [event("undo", "undo", undoes=f"image-{order[0]}-0")])
    score(store, order[0], 7, event_id="again")
    assert sampled(store) == sorted(order[:2])


def test_images_whose_files_are_gone_do_not_count(project: Project) -> None:
    version = add_version(project, noise=0.1)
    gone = list(db.images.locations.ids_by_path(project.store))[:15]
    db.importing.files.mark_missing(project.store, None, gone)
    assert db.scores.random_sample.unseen_counts(project.store, version.id, 0.5) == (0, 0)
    found = audit_report(project).active
    assert found is not None
    assert found.audit.judged == 45


def test_the_collection_is_counted_anew_when_predictions_or_images_change(project: Project) -> None:
    version = add_version(project, noise=0.1)
    ids = list(db.images.locations.ids_by_path(project.store).values())
    draw_pictures(project.folder.parent / "more", 5)
    import_paths(project, [project.folder.parent / "more"], workers=1)
    assert unseen_counts(project, version.id) == (0, 0)
    new = sorted(set(db.images.locations.ids_by_path(project.store).values()) - set(ids))
    added = Predictions(np.array(new), np.full(len(new), 0.9, np.float32))
    db.versions.predictions.put_predictions(project.store, version.id, added)
    assert unseen_counts(project, version.id) == (len(new), 0)
    paths = {i: path for path, i in db.images.locations.ids_by_path(project.store).items()}
    db.importing.files.mark_missing(project.store, None, [paths[new[0]]])
    assert unseen_counts(project, version.id) == (len(new) - 1, 0)


def test_a_large_import_dates_the_sample(project: Project) -> None:
    add_version(project, noise=0.1)
    assert audit_report(project).notes() == []
    draw_pictures(project.folder.parent / "more", 90)
    import_paths(project, [project.folder.parent / "more"], workers=1)
    report = audit_report(project)
    assert report.is_dated == (report.waiting > 6)
    if report.waiting:
        assert "order Random shows them first" in report.notes()[0]


# Random checks in other orders.


@pytest.mark.parametrize("every", [2, 5, 10])
def test_one_in_so_many_images_is_a_check(every: int) -> None:
    behind = sum(is_followed_by_check(image_id, every) for image_id in range(5000))
    assert behind / (5000 + behind) == pytest.approx(1 / every, rel=0.12)


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Project]:
    made = make_collection(tmp_path, images=80, scored=0)
    made.set_audit_every(4)
    yield made
    made.close()


def test_checks_are_next_in_the_random_order_and_stay_in_place(waiting: Project) -> None:
    offer = next_images(waiting, "newest", limit=40, exclude=())
    checks = [image.id for image in offer.images if image.id in offer.draws]
    others = [image.id for image in offer.images if image.id not in offer.draws]
    assert 4 <= len(checks) <= 18
    assert others == sorted(others, reverse=True)
    order = [i for i in in_random_order(waiting.store) if i not in others]
    assert checks == order[: len(checks)]
    again = next_images(waiting, "newest", limit=40, exclude=())
    assert [image.id for image in again.images] == [image.id for image in offer.images]


def test_no_checks_and_only_checks(waiting: Project) -> None:
    waiting.set_audit_every(0)
    assert not next_images(waiting, "newest", limit=40, exclude=()).draws
    waiting.set_audit_every(1)
    offer = next_images(waiting, "newest", limit=40, exclude=())
    assert [image.id for image in offer.images] == in_random_order(waiting.store)[:40]
    assert len(offer.draws) == 40


def test_the_random_order_is_all_draws_and_revising_none(waiting: Project) -> None:
    offer = next_images(waiting, "random", limit=10, exclude=())
    assert offer.draws == {image.id for image in offer.images}
    raw = [
        {"event": f"e{n}", "kind": "score", "image": image.id, "score": 5, "draw": True}
        for n, image in enumerate(offer.images)
    ]
    assert all(receipt.accepted for receipt in record_events(waiting, raw))
    assert sampled(waiting.store) == sorted(offer.draws)
    assert not next_images(waiting, "revise", limit=10, exclude=()).draws


@pytest.mark.parametrize("draw", ["yes", 1, None])
def test_only_a_plain_true_is_a_draw(waiting: Project, draw: object) -> None:
    last = in_random_order(waiting.store)[-1]
    raw = [{"event": "e", "kind": "score", "image": last, "score": 5, "draw": draw}]
    assert record_events(waiting, raw)[0].accepted
    assert sampled(waiting.store) == []
