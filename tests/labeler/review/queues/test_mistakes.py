"""Protects the queue of both kinds of mistakes: what deals its cards, that answers change at once
what comes next, and that it works without a second opinion.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import db.images.embeddings
import db.images.sources
import db.versions.registry
import db.versions.rounds
from db.records import MISTAKES
from labeler.core.project import Project
from labeler.review.pages import ReviewPage, note_shown, review_arrays, review_cards, review_page
from labeler.review.queues.mistakes import _smallest
from labeler.review.simulation.strategies import (
    CARDS_PER_UPDATE,
    PAGE_SIZE,
    STRATEGIES,
    SimulationState,
    TrainedVersion,
)
from labeler.scoring.events import record_events
from labeler.versions.model_files import second_opinion_path
from labeler.versions.snapshot import review_snapshot
from labeler.versions.train import train
from model.review import bandit
from tests.support.collection import make_collection

IMAGES, SCORED = 200, 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores by the first value of each embedding; images 150 on are a cluster of their own."""
    project = make_collection(tmp_path_factory.mktemp("dealing"), images=IMAGES, scored=SCORED)
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    vectors = np.random.default_rng(3).normal(size=(IMAGES, encoder.width)).astype(np.float32)
    vectors[149:, :2] += 6
    db.images.embeddings.put(project.store, encoder.id, np.arange(1, IMAGES + 1), vectors)
    train(project)
    project.close()
    return project.folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    import shutil

    shutil.copytree(made, tmp_path / "project")
    return Project.open(tmp_path / "project")


def shown(project: Project, limit: int = 20) -> ReviewPage:
    page = review_page(project, MISTAKES, limit=limit)
    note_shown(project, MISTAKES, page.image_ids())
    return page


def answer(project: Project, image_id: int, queue: str, score: int) -> None:
    event = {"event": f"answer-{image_id}", "kind": "score", "image": image_id, "score": score}
    (receipt,) = record_events(project, [event | {"queue": queue}])
    assert receipt.accepted


def test_both_sides_stand_on_a_page_each_in_its_own_queue(project: Project) -> None:
    cards = review_cards(project, MISTAKES, limit=40)
    assert {card.queue for card in cards} == {"false-positive", "false-negative"}
    for card in cards:
        assert (card.prediction >= 0.5) == (card.queue == "false-positive")
    assert len({card.image.id for card in cards}) == len(cards) == 40
    assert {card.evidence for card in cards} <= set(bandit.PRIORS)


def test_the_same_answers_deal_the_same_cards(project: Project) -> None:
    first, again = (shown(project).cards for _ in range(2))
    assert [card.image.id for card in first] == [card.image.id for card in again]


def test_an_answer_counts_for_what_dealt_the_card(project: Project) -> None:
    page = shown(project)
    for card in page.cards[:3]:
        answer(project, card.image.id, card.queue, 0 if card.queue == "false-positive" else 10)
    expected = [(card.evidence, True) for card in page.cards[:3]]
    assert sorted(db.versions.rounds.answers(project.store)) == sorted(expected)
    left = {card.image.id for card in shown(project).cards}
    assert not left & {card.image.id for card in page.cards[:3]}


def test_the_simulation_plays_this_very_page(project: Project) -> None:
    first = shown(project, PAGE_SIZE)
    answered = first.cards[:3]
    for card in answered:
        answer(project, card.image.id, card.queue, 0 if card.queue == "false-positive" else 10)
    version = db.versions.registry.active(project.store)
    assert version is not None and first.round is not None
    now = review_snapshot(project, version, 0.5)
    images, arrays = now.collection, review_arrays(now)
    rows = images.rows([card.image.id for card in answered])
    simulated = SimulationState(
        threshold=0.5,
        version=TrainedVersion(arrays, arrays.units.of(images.ids)),
        left=np.flatnonzero(images.fine & np.isnan(now.hand_scores)),
        scored=np.flatnonzero(~np.isnan(now.hand_scores)).tolist(),
        scores=now.hand_scores,
        seed=first.round.id,
        draw=np.random.default_rng(0),
        answers=dict(zip(rows.tolist(), now.hand_scores[rows].tolist(), strict=True)),
        record=[(card.evidence, True) for card in answered],
    )
    chosen, evidence = STRATEGIES["review"](simulated, IMAGES)
    cards = review_page(project, MISTAKES, limit=PAGE_SIZE).cards[:CARDS_PER_UPDATE]
    expected = [i for c in cards for i in (c.image.id, *(twin.image.id for twin in c.together))]
    assert images.ids[chosen].tolist() == expected
    assert [name for name in evidence if name] == [card.evidence for card in cards]


def test_answers_change_at_once_what_is_suspected(project: Project) -> None:
    cluster = set(range(150, IMAGES + 1))

    def suspicions() -> dict[int, float]:
        cards = review_cards(project, MISTAKES, limit=IMAGES)
        return {c.image.id: c.suspicion for c in cards if c.image.id in cluster}

    before = suspicions()
    page = review_page(project, MISTAKES, limit=IMAGES)
    note_shown(project, MISTAKES, page.image_ids())
    answered = [card for card in page.cards if card.image.id in cluster][:12]
    for card in answered:  # the model is wrong about every one of them
        answer(project, card.image.id, card.queue, 0 if card.prediction >= 0.5 else 10)
    after = suspicions()
    common = sorted(set(before) & set(after))
    assert len(common) >= 5
    assert np.mean([after[i] - before[i] for i in common]) > 0.02


def test_what_a_source_rules_out_comes_first(project: Project) -> None:
    source = db.images.sources.sources(project.store)[0]
    from db.images.sources import update_source

    update_source(project.store, source.id, (0.0, 1.0))
    cards = review_cards(project, MISTAKES, limit=5)
    assert all(card.suspicion == 1 for card in cards[:2])
    assert cards[0].reasons[0].strong


def test_without_its_file_the_stored_second_opinion_has_to_do(project: Project) -> None:
    version = db.versions.registry.active(project.store)
    assert version is not None
    second_opinion_path(project.models / version.file).unlink()
    assert len(review_cards(project, MISTAKES, limit=10)) == 10
    second_opinion_path(project.models / version.file).write_bytes(b"nonsense")
    assert len(review_cards(project, MISTAKES, limit=10)) == 10


@pytest.mark.parametrize("count", [0, 1, 40, 700])
def test_the_least_of_many_values_are_found_by_looking_at_some(count: int) -> None:
    draw = np.random.default_rng(count)
    for values in (draw.random(3000), draw.integers(0, 4, 3000) / 4, np.linspace(1, 0, 3000)):
        order = np.lexsort((np.arange(3000), values))
        assert _smallest(values, count).tolist() == order[:count].tolist()
