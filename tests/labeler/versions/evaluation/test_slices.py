"""Where predictions run too high or too low, by source and by tag.

Protects: the signed error and its interval are right on arrays that can be checked by hand; tiny
slices don't lead, and many looks make nothing stand out by chance; an image counts with the
prediction of a head that had not seen it, and what a review picked since does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import db.images.locations
import db.images.tags
import db.scores.queue_queries
import db.versions.predictions
import db.versions.registry
from db.records import Predictions
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput, LabelerError
from labeler.core.project import Project
from labeler.versions.evaluation.slices import slice_report
from model.evaluation.slices import FEWEST, grouped_mean, slices
from tests.support.collection import add_version, draw_pictures, make_collection
from tests.support.store_rows import score


def test_the_interval_of_a_mean_is_students() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    found = grouped_mean(values, np.arange(4))
    assert found.value == 2.5
    assert found.high - 2.5 == pytest.approx(3.182446 * values.std(ddof=1) / 2, rel=1e-5)


def test_repeated_images_are_one_piece_of_evidence() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    once = grouped_mean(values, np.arange(4))
    thrice = grouped_mean(np.repeat(values, 3), np.repeat(np.arange(4), 3))
    assert thrice.low == pytest.approx(once.low)


def test_a_slice_has_its_figures() -> None:
    said = np.array([0.9] * 10 + [0.3] * 10)
    scores = np.array([0.7] * 8 + [0.4] * 2 + [0.3] * 9 + [0.5])
    (one,) = slices({"all": np.arange(20)}, said, scores, 0.5, np.arange(20))
    assert one.bias.value == pytest.approx((8 * 2 + 2 * 5 + 0 - 2) / 20)
    assert one.mae.value == pytest.approx((8 * 2 + 2 * 5 + 0 + 2) / 20)
    assert one.false_positives is not None
    assert (one.false_positives.hits, one.false_positives.trials) == (2, 10)
    assert one.false_negatives is not None
    assert (one.false_negatives.hits, one.false_negatives.trials) == (1, 10)
    assert one.stands_out


def test_worst_is_what_is_surely_off_so_that_tiny_slices_do_not_lead() -> None:
    generator = np.random.default_rng(3)
    errors = {"tiny": 3 + generator.normal(0, 5, 11), "large": 1 + generator.normal(0, 1, 200)}
    said = np.concatenate(list(errors.values())) / 10 + 0.5
    rows = {"tiny": np.arange(11), "large": np.arange(11, 211), "few": np.arange(FEWEST - 1)}
    found = slices(rows, said, np.full(211, 0.5), 0.5, np.arange(211))
    assert [one.name for one in found] == ["large", "tiny"]  # and nothing is said of "few"
    assert [one.stands_out for one in found] == [True, False]
    assert found[0].surely == pytest.approx(found[0].bias.low)


def test_many_looks_make_nothing_stand_out_by_chance() -> None:
    seldom = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        said = 0.5 + generator.normal(0, 0.2, 2000)
        rows = {str(k): np.arange(20 * k, 20 * k + 20) for k in range(100)}
        found = slices(rows, said, np.full(2000, 0.5), 0.5, np.arange(2000))
        seldom += any(one.stands_out for one in found)
    assert seldom <= 6  # 5 % of 40 is 2


def test_a_bias_that_nobody_would_notice_does_not_stand_out() -> None:
    said = np.full(50, 0.51) + np.linspace(-0.001, 0.001, 50)
    (one,) = slices({"all": np.arange(50)}, said, np.full(50, 0.5), 0.5, np.arange(50))
    assert one.bias.low > 0
    assert not one.stands_out


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Two sources of 30 scored images; the version predicts those of "comics" 1.8 too high."""
    made = make_collection(tmp_path, images=60, scored=60)
    import_paths(made, sorted((tmp_path / "pictures").iterdir())[30:], source="comics", workers=1)
    add_version(made, noise=0.05)
    with made.store.transaction() as session:
        session.connection().exec_driver_sql(
            "UPDATE out_of_fold SET score = score + 0.18 WHERE image_id IN (SELECT images.id FROM "
            "images JOIN sources ON sources.id = source_id WHERE name = 'comics')"
        )
    yield made
    made.close()


def test_a_biased_source_leads_and_is_told_with_its_count(project: Project) -> None:
    report = slice_report(project, "source")
    assert [one.name for one in report.slices] == ["comics", "gradients"]
    told = report.sentences()
    assert told[0].startswith("Predicted scores of source “comics” run 1.")
    assert told[0].endswith(" too high (n = 30).")
    assert "1 of 2 sources stands out" in told[-1]


def test_tags_are_slices_once_enough_images_carry_them(project: Project) -> None:
    assert "No tag has" in slice_report(project, "tag").sentences()[0]
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    tags = {i: ["comic"] if n >= 30 else ["plain"] for n, i in enumerate(ids)}
    tags[ids[0]] = ["plain", "a caption that only this image has"]
    db.images.tags.put(project.store, db.images.tags.TABLE, tags)
    db.images.tags.put(project.store, db.images.tags.BESIDE, {ids[0]: ["plain"]})
    report = slice_report(project, "tag")
    assert {one.name: one.images for one in report.slices} == {"comic": 30, "plain": 30}
    assert report.slices[0].name == "comic"


def test_what_a_review_picked_since_the_training_does_not_count(project: Project) -> None:
    draw_pictures(project.folder.parent / "new", 95)
    import_paths(project, [project.folder.parent / "new"], source="new", workers=1)
    version = db.versions.registry.active(project.store)
    assert version is not None
    waiting = [
        i.id for i in db.scores.queue_queries.unscored(project.store, order="newest", limit=200)
    ]
    wrong = Predictions(np.array(waiting), np.full(len(waiting), 0.9, np.float32))
    db.versions.predictions.put_predictions(project.store, version.id, wrong)
    before = slice_report(project, "source").judged
    drawn = db.scores.queue_queries.unscored(project.store, order="random", limit=1)[0].id
    for image_id in [i for i in waiting if i != drawn]:
        score(project.store, image_id, 1, queue="false-positive", event_id=f"r-{image_id}")
    assert slice_report(project, "source").judged == before
    score(project.store, drawn, 1, draw=True)  # the last one: now all have been gone through
    assert slice_report(project, "source").judged == before + len(waiting)


def test_slices_need_a_version_and_a_kind(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="colour"):
        slice_report(project, "colour")
    empty = Project.create(tmp_path / "empty", encoder="lite")
    with pytest.raises(LabelerError, match="labeler train"):
        slice_report(empty, "source")
    empty.close()
