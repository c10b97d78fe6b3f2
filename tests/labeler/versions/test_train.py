"""Protects training as a whole: what a version is made of, that nothing half-made is left, and that
every embedded image is predicted by the version that its project calls active.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import db.images.embeddings
import db.images.locations
import db.images.lookup
import db.scores.events
import db.scores.hand_scores
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.records import Event, Version
from labeler.collection.importing import import_paths
from labeler.core.errors import NotEnoughScores, Stopped
from labeler.core.project import Project
from labeler.scoring.events import record_events
from labeler.versions.activate import predict_stored
from labeler.versions.browse import image_details
from labeler.versions.inference import load_version, score_embeddings
from labeler.versions.train import train
from model.errors import ModelError
from model.heads.head_files import load_head
from model.training.original import Original
from model.training.quick import Quick
from tests.support.collection import START, WIDTH, draw_pictures, give_scores, make_collection

TINY = Quick(steps=6, features=8, hidden=64, folds=2)


@pytest.fixture
def project(tmp_path: Path) -> Any:
    made = make_collection(tmp_path, images=40, scored=30)
    yield made
    made.close()


def scored_only(folder: Path, count: int) -> Project:
    """A project with `count` scored images, none of them embedded."""
    project = Project.create(folder / "project", encoder="lite")
    import_paths(project, draw_pictures(folder / "pictures", count), workers=1)
    give_scores(project, ids_of(project))
    return project


def ids_of(project: Project) -> list[int]:
    return sorted(db.images.locations.ids_by_path(project.store).values())


def model_files(project: Project) -> list[str]:
    return sorted(file.name for file in project.models.iterdir())


def test_a_version_has_all_that_belongs_to_it(project: Project) -> None:
    version = train(project, recipe=TINY, note="the first")
    assert db.versions.registry.active(project.store) == version
    assert (version.name, version.parent, version.recipe) == ("v1.0", None, "quick")
    assert (version.note, version.scored_count, version.threshold) == ("the first", 30, 0.5)
    assert version.settings == TINY.settings() | {"seed": 0}
    ids, values = db.versions.predictions.trained_on(project.store, version.id)
    now = db.scores.hand_scores.effective(project.store)
    assert dict(zip(ids, values, strict=True)) == dict(zip(*now, strict=True))
    unseen = db.versions.predictions.out_of_fold(project.store, version.id)
    assert unseen.image_ids.tolist() == sorted(ids.tolist())
    assert unseen.exceed is not None
    assert unseen.exceed.shape == (30, 10)
    assert len(np.unique(unseen.folds)) == TINY.folds


def test_metrics_are_of_the_out_of_fold_predictions(project: Project) -> None:
    version = train(project, recipe=TINY)
    unseen = db.versions.predictions.out_of_fold(project.store, version.id)
    truth = dict(zip(*db.scores.hand_scores.effective(project.store), strict=True))
    errors = [
        abs(said - truth[image_id] / 10)
        for image_id, said in zip(unseen.image_ids.tolist(), unseen.scores.tolist(), strict=True)
    ]
    mae = version.metrics["mae"]
    assert mae["value"] == pytest.approx(np.mean(errors), abs=1e-6)
    assert mae["low"] <= mae["value"] <= mae["high"]
    assert set(version.metrics) >= {
        "rank_correlation",
        "precision",
        "recall",
        "false_positives",
        "average_precision",
    }
    given = np.array(list(truth.values())) / 10
    said_mean = version.metrics["baseline"]["mae"]["value"]
    assert said_mean == pytest.approx(np.abs(given - given.mean()).mean())
    json.dumps(version.metrics, allow_nan=False)


def test_every_embedded_image_is_predicted_and_files_agree(project: Project) -> None:
    version = train(project, recipe=TINY)
    assert model_files(project) == ["v1.0.config.json", "v1.0.opinion.npz", "v1.0.safetensors"]
    record = db.images.embeddings.encoder(project.store, project.encoder)
    assert record is not None
    ids, vectors = db.images.embeddings.get(project.store, record.id, ids_of(project))
    kept = db.versions.predictions.predictions(project.store, version.id)
    assert kept.image_ids.tolist() == ids.tolist()
    np.testing.assert_allclose(kept.scores, score_embeddings(project, version, vectors), atol=1e-6)
    assert kept.exceed is not None
    second = load_version(project, version).opinion
    assert second is not None
    expected = second.exceed(vectors)
    np.testing.assert_allclose(kept.exceed, expected, atol=1e-3)
    told = load_head(project.models / version.file, WIDTH).metadata
    assert (told["encoder"], told["width"], told["scored_images"]) == ("lite", WIDTH, 30)
    assert told["metrics"] == version.metrics


def test_the_next_version_has_a_parent_and_the_old_can_still_predict(project: Project) -> None:
    first = train(project, recipe=TINY)
    give_more(project, ids_of(project)[30:], 8.0)
    second = train(project, recipe=TINY)
    assert (second.name, second.parent, second.scored_count) == ("v1.1", "v1.0", 40)
    assert [each.active for each in db.versions.registry.history(project.store)] == [False, True]
    vectors = np.eye(WIDTH, dtype=np.float32)
    before, after = (score_embeddings(project, each, vectors) for each in (first, second))
    assert np.abs(before - after).max() > 1e-4


def give_more(project: Project, ids: list[int], value: float) -> None:
    events = [Event(f"more-{i}-{value}", "score", i, START, value=value, scorer="ann") for i in ids]
    assert all(receipt.accepted for receipt in db.scores.events.record(project.store, events))


def test_phases_are_told_with_done_and_total_and_the_curve_grows(project: Project) -> None:
    seen: list[tuple[int, int, str]] = []
    curves: list[list[Any]] = []
    version = train(
        project,
        recipe=TINY,
        progress=lambda *now: seen.append(now),
        on_curve=curves.append,
    )
    phases = list(dict.fromkeys(what for *_, what in seen))
    assert phases == ["training", "predicting"]
    assert all(0 <= done <= total for done, total, _ in seen)
    assert seen[-1] == (40, 40, "predicting")
    assert version.curve[-1].keys() == {"step", "train", "held_out"}
    assert [point["step"] for point in curves[-1]] == [p["step"] for p in version.curve]


@pytest.mark.parametrize("phase", ["training"])
def test_stopping_leaves_no_half_version(project: Project, phase: str) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if what == phase and done > 3:
            raise Stopped("Stopped.")

    with pytest.raises(Stopped):
        train(project, recipe=TINY, progress=stop)
    assert db.versions.registry.history(project.store) == []
    assert model_files(project) == []


def test_a_version_that_cannot_be_kept_leaves_no_files(project: Project) -> None:
    (project.models / "v1.0.opinion.npz").mkdir()
    with pytest.raises(OSError, match="opinion"):
        train(project, recipe=TINY)
    assert db.versions.registry.history(project.store) == []
    assert model_files(project) == ["v1.0.opinion.npz"]


def test_stopped_while_predicting_the_version_stays_and_goes_on(project: Project) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if what == "predicting":
            raise Stopped("Stopped.")

    with pytest.raises(Stopped):
        train(project, recipe=TINY, progress=stop)
    version = db.versions.registry.active(project.store)
    assert version is not None
    assert len(db.versions.predictions.predictions(project.store, version.id)) == 0
    assert predict_stored(project, version) == 40
    assert predict_stored(project, version) == 0


def test_a_later_version_takes_over_when_it_has_predicted_all(project: Project) -> None:
    first = train(project, recipe=TINY)
    db.versions.rounds.open_round(project.store, first.id, project.threshold)
    seen: list[Version | None] = []

    def look(done: int, total: int, what: str) -> None:
        if what == "predicting":
            seen.append(db.versions.registry.active(project.store))
            db.versions.rounds.open_round(project.store, first.id, project.threshold)

    second = train(project, recipe=TINY, progress=look)
    assert seen
    assert all(version == first for version in seen), "half of the predictions are shown"
    assert db.versions.registry.active(project.store) == second
    assert len(db.versions.predictions.predictions(project.store, second.id)) == 40
    # What is answered while it predicts is of a round that it has not come of.
    leads_to = [one.to_version for one in db.versions.rounds.history(project.store)]
    assert leads_to == [second.name, None]


def test_too_few_scores_are_refused_with_how_many_more(tmp_path: Path) -> None:
    project = make_collection(tmp_path, images=25, scored=13)
    with pytest.raises(NotEnoughScores, match="there are 13; score 7 more"):
        train(project, recipe=TINY)
    project.close()


def test_one_score_for_all_is_refused(project: Project) -> None:
    give_more(project, ids_of(project)[:30], 6.0)
    with pytest.raises(NotEnoughScores, match="All 30 hand scores are 6"):
        train(project, recipe=TINY)


def test_one_group_is_refused(project: Project) -> None:
    db.images.lookup.set_groups(project.store, dict.fromkeys(ids_of(project), "one document"))
    with pytest.raises(NotEnoughScores, match="one group"):
        train(project, recipe=TINY)


def test_groups_and_near_duplicates_stay_in_one_fold(project: Project) -> None:
    ids = ids_of(project)
    db.images.lookup.set_groups(project.store, {ids[0]: "a", ids[15]: "a"})
    record = db.images.embeddings.encoder(project.store, project.encoder)
    assert record is not None
    _, vectors = db.images.embeddings.get(project.store, record.id, [ids[4]])
    db.images.embeddings.put(project.store, record.id, [ids[29]], vectors * 1.5)
    version = train(project, recipe=replace(TINY, folds=5))
    unseen = db.versions.predictions.out_of_fold(project.store, version.id)
    assert unseen.folds is not None
    fold = dict(zip(unseen.image_ids.tolist(), unseen.folds.tolist(), strict=True))
    assert fold[ids[0]] == fold[ids[15]]
    assert fold[ids[4]] == fold[ids[29]]


def test_the_threshold_of_the_project_is_the_versions(project: Project) -> None:
    project.set_threshold(0.7)
    version = train(project, recipe=TINY)
    unseen = db.versions.predictions.out_of_fold(project.store, version.id)
    truth = dict(zip(*db.scores.hand_scores.effective(project.store), strict=True))
    wrong = sum(
        said >= 0.7 > truth[image_id] / 10 + 1e-9
        for image_id, said in zip(unseen.image_ids.tolist(), unseen.scores.tolist(), strict=True)
    )
    assert version.threshold == 0.7
    assert version.metrics["false_positives"]["value"] == wrong


class Brightness:
    """An encoder of eight grey values."""

    identity, width, normalised = "lite", WIDTH, False
    preprocessing: dict[str, Any] = {"size": 224}  # noqa: RUF012  (the protocol's own type)

    def prepare(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.convert("L").resize((WIDTH, 1)), dtype=np.float32)[0]

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return batch.reshape(len(batch), WIDTH) / 255


def test_missing_embeddings_of_scored_images_come_first(tmp_path: Path) -> None:
    project = scored_only(tmp_path, 22)
    phases: list[str] = []
    version = train(
        project,
        recipe=TINY,
        encoder=Brightness(),
        progress=lambda done, total, what: phases.append(what),
    )
    assert version.scored_count == 22
    assert phases.index("training") > 0
    assert len(db.versions.predictions.predictions(project.store, version.id)) == 22
    project.close()


def test_the_original_recipe_makes_a_version_too(project: Project) -> None:
    version = train(project, recipe=Original(steps=40, hidden=24))
    assert version.recipe == "original"
    assert (version.settings["steps"], version.settings["hidden"]) == (40, 24)
    unseen = db.versions.predictions.out_of_fold(project.store, version.id)
    assert len(np.unique(unseen.folds)) == 3


def test_lost_files_are_named(project: Project) -> None:
    version: Version = train(project, recipe=TINY)
    (project.models / "v1.0.safetensors").unlink()
    with pytest.raises(ModelError, match=r"v1\.0\.safetensors is missing"):
        score_embeddings(project, version, np.zeros((1, WIDTH), dtype=np.float32))


@pytest.mark.parametrize("content", [None, b"of an earlier kind"])
def test_without_its_second_opinion_a_version_predicts_by_its_head(
    project: Project, content: bytes | None
) -> None:
    version = train(project, recipe=TINY)
    path = project.models / "v1.0.opinion.npz"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    vectors = np.random.default_rng(0).normal(size=(4, WIDTH)).astype(np.float32)
    made = load_version(project, version).predict(np.arange(4), vectors)
    assert made.exceed is None
    np.testing.assert_array_equal(made.scores, score_embeddings(project, version, vectors))


def test_confirmations_have_no_part_in_the_error_and_come_out_by_name(project: Project) -> None:
    typed = train(project, recipe=TINY).metrics
    ids = sorted(set(ids_of(project)) - set(db.scores.hand_scores.effective(project.store)[0]))
    told = {"kind": "confirm", "queue": "false-positive", "threshold": 0.5, "prediction": 0.94}
    events = [{"event": f"right {i}", "image": i, "score": 9, **told} for i in ids]
    assert all(receipt.accepted for receipt in record_events(project, events))
    assert len(ids) >= 8
    version = train(project, recipe=TINY)
    made = db.versions.predictions.out_of_fold(project.store, version.id)
    given = dict(zip(*db.versions.predictions.trained_on(project.store, version.id), strict=True))
    errors = {
        i: abs(score - given[i] / 10)
        for i, score in zip(made.image_ids.tolist(), made.scores.tolist(), strict=True)
    }
    of_typed = [error for i, error in errors.items() if i not in ids]
    assert version.metrics["mae"]["value"] == pytest.approx(np.mean(of_typed))
    assert typed["mae"]["value"] is not None
    assert image_details(project, ids[0]).confirmed == "passes"
    assert image_details(project, int(next(i for i in given if i not in ids))).confirmed is None
