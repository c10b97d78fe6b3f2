"""Protects the data card: its figures are those of the dataset, and no name becomes Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import db.versions.registry
import db.versions.rounds
from db.scores.aggregation import read_rule, set_effective_rule
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.core.text import escape_markdown
from labeler.exports.datasets.data_card import data_card
from labeler.exports.datasets.export import write_card
from labeler.exports.datasets.plan import Plan
from labeler.exports.datasets.rows import dataset_of
from labeler.exports.licences import licences, parse_licence, set_licence
from tests.support.collection import draw_pictures
from tests.support.exported import image_ids, images, make_exported

HOSTILE = "![x](http%3a//evil.example/a.png) | <b>"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = make_exported(tmp_path)
    yield project
    project.close()


def card(project: Project, plan: Plan | None = None) -> str:
    return data_card(dataset_of(project, plan or Plan()))


def section(text: str, heading: str) -> str:
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_it_counts_what_is_in_the_dataset(project: Project) -> None:
    everything, some = card(project), card(project, Plan(scored_only=True))
    assert "33 images, 24 scored, 9 unscored" in section(everything, "Counts")
    assert "24 images, 24 scored, 0 unscored" in section(some, "Counts")
    assert "33 predicted by v1.0" in everything
    dataset = dataset_of(project, Plan())
    test = dataset.splits_of(dataset.ids).count("test")
    assert f"| test | {test} |" in section(everything, "Counts")
    assert "80:10:10 with the seed 0" in everything


def test_meanings_are_told_to_whoever_gets_the_dataset(project: Project) -> None:
    card = data_card(dataset_of(project, Plan()))
    assert "the owner's taste" in card
    assert "your own" not in card


def test_the_distribution_is_bars_of_text(project: Project) -> None:
    bars = section(card(project), "Hand scores").splitlines()
    counted = {line.split()[0]: line.split()[1] for line in bars if "█" in line}
    assert counted["9"] == "5"  # ann's two, ben's three
    assert counted["unscored"] == "9"
    assert sum(int(count) for count in counted.values()) == 33


def test_sources_stand_with_what_was_expected_of_them(project: Project) -> None:
    set_licence(project, "CC0", "drawings")
    sources = section(card(project), "Sources")
    assert "| drawings | 6 |" in sources
    assert "| 0 to 1 |" in sources
    assert "| CC0 |" in sources
    assert "not stated" in sources


def test_versions_rounds_and_scorers_tell_how_it_was_refined(project: Project) -> None:
    version = db.versions.registry.active(project.store)
    opened = db.versions.rounds.open_round(project.store, version.id, 0.5)
    db.versions.rounds.mark_shown(
        project.store, opened.id, "false-positive", [(image_ids(project)[0], 0.9)]
    )
    text = card(project)
    assert "| v1.0 (active) |" in section(text, "How it was refined")
    assert "| first |" in section(text, "How it was refined")
    scorers = section(text, "Scorers")
    assert "| ann | 24 | 24 | 0 |" in scorers
    assert "| ben | 3 | 3 | 1 |" in scorers
    assert "3 revision" in scorers
    assert "What counts for an image is the latest" in scorers
    set_effective_rule(project.store, read_rule("mean"))
    assert "the mean of each" in section(card(project), "Scorers")


def test_an_empty_project_has_a_card_too(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "empty", encoder="lite")
    text = card(project)
    assert "0 images, 0 scored" in text
    assert "No version has been trained yet" in text
    assert "Nobody has scored" in text
    project.close()


def test_no_name_from_outside_becomes_markdown(project: Project, tmp_path: Path) -> None:
    draw_pictures(tmp_path / "odd", 1)
    import_paths(project, [tmp_path / "odd"], source=HOSTILE, workers=1)
    set_licence(project, HOSTILE)
    text = card(project)
    assert "![x]" not in text
    assert "<b>" not in text
    assert escape_markdown(HOSTILE) in text
    assert "\n" not in escape_markdown("a\nb\u2028c\rd")


def test_a_licence_is_kept_until_it_is_taken_back(project: Project) -> None:
    parse_licence(project, "CC BY 4.0, see x=y")
    parse_licence(project, "drawings=my own")
    assert licences(project) == {"": "CC BY 4.0, see x=y", "drawings": "my own"}
    set_licence(project, " ", "drawings")
    assert licences(project) == {"": "CC BY 4.0, see x=y"}
    assert "CC BY 4.0, see x=y" in section(card(project), "Licence")
    with pytest.raises(BadInput, match="labeler status"):
        set_licence(project, "CC0", "nowhere")


def test_the_card_is_written_alone(project: Project, tmp_path: Path) -> None:
    assert write_card(project, tmp_path / "out", Plan()) == tmp_path / "out" / "data-card.md"
    assert write_card(project, tmp_path / "my.md", Plan()) == tmp_path / "my.md"
    assert (tmp_path / "my.md").read_text(encoding="utf-8") == card(project)
    assert len(images(project)) == 33
