"""What is kept in memory between two pages is never older than the store, whoever changed that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import db.images.arrays
import db.images.counts
import db.images.embeddings
import db.images.lookup
import db.images.sources
import db.versions.predictions
import db.versions.registry
from db.records import Predictions
from labeler.collection.arrays import images_now
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.embedding.unit_cache import UnitVectors
from labeler.review.pages import review_page
from labeler.scoring.events import record_events
from labeler.versions.snapshot import ReviewSnapshot, review_snapshot
from tests.support.collection import draw_pictures, make_collection
from tests.support.reviewing import add


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_collection(tmp_path, images=40, scored=22)
    add(project, {30: 0.9, 31: 0.8})
    return project


def now(project: Project) -> ReviewSnapshot:
    version = db.versions.registry.active(project.store)
    assert version is not None
    return review_snapshot(project, version, project.threshold)


def given(project: Project, image_id: int) -> float:
    found = now(project)
    return float(found.hand_scores[found.collection.rows([image_id])][0])


def test_nothing_is_read_again_while_only_scores_come_in(project: Project) -> None:
    before = now(project)
    record_events(project, [{"event": "a", "kind": "score", "image": 30, "score": 4}])
    assert now(project).collection is before.collection
    assert np.isnan(before.hand_scores[before.collection.rows([30])])
    assert given(project, 30) == 4
    record_events(project, [{"event": "b", "kind": "undo", "image": 30, "undoes": "a"}])
    assert np.isnan(given(project, 30))


def test_what_another_process_does_is_seen(project: Project, tmp_path: Path) -> None:
    assert len(now(project).collection) == 40
    other = Project.open(project.folder)
    record_events(other, [{"event": "a", "kind": "score", "image": 30, "score": 4}])
    assert given(project, 30) == 4
    draw_pictures(tmp_path / "more", 3)
    import_paths(other, [tmp_path / "more"], source="more", workers=1)
    everything = now(project).collection
    assert len(everything) == sum(db.images.counts.by_state(project.store).values()) > 40
    version = db.versions.registry.active(project.store)
    new = Predictions(np.array([35]), np.array([0.7], dtype=np.float32))
    db.versions.predictions.put_predictions(other.store, version.id, new)
    everything = now(project).collection
    assert everything.predictions[everything.rows([35])] == pytest.approx(0.7)
    other.close()


def test_images_that_come_are_added_and_other_changes_read_anew(
    project: Project, tmp_path: Path
) -> None:
    for step in range(3):
        before = images_now(project)
        draw_pictures(tmp_path / f"more-{step}", 3 + step)
        (tmp_path / f"more-{step}" / "cut.jpg").write_text(f"no picture {step}")
        if step == 1:
            next((tmp_path / "pictures").iterdir()).unlink()
            import_paths(project, [tmp_path / "pictures"], workers=1)
        import_paths(project, [tmp_path / f"more-{step}"], source=f"more-{step}", workers=1)
        now, read = images_now(project), db.images.arrays.image_columns(project.store)
        assert len(now) > len(before)
        for name in ("ids", "sources", "hashes", "fine", "readable"):
            np.testing.assert_array_equal(getattr(now, name), getattr(read, name))
        assert images_now(project) is now


def test_missing_pictures_and_bands_count_at_once(project: Project, tmp_path: Path) -> None:
    source = db.images.sources.sources(project.store)[0]
    db.images.sources.update_source(project.store, source.id, (2, 4))
    everything = now(project).collection
    assert (everything.low[0], everything.high[0]) == (0.2, 0.4)
    assert everything.fine.all()
    path = db.images.lookup.get(project.store, 30).path
    Path(path).unlink()
    import_paths(project, [tmp_path / "pictures"], workers=1)
    assert not now(project).collection.fine[everything.rows([30])]
    page = review_page(project, "false-positive", limit=10)
    assert [card.image.id for card in page.cards] == [31]


def test_a_new_version_is_seen_with_its_own_predictions(project: Project) -> None:
    now(project)
    add(project, {30: 0.2, 32: 0.6})
    everything = now(project).collection
    rows = everything.rows([30, 31, 32])
    np.testing.assert_allclose(everything.predictions[rows], [0.2, np.nan, 0.6], atol=1e-6)


def test_unknown_images_have_no_row(project: Project) -> None:
    everything = now(project).collection
    assert everything.ids[everything.rows([99, 5, 0])].tolist() == [5]
    spread = everything.spread(np.array([2, 99]), np.array([1.5, 7.0]))
    assert np.flatnonzero(~np.isnan(spread)).tolist() == everything.rows([2]).tolist()


def test_embeddings_are_kept_within_their_bound(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    # Room for ten.
    monkeypatch.setattr("labeler.embedding.unit_cache.MOST_BYTES", 10 * 4 * encoder.width)
    vectors = UnitVectors(project.store, encoder.id, encoder.width)
    for ids in ([1, 2, 3], [3, 99, 1], list(range(4, 10)), list(range(1, 30)), [2, 1]):
        found = vectors.of(np.array(ids))
        known, raw = db.images.embeddings.get(project.store, encoder.id, ids)
        expected = np.zeros((len(ids), encoder.width))
        expected[np.isin(ids, known)] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_id_asked_for_twice_leaves_the_others_alone(project: Project) -> None:
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    assert encoder is not None
    vectors = UnitVectors(project.store, encoder.id, encoder.width)
    expected = UnitVectors(project.store, encoder.id, encoder.width).of(np.array([7]))
    twice = vectors.of(np.array([5, 5, 7]))
    np.testing.assert_array_equal(twice[0], twice[1])
    vectors.of(np.array([9]))
    np.testing.assert_array_equal(vectors.of(np.array([7])), expected)
