"""What rounds brought, and the advice whether to go on.

Protects: hits and cards are counted per round and queue as the person left them; a change is told
only from a round's version to the one trained after it; the advice says yes or no only where the
evidence agrees, names what it rests on, and says so where there isn't enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import db.scores.events
import db.scores.queue_queries
import db.versions.rounds
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.review.advice import review_advice
from labeler.versions.evaluation.audit import audit_report
from labeler.versions.evaluation.rounds import round_reports
from model.evaluation.intervals import Bounds
from model.evaluation.proportions import proportion
from model.evaluation.stopping import Evidence, advise
from tests.support.collection import add_version, make_collection, score_at_random
from tests.support.pictures import make_jpeg
from tests.support.store_rows import event

BUSY = Evidence(
    found=proportion(16, 40), expected=9.0, cards=40, left=Bounds(90, 40, 160), change="better"
)
QUIET = Evidence(
    found=proportion(1, 40), expected=1.2, cards=40, left=Bounds(6, 1, 30), change="open"
)


@pytest.mark.parametrize(
    ("evidence", "answer", "words"),
    [
        (BUSY, "yes", "16 of 40 reviewed cards were mistakes (40 %, 26 to 55 %)"),
        (BUSY, "yes", "about 90 (40 to 160) are left"),
        (replace(BUSY, left=None), "yes", "too small to say how many are left"),
        (replace(BUSY, left=Bounds(1, 0, 3)), "no", "about 1 (0 to 3) are left"),
        (replace(BUSY, change="worse"), "unclear", "made the model worse"),
        (replace(BUSY, expected=1.0), "unclear", "Another page would settle it"),
        (replace(BUSY, found=proportion(8, 12)), "unclear", "Review a page of cards"),
        (replace(BUSY, found=None), "unclear", "no card of a version has been reviewed"),
        (replace(BUSY, cards=0), "no", "no unscored image is left"),
        (replace(BUSY, cards=0, without_embedding=20), "unclear", "20 images have none yet"),
        (replace(BUSY, cards=0, without_embedding=20), "unclear", "labeler embed"),
        (QUIET, "no", "Scoring at random"),
        (replace(QUIET, expected=7.0), "unclear", "expects about 7 among the next 40 cards"),
        (replace(QUIET, left=Bounds(80, 30, 200)), "no", "More is left than the review finds"),
        (replace(QUIET, found=None, expected=None), "unclear", "Train a version first"),
    ],
)
def test_the_advice_follows_from_the_evidence_and_names_it(
    evidence: Evidence, answer: str, words: str
) -> None:
    advised = advise(evidence)
    assert advised.answer == answer
    assert words in advised.sentence


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = make_collection(tmp_path, images=60, scored=30)
    yield made
    made.close()


def review(project: Project, version_id: int, name: str, queues: dict[str, list[str]]) -> None:
    """A round of the version: in each queue one more unscored image for every outcome told."""
    opened = db.versions.rounds.open_round(project.store, version_id, 0.5)
    waiting = db.scores.queue_queries.unscored(project.store, order="newest", limit=40)
    for queue, outcomes in queues.items():
        for outcome in outcomes:
            image = waiting.pop()
            db.versions.rounds.mark_shown(project.store, opened.id, queue, [(image.id, 0.9)])
            kind = "skip" if outcome == "skipped" else "score"
            details = {"queue": queue, "shown_version": name}
            if kind == "score":
                why = "confirmation" if outcome == "confirmed" else f"correction-{queue}"
                details |= {"value": 3.0, "why": why}
            taken = event(f"{name}-{image.id}", kind, image.id, **details)
            assert db.scores.events.record(project.store, [taken])[0].accepted


def test_a_round_counts_hits_per_queue_and_what_came_after_it(project: Project) -> None:
    first = add_version(project, noise=0.3)
    review(
        project,
        first.id,
        first.name,
        {
            "false-positive": ["corrected", "corrected", "confirmed", "skipped"],
            "false-negative": ["confirmed"],
        },
    )
    (report,) = round_reports(project)
    assert (report.of, report.to, report.changes) == (first.name, None, [])
    assert (report.reviewed, report.corrected, report.skipped) == (4, 2, 1)
    assert report.hit_rate is not None
    assert (report.hit_rate.hits, report.hit_rate.trials) == (2, 4)
    by_queue = {each.queue: (each.corrected, each.reviewed) for each in report.queues}
    assert by_queue == {"false-positive": (2, 3), "false-negative": (0, 1)}
    second = add_version(project, noise=0.001)
    (report,) = round_reports(project)
    assert (report.to, report.judged, report.changes) == (second.name, 0, [])
    score_at_random(project, 25, (first, 0.3), (second, 0.001))
    (report,) = round_reports(project)
    assert (report.to, report.judged) == (second.name, 25)
    changes = {change.measure: change for change in report.changes}
    assert set(changes) == {"mae", "average_precision"}
    assert changes["mae"].verdict == "better"
    assert changes["mae"].high is not None
    assert changes["mae"].high < 0


def test_a_round_of_which_nothing_was_handled_is_none(project: Project) -> None:
    version = add_version(project, noise=0.3)
    opened = db.versions.rounds.open_round(project.store, version.id, 0.5)
    db.versions.rounds.mark_shown(project.store, opened.id, "false-positive", [(1, 0.9)])
    assert round_reports(project) == []
    advised = review_advice(project, [], audit_report(project))
    assert advised.answer == "unclear"
    assert "no card of a version has been reviewed" in advised.sentence


def test_a_small_round_after_a_large_one_does_not_count_yet(project: Project) -> None:
    first = add_version(project, noise=0.3)
    review(project, first.id, first.name, {"false-positive": ["corrected"] * 20})
    second = add_version(project, noise=0.2)
    review(project, second.id, second.name, {"false-positive": ["confirmed"] * 2})
    reports = round_reports(project)
    assert [each.of for each in reports] == [first.name, second.name]
    assert (
        "20 of 20 reviewed cards" in review_advice(project, reports, audit_report(project)).sentence
    )


def test_without_a_version_the_advice_is_to_train_one(project: Project) -> None:
    assert "Train a version first" in review_advice(project, [], audit_report(project)).sentence


def test_images_without_an_embedding_are_told_where_none_is_left_to_review(tmp_path: Path) -> None:
    made = make_collection(tmp_path, images=30, scored=30)
    add_version(made, noise=0.05)
    make_jpeg(tmp_path / "more" / "a.jpg", 99)
    import_paths(made, [tmp_path / "more"], workers=1)
    said = review_advice(made, round_reports(made), audit_report(made))
    made.close()
    assert (said.answer, "Import more" in said.sentence) == ("unclear", False)
    for words in (["review"], ["review", "--queue", "false-positive"], ["rounds"]):
        done = CliRunner().invoke(labeler, ["--project", str(tmp_path / "project"), *words])
        assert done.exit_code == 0, done.output
        assert "labeler embed" in done.output
        assert "queue" not in done.output
