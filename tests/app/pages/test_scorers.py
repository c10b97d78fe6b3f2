"""Several scorers and their files in the app, as scripts.

Protects: the Progress page shows who scored and sets whose scores count; a file of scores is looked
at before it is taken; no name is markdown; and every page can show the fractions of a mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import db.images.locations
import db.images.lookup
import db.scores.events
import db.scores.hand_scores
from db.records import Event
from db.scores.aggregation import Rule, effective_rule
from labeler.app.widgets import formatting
from labeler.core.project import Project
from labeler.scoring.agreement import choose_rule
from tests.support.collection import START, add_version, make_collection
from tests.support.pages import all_markdown, opened

HOSTILE = "![x](http%3a//evil.example/a.png) **bold**"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """40 images, 30 of them scored by ann, and 12 of those by somebody with a strange name."""
    project = make_collection(tmp_path)
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    for scorer in (HOSTILE, None):
        events = [
            Event(f"{scorer is None}-{i}", "score", i, START, value=7.0, scorer=scorer)
            for i in ids[:12]
        ]
        assert all(receipt.accepted for receipt in db.scores.events.record(project.store, events))
    yield project
    project.close()


def labelled(elements: Any, label: str) -> Any:
    return next(each for each in elements if each.label == label)


@pytest.mark.parametrize("trained", [False, True])
def test_who_scored_is_shown_and_whose_scores_count_is_chosen(
    served: Project, trained: bool
) -> None:
    if trained:
        add_version(served, 0.2)
    page = opened("progress")
    people = next(table.value for table in page.dataframe if "mean" in table.value)
    assert dict(zip(people["scorer"], people["images"], strict=True)) == {
        "ann": 30,
        HOSTILE: 12,
        "(nameless)": 12,
    }
    pairs = next(table.value for table in page.dataframe if "rank correlation" in table.value)
    assert set(pairs["scored by both"]) == {12}
    assert "evil.example" not in all_markdown(page)
    rule = labelled(page.selectbox, "What counts")
    rule.set_value("mean").run()
    assert effective_rule(served.store) == Rule("mean")
    assert db.scores.hand_scores.effective_of(served.store, [1])[1] == pytest.approx(14 / 3)


def test_the_section_stays_away_where_nobody_has_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_collection(tmp_path, scored=0)
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))
    assert not opened("progress").selectbox
    project.close()


@pytest.mark.parametrize("name", ["score", "review", "train", "explore", "progress", "export"])
def test_every_page_shows_the_fractions_of_a_mean(served: Project, name: str) -> None:
    choose_rule(served, "mean")
    add_version(served, 0.2)
    page = opened(name)
    assert "66666" not in all_markdown(page)


def test_a_mean_is_told_with_two_decimals() -> None:
    assert [formatting.score(value) for value in (14 / 3, 7.25, 7.0, 0.0, None)] == [
        "4.67",
        "7.25",
        "7",
        "0",
        "unscored",
    ]


def test_a_file_of_scores_is_looked_at_and_then_taken(served: Project, tmp_path: Path) -> None:
    known = db.images.lookup.by_ids(served.store, [39, 40])
    rows = [f"{known[0].path},1", f"{known[1].path},5", f"{HOSTILE},3", f"{known[0].path},9"]
    file = tmp_path / "stars.csv"
    file.write_text("\n".join(["file,stars", *rows]))
    page = opened("add_images")
    page.text_input(key="score-file").set_value(str(file)).run()
    labelled(page.text_input, "Column of paths").set_value("file").run()
    labelled(page.text_input, "Column of scores").set_value("stars").run()
    labelled(page.number_input, "Lowest score of its scale").set_value(1.0).run()
    labelled(page.number_input, "Highest score of its scale").set_value(5.0).run()
    labelled(page.text_input, "Who scored").set_value("ben").run()
    labelled(page.button, "Look at it").click().run()
    assert "Would score 2 images" in all_markdown(page)
    assert "outside the scale: 1" in all_markdown(page)
    assert "evil.example" not in all_markdown(page)
    assert db.scores.hand_scores.effective_of(served.store, [39, 40]) == {}
    labelled(page.button, "Take these scores").click().run()
    assert "Scored 2 images" in all_markdown(page)
    assert db.scores.hand_scores.effective_of(served.store, [39, 40]) == {39: 0.0, 40: 10.0}
    assert db.scores.hand_scores.history(served.store, 39)[0].scorer == "ben"
    assert not any(each.label == "Take these scores" for each in page.button)


def test_a_file_that_is_none_is_one_sentence(served: Project, tmp_path: Path) -> None:
    page = opened("add_images")
    page.text_input(key="score-file").set_value(str(tmp_path / "nowhere.csv")).run()
    labelled(page.button, "Look at it").click().run()
    assert not page.exception
    assert "does not exist" in page.error[0].value
