"""Protects the use of somebody else's head: it orders, reviews and compares like a version that was
trained here, without any hand score, and is honest about what it has seen: none of them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import db.images.embeddings
import db.scores.hand_scores
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.records import Version
from labeler.core.project import Project
from labeler.core.status import read_status
from labeler.exports.models.export import export_as
from labeler.prediction.predict_embeddings import predict_embeddings
from labeler.review import what_if
from labeler.review.advice import review_advice
from labeler.review.pages import note_shown, review_cards, review_page
from labeler.scoring import events, queue
from labeler.versions import browse
from labeler.versions.adopt import adopt
from labeler.versions.evaluation import compare
from labeler.versions.evaluation.audit import audit_report
from labeler.versions.evaluation.figures import headline, on_chosen_images
from labeler.versions.evaluation.rounds import round_reports
from labeler.versions.evaluation.slices import slice_report
from labeler.versions.train import train
from model.evaluation import metrics
from model.training.quick import Quick
from tests.support import published
from tests.support.collection import copied, give_scores
from tests.support.foreign_project import IMAGES, LAION, all_ids, call, expected, make

SHORT = Quick(steps=12, features=8, hidden=64, folds=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project and the heads; copied, never changed."""
    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(made / "project", tmp_path / "project")


@pytest.fixture
def laion(project: Project, made: Path) -> Version:
    """The project's only version, somebody else's."""
    return adopt(project, made / LAION)


def test_the_first_session_can_be_ordered_by_it(project: Project, laion: Version) -> None:
    said = dict(zip(all_ids(project), expected(), strict=True))
    offer = queue.next_images(project, "thin", limit=12, exclude=())
    of_12 = [said[image.id] for image in offer.images if image.id not in offer.draws]
    assert max(of_12) - min(of_12) > 0.3, "from all over the scale"
    best = queue.next_images(project, "best", limit=12, exclude=())
    shown = [image.id for image in best.images if image.id not in best.draws]
    ranked = sorted(said, key=lambda i: (-said[i], -i))
    assert shown == [image_id for image_id in ranked if image_id not in best.draws][: len(shown)]


@pytest.mark.parametrize("queue", ["mistake", "false-positive", "false-negative", "hand-score"])
def test_it_can_be_reviewed_without_any_hand_score(
    project: Project, laion: Version, queue: str
) -> None:
    cards = review_page(project, queue, limit=8).cards
    said = dict(zip(all_ids(project), expected(), strict=True))
    assert bool(cards) == (queue != "hand-score")
    for card in cards:
        assert card.prediction == pytest.approx(said[card.image.id], abs=1e-5)
        assert 0 < card.suspicion <= 0.5
        assert (card.prediction >= 0.5) == (card.queue == "false-positive")
    if queue.startswith("false"):
        distances = [abs(card.prediction - 0.5) for card in cards]
        assert distances == sorted(distances)


def score(project: Project, values: dict[int, float], queue: str = "score") -> None:
    raw = [
        {"event": f"{queue}-{i}", "kind": "score", "image": i, "score": v, "queue": queue}
        | {"version": getattr(db.versions.registry.active(project.store), "name", None)}
        for i, v in values.items()
    ]
    assert all(receipt.accepted for receipt in events.record_events(project, raw))


def test_hand_scores_tell_how_far_it_is_to_be_trusted(project: Project, laion: Version) -> None:
    before = review_cards(project, "false-positive", limit=1)[0].suspicion
    said = dict(zip(all_ids(project), expected(), strict=True))
    agreed = {i: round(float(said[i]) * 10, 1) for i in all_ids(project)[:20]}
    score(project, agreed)
    clear = [c for c in review_cards(project, "false-positive") if c.prediction > 0.6]
    assert clear
    assert all(card.suspicion < 0.01 for card in clear), "it was never off by more than a point"
    assert before > 0.2


def test_hand_scores_that_it_contradicts_are_shown(project: Project, laion: Version) -> None:
    ids, said = all_ids(project), expected()
    wrong = ids[int(np.argmax(said))]
    score(project, {i: round(float(s) * 10) for i, s in zip(ids, said, strict=True)} | {wrong: 0})
    cards = review_cards(project, "hand-score")
    assert cards[0].image.id == wrong
    assert cards[0].prediction == pytest.approx(float(said.max()), abs=1e-5)


def test_its_figures_are_on_all_hand_scores_with_intervals(
    project: Project, laion: Version
) -> None:
    assert on_chosen_images(project, laion).judged == 0
    assert on_chosen_images(project, laion).metrics["mae"] == {
        "value": None,
        "low": None,
        "high": None,
    }
    give_scores(project, all_ids(project)[:30])
    found = on_chosen_images(project, laion)
    _, values = db.scores.hand_scores.effective(project.store)
    truth = metrics.measure(expected()[:30], values / 10, 0.5)
    assert found.judged == 30
    assert found.metrics["mae"]["value"] == pytest.approx(truth["mae"]["value"], abs=1e-4)
    assert found.metrics["mae"]["low"] < found.metrics["mae"]["value"]
    assert found.metrics["baseline"]["mae"]["value"] > 0
    assert headline(project, laion).basis == "none"


def test_a_version_trained_after_it_is_compared_with_it(project: Project, laion: Version) -> None:
    give_scores(project, all_ids(project)[:30])
    own = train(project, recipe=SHORT)
    assert (own.name, own.parent, own.active) == ("v1.0", laion.name, True)
    assert compare.compare(project, own, laion).changes == []
    drawn = queue.next_images(project, "random", limit=10, exclude=()).images
    raw = [
        {"event": f"d{image.id}", "kind": "score", "image": image.id, "score": 7, "draw": True}
        for image in drawn
    ]
    assert all(receipt.accepted for receipt in events.record_events(project, raw))
    found = compare.compare(project, own, laion)
    assert (found.draws, found.changes) == (10, [])
    assert headline(project, laion).basis == "all"
    curve = compare.curve(project, laion)
    assert curve is not None
    assert not np.isnan(curve.recall).any()
    assert compare.moved_most(project, own, laion, limit=3)


def test_a_round_of_reviewing_it_ends_with_the_training(project: Project, laion: Version) -> None:
    shown = [card.image.id for card in review_page(project, "false-positive", limit=4).cards]
    note_shown(project, "false-positive", shown)
    score(project, dict.fromkeys(shown, 1.0), "false-positive")
    told = what_if.what_if(project, all_ids(project)[:5])
    assert told.corrections == len(shown)
    assert all(0 <= each.after <= 1 for each in told.moved)
    give_scores(project, [i for i in all_ids(project) if i not in shown][:30])
    train(project, recipe=SHORT)
    [report] = round_reports(project)
    assert (report.of, report.to, report.corrected) == (laion.name, "v1.0", len(shown))
    assert (report.judged, report.changes) == (0, [])  # nothing was drawn at random since


def test_adding_one_ends_no_round(project: Project, made: Path) -> None:
    give_scores(project, all_ids(project)[:30])
    own = train(project, recipe=SHORT)
    review_page(project, "false-positive", limit=4)
    adopt(project, made / LAION, activate=True)
    opened = db.versions.rounds.find_open_round(project.store, own.id)
    assert opened is not None
    assert opened.finished_at is None


def test_what_is_new_is_counted_from_the_last_training(project: Project, made: Path) -> None:
    give_scores(project, all_ids(project)[:30])
    train(project, recipe=SHORT)
    adopt(project, made / LAION, activate=True)
    assert read_status(project).waiting == 0
    assert "0 new hand scores since v1.0" in call(project, "status").stdout


def test_every_report_works_with_it_alone(project: Project, laion: Version) -> None:
    assert audit_report(project).active is not None
    assert review_advice(project, round_reports(project), audit_report(project)).sentence
    assert slice_report(project, "source").judged == 0
    band = browse.Band(version=laion.name, low=0.5)
    assert browse.browse(project, band).total == int((expected() >= 0.5).sum())
    [told] = browse.image_details(project, all_ids(project)[0]).predictions
    assert (told.version, told.trained_on, told.out_of_fold) == (laion.name, False, None)
    for command in (["status"], ["review"], ["audit"], ["rounds"], ["slices"]):
        call(project, *command)
        json.loads(call(project, *command, "--json").stdout)


def test_it_audits_the_random_sample(project: Project, laion: Version) -> None:
    offer = queue.next_images(project, "random", limit=IMAGES, exclude=())
    raw = [
        {"event": f"e{image.id}", "kind": "score", "image": image.id, "score": 7, "draw": True}
        for image in offer.images
    ]
    assert all(receipt.accepted for receipt in events.record_events(project, raw))
    active = audit_report(project).active
    assert active is not None
    assert (active.audit.judged, active.basis) == (IMAGES, "all")


def test_it_exports_as_a_pair_that_can_be_added_elsewhere(
    project: Project, made: Path, laion: Version, tmp_path: Path
) -> None:
    export_as(project, "model", tmp_path / "out")
    shutil.copytree(made / "project", tmp_path / "other")
    other = Project.open(tmp_path / "other")
    [file] = (tmp_path / "out").glob("*.safetensors")
    version = adopt(other, file, name="again")
    made_by_it = db.versions.predictions.predictions(other.store, version.id).scores
    np.testing.assert_allclose(made_by_it, expected(), atol=1e-5)
    other.close()


def test_it_predicts_embeddings_in_files_of_any_length(
    project: Project, laion: Version, tmp_path: Path
) -> None:
    raw = published.embeddings(IMAGES)
    unit = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float16)
    for name, vectors in (("raw", raw), ("unit", unit)):
        np.save(tmp_path / f"{name}.npy", vectors)
        found = predict_embeddings(project, [tmp_path / f"{name}.npy"], "clip-l14")
        said = np.concatenate([block.predictions for block in found.blocks])
        np.testing.assert_allclose(said, expected(), atol=0.005)


def test_it_predicts_folders(project: Project, made: Path, laion: Version) -> None:
    told = json.loads(call(project, "predict", made / "pictures", "--json").stdout)
    said = sorted((round(float(each), 6) for each in expected()), reverse=True)
    assert [one["prediction"] for one in told["images"]] == pytest.approx(said, abs=1e-5)
