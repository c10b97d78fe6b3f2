"""An image known by its path alone becomes the one that its file turns out to be.

Protects judgement of pictures that could not be read, or were known by their embedding alone: it
counts for the picture once that is known, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import db.images.counts
import db.images.lookup
import db.images.tags
import db.importing.embeddings
import db.importing.files
import db.repair.consistency
import db.scores.events
import db.scores.hand_scores
import db.versions.rounds
from db.store.store import Store
from labeler.core.project import Project
from labeler.core.scorers import account_name
from labeler.scoring.import_scores import import_scores
from tests.support.store_rows import (
    add_encoder,
    add_images,
    add_version,
    event,
    new_store,
    picture,
    score,
    tags_of_image,
)

PATH = "/pictures/later.png"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as made:
        yield made
        found = {
            each.name: db.repair.consistency.find(made, each)
            for each in db.repair.consistency.CONSISTENCY_CHECKS
        }
        assert not any(found.values()), found


@pytest.fixture
def known(store: Store) -> int:
    """A picture with a file."""
    return add_images(store, 1)[0]


@pytest.fixture
def ghost(store: Store, known: int) -> int:
    """An image of which there is an embedding, and the path of the file that made it."""
    vectors = np.ones((1, 4), dtype=np.float32)
    taken = db.importing.embeddings.import_embeddings(store, add_encoder(store), 1, [PATH], vectors)
    return int(taken.ids[0])


def effective(store: Store) -> dict[int, float]:
    return dict(
        zip(*(each.tolist() for each in db.scores.hand_scores.effective(store)), strict=True)
    )


def file_comes(store: Store) -> None:
    """It is the same picture as the known one."""
    db.importing.files.record_files(store, [picture(0, path=PATH)])


def test_its_scores_skips_tags_and_group_are_the_pictures(
    store: Store, known: int, ghost: int
) -> None:
    score(store, known, 2, scorer="ann")
    score(store, ghost, 8, scorer="bob", event_id="of the ghost")
    db.scores.events.record(store, [event("skip", "skip", ghost, queue="score")])
    db.images.tags.put(store, db.images.tags.TABLE, {known: ["sky"], ghost: ["sky", "night"]})
    db.images.lookup.set_groups(store, {ghost: "pair"})
    file_comes(store)
    assert effective(store) == {known: 8}
    assert [row.event_id for row in db.scores.hand_scores.history(store, known)][
        -1
    ] == "of the ghost"
    assert db.scores.hand_scores.history(store, ghost) == []
    assert tags_of_image(store, known) == ["night", "sky"]
    assert db.images.lookup.groups(store)[known] == "pair"
    assert db.images.counts.by_state(store) == {"fine": 1, "unreadable": 0, "missing": 1}


def test_what_a_page_still_sends_about_it_counts_for_the_picture(
    store: Store, known: int, ghost: int
) -> None:
    sent = event("sent", "score", ghost, value=7)
    assert db.scores.events.record(store, [sent])[0].accepted
    file_comes(store)
    again = db.scores.events.record(store, [sent, event("new", "score", ghost, value=3)])
    assert [(each.accepted, each.repeated) for each in again] == [(True, True), (True, False)]
    assert effective(store) == {known: 3}
    assert db.scores.events.record(store, [event("undo", "undo", ghost, undoes="new")])[0].accepted
    assert effective(store) == {known: 7}


def test_a_reviewed_card_comes_along(store: Store, known: int, ghost: int) -> None:
    version = add_version(store)
    review = db.versions.rounds.open_round(store, version.id, 0.5)
    for image_id in (known, ghost):
        db.versions.rounds.mark_shown(store, review.id, "false-positive", [(image_id, 0.9)])
    score(store, ghost, 1, queue="false-positive", shown_version="v1.0")
    file_comes(store)
    told = db.versions.rounds.history(store)[0]
    assert (told.shown, told.corrected) == (1, 1)


def test_a_file_that_could_not_be_read_for_a_while_is_the_picture_again(
    store: Store, known: int
) -> None:
    db.importing.files.record_files(store, [picture(0, content_hash=None, reason="no permission")])
    unread = db.images.lookup.find_by_path(store, "/pictures/0.png")
    assert unread is not None
    assert unread.id != known
    score(store, unread.id, 4)
    db.importing.files.record_files(store, [picture(0)])
    assert effective(store) == {known: 4}


def test_another_picture_at_the_path_of_a_known_one_takes_nothing_over(
    store: Store, known: int
) -> None:
    score(store, known, 9)
    db.importing.files.record_files(store, [picture(5, path="/pictures/0.png")])
    assert effective(store) == {known: 9}


def test_a_table_taken_again_does_not_undo_what_was_revised_since(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "taste", "lite")
    [known] = add_images(project.store, 1)
    vectors = np.ones((1, 4), dtype=np.float32)
    db.importing.embeddings.import_embeddings(
        project.store, add_encoder(project.store), 1, [PATH], vectors
    )
    table = tmp_path / "scores.csv"
    table.write_text(f"path,score\n{PATH},3\n", encoding="utf-8")
    assert import_scores(project, table).taken == 1
    file_comes(project.store)
    score(project.store, known, 9, scorer=account_name(), event_id="revised")
    assert import_scores(project, table).taken == 0
    assert effective(project.store) == {known: 9}
    project.close()
