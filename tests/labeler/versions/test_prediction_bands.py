"""What a band takes of a collection, in order, and which predictions moved most."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import db.importing.files
import db.versions.predictions
from db.records import Predictions
from db.store.store import Store
from labeler.core.project import Project
from labeler.versions import prediction_bands, predictions
from tests.support.store_rows import add_encoder, add_images, add_version, new_store, picture, score

ANY = {"source_id": None, "scored": None}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with new_store(tmp_path) as store:
        add_encoder(store)
        yield Project(tmp_path, store)


def predict(store: Store, ids: list[int], said: list[float]) -> int:
    version = add_version(store)
    put(store, version.id, ids, said)
    return version.id


def put(store: Store, version_id: int, ids: list[int], said: list[float]) -> None:
    new = Predictions(np.array(ids), np.array(said, dtype=np.float32))
    db.versions.predictions.put_predictions(store, version_id, new)


def test_predictions_rise_and_equal_ones_are_by_age(project: Project) -> None:
    ids = add_images(project.store, 5)
    version_id = predict(project.store, ids[:4], [1.0, 0.5, 0.75, 0.5])
    found, said = prediction_bands.by_prediction(project, version_id, 0.5, 1.0, **ANY)
    assert found.tolist() == [ids[1], ids[3], ids[2], ids[0]]
    assert said.tolist() == [0.5, 0.5, 0.75, 1.0]


def test_the_ends_of_a_band_go_by_what_is_printed(project: Project) -> None:
    ids = add_images(project.store, 5)
    # The float32 next to 0.7 lies below it, that next to 0.1 above; 0.7098 shows 70 %.
    version_id = predict(project.store, ids, [0.7, 0.1, 0.7098, 0.71, 0.6998])
    within = partial(prediction_bands.by_prediction, project, version_id, **ANY)
    assert within(0.7, 1.0)[0].tolist() == [ids[0], ids[2], ids[3]]
    assert within(0.1, 0.7)[0].tolist() == [ids[1], ids[4], ids[0], ids[2]]
    assert within(0.7, 0.7)[0].tolist() == [ids[0], ids[2]]
    # A finer end than what is printed is taken as it is.
    assert within(0.7, 0.7095)[0].tolist() == [ids[0]]


def test_a_source_and_what_is_scored_narrow_it(project: Project) -> None:
    ids = add_images(project.store, 4) + add_images(project.store, 2, source="photos", first=10)
    version_id = predict(project.store, ids, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    score(project.store, ids[2], 3)
    score(project.store, ids[4], 0)

    def taken(source_id: int | None, scored: bool | None) -> list[int]:
        band = prediction_bands.by_prediction(
            project, version_id, 0, 1, source_id=source_id, scored=scored
        )
        return band[0].tolist()

    assert taken(2, None) == ids[4:]
    assert taken(None, True) == [ids[2], ids[4]]
    assert taken(1, False) == [ids[0], ids[1], ids[3]]
    assert taken(9, None) == []
    score(project.store, ids[0], 1)
    assert taken(1, False) == [ids[1], ids[3]]


def test_later_predictions_and_images_count_at_once(project: Project) -> None:
    ids = add_images(project.store, 3)
    version_id = predict(project.store, ids[:2], [0.2, 0.8])
    assert len(prediction_bands.by_prediction(project, version_id, 0, 1, **ANY)[0]) == 2
    put(project.store, version_id, ids[2:], [0.5])
    put(project.store, version_id, ids[:1], [0.9])
    assert prediction_bands.by_prediction(project, version_id, 0, 1, **ANY)[0].tolist() == [3, 2, 1]
    (new,) = add_images(project.store, 1, first=20)
    assert prediction_bands.without_hand_score(project, source_id=None).tolist() == [*ids, new]


def test_hand_scores_of_what_can_be_read(project: Project) -> None:
    ids = add_images(project.store, 4)
    for image_id, value in zip(ids, (5, 10, 4.5), strict=False):
        score(project.store, image_id, value)
    found, values = prediction_bands.by_hand_score(project, 0, 5, source_id=1)
    assert (found.tolist(), values.tolist()) == ([ids[2], ids[0]], [4.5, 5])
    assert prediction_bands.by_hand_score(project, 0, 5, source_id=2)[0].tolist() == []
    assert prediction_bands.without_hand_score(project, source_id=1).tolist() == [ids[3]]
    db.importing.files.mark_missing(project.store, None, ["/pictures/0.png", "/pictures/3.png"])
    assert prediction_bands.by_hand_score(project, 0, 5, source_id=None)[0].tolist() == [
        ids[2],
        ids[0],
    ]
    assert prediction_bands.without_hand_score(project, source_id=None).tolist() == [ids[3]]
    db.importing.files.record_files(
        project.store, [picture(2, reason="cut off"), picture(3, reason="cut off")]
    )
    assert prediction_bands.by_hand_score(project, 0, 5, source_id=None)[0].tolist() == [ids[0]]
    assert prediction_bands.without_hand_score(project, source_id=None).tolist() == []


def test_what_moved_most_comes_first(project: Project) -> None:
    ids = add_images(project.store, 6)
    parent = predict(project.store, ids[:4], [0.5, 0.5, 0.5, 0.5])
    version = predict(project.store, [*ids[:3], ids[4]], [0.75, 0.0, 0.5, 1.0])
    moved = [(ids[1], 0.5, 0.0), (ids[0], 0.5, 0.75), (ids[2], 0.5, 0.5)]
    assert predictions.largest_changes(project, version, parent, 2) == moved[:2]
    assert predictions.largest_changes(project, version, parent, 9) == moved
    put(project.store, version, ids[3:4], [0.25])
    assert predictions.largest_changes(project, version, parent, 2) == [
        moved[0],
        (ids[0], 0.5, 0.75),
    ]
    assert predictions.largest_changes(project, version, parent, 3)[2] == (ids[3], 0.5, 0.25)
