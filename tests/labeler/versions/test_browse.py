"""Looking around a collection: bands, top N, neighbours by cosine, and one image's whole story."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import db.images.locations
import db.scores.events
from db.records import Event
from labeler.app.widgets import formatting
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.core.scale import whole_percent
from labeler.embedding.nearest import cosine
from labeler.versions import browse
from labeler.versions.browse import Band
from tests.support.collection import START, add_version, make_collection


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_collection(tmp_path, images=40, scored=30)


def ids_of(project: Project) -> list[int]:
    return sorted(db.images.locations.ids_by_path(project.store).values())


def test_a_band_of_predictions_takes_what_lies_in_it_best_first(project: Project) -> None:
    version = add_version(project, noise=0.1)
    shelf = browse.browse(project, Band(version.name, 0.4, 0.8))
    predictions = [each.prediction for each in shelf.shown]
    assert shelf.total == len(predictions) > 0
    assert predictions == sorted(predictions, reverse=True)
    assert all(40 <= whole_percent(prediction) <= 80 for prediction in predictions)


def test_pages_follow_each_other_and_top_n_cuts_across_them(project: Project) -> None:
    version = add_version(project, noise=0.1)
    whole = browse.browse(project, Band(version.name), per_page=40)
    paged = [
        browse.browse(project, Band(version.name, top=25), page=page, per_page=10)
        for page in (1, 2, 3, 4)
    ]
    assert whole.total == 40
    assert [shelf.total for shelf in paged] == [25] * 4
    assert [len(shelf.shown) for shelf in paged] == [10, 10, 5, 0]
    shown = [each.image.id for shelf in paged for each in shelf.shown]
    assert shown == [each.image.id for each in whole.shown][:25]


def test_by_hand_scores_unscored_is_not_zero(project: Project) -> None:
    zeros = browse.browse(project, Band(None, 0, 0, scored=True))
    unscored = browse.browse(project, Band(None, scored=False))
    assert {each.image.hand_score for each in zeros.shown} == {0.0}
    assert zeros.total == 3
    assert unscored.total == 10
    assert all(each.image.hand_score is None for each in unscored.shown)


def test_a_source_or_version_that_is_not_there_is_named(project: Project) -> None:
    with pytest.raises(BadInput, match=r"no version v9\.9"):
        browse.browse(project, Band("v9.9"))
    with pytest.raises(BadInput, match="no source holidays"):
        browse.browse(project, Band(None, source="holidays"))
    assert browse.browse(project, Band(None, 0, 10, source="gradients")).total == 30


def test_similar_images_are_the_neighbours_closest_first_without_itself(project: Project) -> None:
    ids = ids_of(project)
    found = browse.similar(project, ids[20], limit=6)
    cosines = [each.similarity for each in found]
    assert ids[20] not in [each.image.id for each in found]
    assert cosines == sorted(cosines, reverse=True)
    # The angle between pictures grows with the distance of their places in the folder.
    assert all(abs(ids.index(each.image.id) - 20) <= 6 for each in found)


def test_similar_can_be_narrowed_to_some_images(project: Project) -> None:
    ids = ids_of(project)
    found = browse.similar(project, ids[35], limit=3, among=ids[:30])
    assert {each.image.id for each in found} <= set(ids[:30])
    assert len(found) == 3


def test_an_image_without_embedding_has_no_neighbours(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "empty", encoder="lite")
    assert browse.similar(project, 1) == []


def test_cosine_ignores_length_and_survives_a_vector_of_zeros() -> None:
    vectors = np.array([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0], [-1.0, 0.0]], dtype=np.float32)
    cosines = cosine(vectors, np.array([5.0, 0.0], dtype=np.float32))
    np.testing.assert_allclose(cosines, [1, 0, 0, -1])


def test_the_story_of_an_image_has_all_that_happened_to_it(project: Project) -> None:
    image_id = ids_of(project)[4]
    first = add_version(project, noise=0.2)
    correction = Event(
        event_id="second-thoughts",
        kind="score",
        image_id=image_id,
        at=START + timedelta(days=1),
        value=9.0,
        why="correction-false-negative",
        queue="false-negative",
        scorer="bob",
        shown_prediction=0.3,
        shown_version=first.name,
    )
    db.scores.events.record(project.store, [correction])
    second = add_version(project, noise=0.1)
    told = browse.image_details(project, image_id)
    assert [score.value for score in told.history] == [4.0, 9.0]
    assert told.history[1].scorer == "bob"
    assert told.history[1].shown_prediction == pytest.approx(0.3)
    assert told.image.hand_score == 9.0
    assert [each.version for each in told.predictions] == [first.name, second.name]
    assert [each.active for each in told.predictions] == [False, True]
    assert all(each.trained_on for each in told.predictions)
    assert len(told.locations) == 1
    assert all(each.image.hand_score is not None for each in told.nearest_scored)


def test_an_unscored_image_was_not_among_what_a_version_learnt_from(project: Project) -> None:
    add_version(project, noise=0.2)
    told = browse.image_details(project, ids_of(project)[-1])
    assert told.history == []
    assert told.predictions[0].out_of_fold is None
    assert not told.predictions[0].trained_on


def test_a_story_of_no_image_is_refused(project: Project) -> None:
    with pytest.raises(BadInput, match="no image 999"):
        browse.image_details(project, 999)


def test_what_is_not_known_of_an_image_is_a_dash(project: Project) -> None:
    image = browse.image_details(project, ids_of(project)[0]).image
    known = replace(image, width=640, height=480, format="PNG", size_bytes=12_000)
    assert formatting.file_facts(known) == "640 × 480 · PNG · 12 kB"
    by_embedding = replace(image, width=None, height=None, format=None, size_bytes=0)
    assert formatting.file_facts(by_embedding) == "–"
