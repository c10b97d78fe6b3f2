"""Versions: what each was trained on and predicts stays its own, and one is active at most.

Protects: names count up, the parent stays, a version is kept whole or not at all, going back to an
earlier one works, predictions stay with their images.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import db.images.embeddings
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.errors import StoreError
from db.records import NewVersion, Predictions
from db.store.store import Store
from tests.support.store_rows import add_encoder, add_images, add_version, new_store, score


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Six images, the first three scored 0, 5 and 10, and an encoder."""
    with new_store(tmp_path) as made:
        ids = add_images(made, 6)
        add_encoder(made)
        for image_id, value in zip(ids, (0, 5, 10), strict=False):
            score(made, image_id, value)
        yield made


def predicted(ids: list[int], values: list[float]) -> Predictions:
    return Predictions(np.array(ids), np.array(values, dtype=np.float32))


def active_name(store: Store) -> str | None:
    version = db.versions.registry.active(store)
    return version.name if version else None


def test_names_count_up_minor_by_minor(store: Store) -> None:
    assert db.versions.registry.next_name(store) == "v1.0"
    for _ in range(11):
        add_version(store)
    add_version(store, "from elsewhere")
    assert db.versions.registry.next_name(store) == "v1.11"
    assert [v.name for v in db.versions.registry.history(store)][:2] == ["v1.0", "v1.1"]


def test_a_version_comes_back_as_it_was_added(store: Store) -> None:
    add_version(store)
    added = add_version(
        store,
        parent="v1.0",
        note="more photos",
        settings={"steps": 800},
        metrics={"mae": {"value": 0.5, "low": 0.4, "high": 0.6}},
        curve=[[0, 1.0], [100, 0.5]],
        threshold=0.6,
    )
    assert (
        added == db.versions.registry.by_name(store, "v1.1") == db.versions.registry.active(store)
    )
    assert (added.parent, added.encoder, added.recipe) == ("v1.0", "lite", "quick")
    assert (added.note, added.settings, added.threshold) == ("more photos", {"steps": 800}, 0.6)
    assert added.metrics["mae"]["low"] == 0.4
    assert added.curve == [[0, 1.0], [100, 0.5]]
    assert added.scored_count == 3
    assert added.created_at.tzinfo is not None
    assert db.versions.registry.by_name(store, "v9.9") is None


def test_the_training_set_is_what_it_was_whatever_happens_to_the_scores(store: Store) -> None:
    version = add_version(store)
    score(store, 1, 9)
    ids, values = db.versions.predictions.trained_on(store, version.id)
    assert (ids.tolist(), values.tolist()) == ([1, 2, 3], [0.0, 5.0, 10.0])


def test_one_version_is_active_and_any_can_be_again(store: Store) -> None:
    assert db.versions.registry.active(store) is None
    first, second = add_version(store), add_version(store, parent="v1.0")
    assert active_name(store) == second.name
    assert db.versions.registry.activate(store, first.name).active
    assert active_name(store) == first.name
    db.versions.registry.activate(store, first.name)
    assert [v.active for v in db.versions.registry.history(store)] == [True, False]


def test_a_version_can_be_added_without_making_it_active(store: Store) -> None:
    first = add_version(store)
    new = NewVersion("v1.1", "v1.0", "lite", "quick", 0.5, "f", np.array([], int), np.array([]))
    assert not db.versions.registry.add(store, new, activate=False).active
    assert active_name(store) == first.name


def test_notes_can_be_written_later(store: Store) -> None:
    add_version(store)
    db.versions.registry.set_note(store, "v1.0", "the first one")
    version = db.versions.registry.by_name(store, "v1.0")
    assert version is not None
    assert version.note == "the first one"


def test_what_is_not_there_is_named(store: Store) -> None:
    for act in (
        lambda: db.versions.registry.activate(store, "v9.9"),
        lambda: db.versions.registry.set_note(store, "v9.9", ""),
        lambda: add_version(store, parent="v9.9"),
    ):
        with pytest.raises(StoreError, match=r"no version v9\.9.*labeler versions"):
            act()
    with pytest.raises(StoreError, match="labeler embed"):
        add_version(store, encoder="clip")
    add_version(store, "v1.0")
    with pytest.raises(StoreError, match=r"v1\.0 already"):
        add_version(store, "v1.0")


def test_a_version_is_kept_whole_or_not_at_all(store: Store) -> None:
    first = add_version(store)
    db.versions.rounds.open_round(store, first.id, 0.5)
    with pytest.raises(Exception, match="FOREIGN KEY"):
        add_version(store, scored_ids=np.array([1, 999]), scored_values=np.array([1.0, 2.0]))
    assert [v.name for v in db.versions.registry.history(store)] == [first.name]
    assert active_name(store) == first.name
    assert db.versions.rounds.history(store)[0].finished_at is None


def test_out_of_fold_predictions_keep_their_folds(store: Store) -> None:
    new = Predictions(
        np.array([3, 1, 2]),
        np.array([0.75, 0.25, 0.5], dtype=np.float32),
        np.linspace(1, 0, 10)[None].repeat(3, axis=0),
        np.array([2, 0, 1]),
    )
    found = db.versions.predictions.out_of_fold(store, add_version(store, out_of_fold=new).id)
    assert found.image_ids.tolist() == [1, 2, 3]
    assert found.scores.tolist() == [0.25, 0.5, 0.75]
    assert found.folds is not None
    assert found.folds.tolist() == [0, 1, 2]
    assert found.exceed is not None
    assert found.exceed.shape == (3, 10)


def test_predictions_come_back_by_id_or_in_the_order_asked_for(store: Store) -> None:
    version = add_version(store)
    db.versions.predictions.put_predictions(
        store, version.id, predicted([4, 2, 6], [0.5, 0.25, 1.0])
    )
    everything = db.versions.predictions.predictions(store, version.id)
    assert everything.image_ids.tolist() == [2, 4, 6]
    assert everything.scores.tolist() == [0.25, 0.5, 1.0]
    assert (everything.exceed, everything.folds) == (None, None)
    some = db.versions.predictions.predictions(store, version.id, np.array([6, 1, 2]))
    assert (some.image_ids.tolist(), some.scores.tolist()) == ([6, 2], [1.0, 0.25])
    assert len(db.versions.predictions.predictions(store, version.id, [])) == 0


def test_the_second_opinion_is_kept_where_there_is_one(store: Store) -> None:
    version = add_version(store)
    exceed = np.full((2, 10), np.nan, dtype=np.float32)
    exceed[1] = np.linspace(0.9, 0.1, 10)
    scored = predicted([1, 2], [0.5, 0.5])
    db.versions.predictions.put_predictions(
        store, version.id, Predictions(scored.image_ids, scored.scores, exceed)
    )
    found = db.versions.predictions.predictions(store, version.id).exceed
    assert found is not None
    assert found.dtype == np.float32
    assert np.isnan(found[0]).all()
    assert found[1] == pytest.approx(exceed[1], abs=1e-3)


def test_predicting_again_replaces_and_versions_do_not_mix(store: Store) -> None:
    first, second = add_version(store), add_version(store)
    db.versions.predictions.put_predictions(store, first.id, predicted([1, 2], [0.1, 0.2]))
    db.versions.predictions.put_predictions(store, first.id, predicted([2], [0.75]))
    db.versions.predictions.put_predictions(store, second.id, predicted([1], [1.0]))
    assert db.versions.predictions.predictions(store, first.id).scores.tolist() == pytest.approx(
        [0.1, 0.75]
    )
    assert db.versions.predictions.predictions(store, second.id).scores.tolist() == [1.0]


def test_the_last_of_more_predictions_than_one_batch_are_kept_too(store: Store) -> None:
    version = add_version(store)
    many = [1, 2] * 10_000 + [3]
    db.versions.predictions.put_predictions(
        store, version.id, predicted(many, [0.25] * 20_000 + [0.75])
    )
    assert db.versions.predictions.predictions(store, version.id).scores.tolist() == [
        0.25,
        0.25,
        0.75,
    ]


def test_images_embedded_but_not_predicted_are_found(store: Store) -> None:
    version = add_version(store)
    db.images.embeddings.put(store, 1, [1, 2, 4], np.zeros((3, 4), dtype=np.float32))
    db.versions.predictions.put_predictions(store, version.id, predicted([2], [0.5]))
    found = db.versions.predictions.without_prediction(store, version.id, 1)
    assert (found.dtype, found.tolist()) == (np.int64, [1, 4])


def test_all_predictions_come_by_id_with_those_that_lack_a_second_opinion(store: Store) -> None:
    version = add_version(store)
    exceed = np.full((3, 10), np.nan, dtype=np.float32)
    exceed[1] = np.linspace(1, 0, 10)
    new = Predictions(np.array([4, 1, 2]), np.array([0.1, 1e-7, 1.0], dtype=np.float32), exceed)
    db.versions.predictions.put_predictions(store, version.id, new)
    found = db.versions.predictions.predictions(store, version.id)
    assert found.image_ids.tolist() == [1, 2, 4]
    np.testing.assert_array_equal(found.scores, new.scores[[1, 2, 0]])
    assert found.exceed is not None
    np.testing.assert_allclose(found.exceed[0], exceed[1], atol=1e-3)
    assert np.isnan(found.exceed[1:]).all()
    ids, scores = db.versions.predictions.scores(store, version.id)
    assert ids.tolist() == [1, 2, 4]
    np.testing.assert_array_equal(scores, found.scores)
    assert [
        len(column) for column in db.versions.predictions.scores(store, add_version(store).id)
    ] == [0, 0]
