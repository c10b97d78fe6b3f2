"""The Progress page and the setting on the Score page, as scripts.

Protects: every state of a project has something to say and none a made-up number; names of sources
and tags are never markdown; how often a random check comes is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import db.images.locations
import db.images.tags
import db.scores.events
import db.scores.queue_queries
import db.versions.rounds
from db.records import Event
from labeler.app.widgets.navigation import page_file
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from tests.support.collection import (
    START,
    add_unscored,
    add_version,
    draw_pictures,
    make_collection,
    score_at_random,
)

HOSTILE = "![x](http%3a//evil.example/a.png) **bold** :red[b]"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """60 images, 50 of them scored, as the project that the app serves."""
    project = make_collection(tmp_path, images=60, scored=50)
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))
    yield project
    project.close()


def opened(name: str = "progress") -> AppTest:
    page = AppTest.from_file(page_file(name), default_timeout=30).run()
    assert not page.exception
    assert not page.error
    return page


def texts(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.info, page.subheader)
    return "\n".join(element.value.replace("\\", "") for kind in kinds for element in kind)


def score_all(project: Project) -> None:
    """Now every image is scored, and so in the random sample."""
    for image in db.scores.queue_queries.unscored(project.store, order="random", limit=100):
        event = Event(f"all-{image.id}", "score", image.id, START, value=7.0)
        assert db.scores.events.record(project.store, [event])[0].accepted


def test_without_a_version_the_next_step_is_training(served: Project) -> None:
    page = opened()
    assert "no version to judge yet" in page.info[0].value
    assert page.button[0].label == "Train"


def test_a_sample_that_is_too_small_gives_no_number(served: Project) -> None:
    add_version(served, noise=0.1)
    with served.store.transaction() as session:  # the first in the random order is not scored
        session.connection().exec_driver_sql(
            "UPDATE images SET shuffle = 0 WHERE id = (SELECT max(id) FROM images)"
        )
    page = opened()
    assert "can't be told yet" in texts(page)
    assert "No image has been scored at random yet" in texts(page)
    assert not page.metric
    assert "Nothing has been reviewed yet" in texts(page)


def test_the_audit_the_rounds_and_the_slices_are_shown(served: Project) -> None:
    first = add_version(served, noise=0.3)
    opened_round = db.versions.rounds.open_round(served.store, first.id, 0.5)
    image = db.scores.queue_queries.unscored(served.store, order="newest", limit=1)[0]
    db.versions.rounds.mark_shown(
        served.store, opened_round.id, "false-positive", [(image.id, 0.9)]
    )
    score_all(served)
    add_version(served, noise=0.05)
    page = opened()
    tiles = {metric.label: metric.value for metric in page.metric}
    assert set(tiles) == {"False positives", "False negatives", "Mistakes left", "Should pass"}
    assert tiles["False positives"].endswith(" %")
    assert "v1.1 by 60 images drawn at random" in texts(page)
    assert list(page.dataframe[0].value["version"]) == ["v1.1 · active", "v1.0"]
    [slices] = [table.value for table in page.dataframe if "source" in table.value]
    assert "gradients" in list(slices["source"])


def test_a_reviewed_round_has_its_row(served: Project) -> None:
    first = add_version(served, noise=0.3)
    db.versions.rounds.open_round(served.store, first.id, 0.5)
    for n, image in enumerate(
        db.scores.queue_queries.unscored(served.store, order="newest", limit=4)
    ):
        details = {"queue": "false-positive", "shown_version": first.name, "value": 2.0}
        why = "confirmation" if n else "correction-false-positive"
        event = Event(f"r{n}", "score", image.id, START, why=why, **details)
        assert db.scores.events.record(served.store, [event])[0].accepted
    second = add_version(served, noise=0.01)
    add_unscored(served, 90)
    score_at_random(served, 30, (first, 0.3), (second, 0.01))
    page = opened()
    assert any('href="api/sheet?round=1"' in link.proto.body for link in page.get("html"))
    table = next(f.value for f in page.dataframe if "round" in f.value)
    row = table.iloc[0]
    assert (row["round"], row["reviewed"], row["corrected"]) == ("v1.0 → v1.1", 4, 1)
    assert row["hit rate"].startswith("25 %")
    assert row["false positives"] == "1 of 4"
    assert row["error"].endswith("better")


def test_slices_by_tag_and_no_name_is_markdown(served: Project) -> None:
    draw_pictures(served.folder.parent / "more", 30)
    import_paths(served, [served.folder.parent / "more"], source=HOSTILE, workers=1)
    score_all(served)
    add_version(served, noise=0.01)
    with served.store.transaction() as session:
        session.connection().exec_driver_sql("UPDATE out_of_fold SET score = score + 0.2")
    page = opened()
    page.segmented_control[0].set_value("Tag").run()
    assert "labeler tag FILE.csv" in texts(page)
    ids = sorted(db.images.locations.ids_by_path(served.store).values())
    db.images.tags.put(served.store, db.images.tags.TABLE, {i: [HOSTILE] for i in ids[:30]})
    for by in ("Source", "Tag"):
        page.segmented_control[0].set_value(by).run()
        assert not page.exception
        raw = "\n".join(str(each.value) for each in (*page.markdown, *page.caption))
        assert r"evil\.example" in raw
        assert "http%3a//evil" not in raw


def test_how_often_a_random_check_comes_is_kept(served: Project) -> None:
    page = opened("score")
    assert page.sidebar.selectbox[0].value == 10
    page.sidebar.selectbox[0].set_value(5).run()
    assert served.audit_every == 5
    page.sidebar.selectbox[0].set_value(0).run()
    assert served.audit_every == 0
    served.set_audit_every(7)  # with the command, meanwhile
    page = opened("score")
    assert page.sidebar.selectbox[0].value == 7


def test_how_often_a_repeat_comes_is_kept(served: Project) -> None:
    page = opened("score")
    assert page.sidebar.selectbox[1].value == 30
    page.sidebar.selectbox[1].set_value(0).run()
    assert (served.repeat_every, served.audit_every) == (0, 10)
    served.set_repeat_every(40)  # with the command, meanwhile
    assert opened("score").sidebar.selectbox[1].value == 40


def test_the_floor_of_the_error_stands_beside_the_figures(served: Project) -> None:
    add_version(served, noise=0.1)
    for name in ("train", "progress"):
        told = [caption.value for caption in opened(name).caption]
        assert any("agree with yourself is not known yet: 10 more repeats" in one for one in told)
