"""Protects the model card: its facts are those of the project, what a person wrote in it stays, and
what strangers named puts nothing into it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import db.images.embeddings
import db.images.locations
import db.images.sources
import db.scores.events
import db.scores.queue_queries
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.records import Event, Version
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.exports.models.card_sections import SECTIONS, set_section, written_sections
from labeler.exports.models.export import export_as
from labeler.exports.models.model_card import model_card
from labeler.versions.evaluation.audit import audit_report
from labeler.versions.evaluation.figures import headline
from labeler.versions.evaluation.measures import MEASURES, written
from tests.support.collection import (
    START,
    add_unscored,
    add_version,
    draw_pictures,
    give_scores,
    make_collection,
    score_at_random,
)
from tests.support.heads import add_version_of, spread_head

HOSTILE = "![x](http://e.org/x.png) <b>|`*_"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_collection(tmp_path)


def section(card: str, title: str) -> str:
    """The text under a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", card, re.DOTALL | re.MULTILINE)
    assert found, f"no section {title}"
    return found[1].strip()


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, headings left out."""
    lines = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [
        cells
        for cells, below in zip(lines, [*lines[1:], [""]], strict=True)
        if set(cells) != {"---"} and set(below) != {"---"}
    ]


def review(project: Project, version: Version) -> None:
    """A round of `version`: one card corrected, one confirmed."""
    unscored = sorted(db.images.locations.ids_by_path(project.store).values())[30:32]
    opened = db.versions.rounds.open_round(project.store, version.id, 0.5)
    cards = [(image_id, 0.8) for image_id in unscored]
    db.versions.rounds.mark_shown(project.store, opened.id, "false-positive", cards)
    for image_id, why in zip(unscored, ("correction-false-positive", "confirmation"), strict=True):
        event = Event(
            event_id=f"round-{image_id}",
            kind="score",
            image_id=image_id,
            at=START + timedelta(days=1),
            value=1.0,
            why=why,
            queue="false-positive",
            shown_prediction=0.8,
            shown_version=version.name,
        )
        [receipt] = db.scores.events.record(project.store, [event])
        assert receipt.accepted, receipt.problem


def test_a_card_needs_a_version(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="labeler train"):
        model_card(project)
    with pytest.raises(BadInput, match="labeler train"):
        export_as(project, "model-card", tmp_path / "out")


def test_it_says_what_the_version_is_and_how_good(project: Project) -> None:
    version = add_version(project, noise=0.1)
    card = model_card(project)
    assert card.startswith("# project v1.0\n")
    assert "`lite`" in card.split("##")[0]
    assert "30 images that were scored by hand" in card
    how = section(card, "How to use it")
    assert "8 values, not normalised" in how
    assert "| threshold | 0.5 |" in how
    told = section(card, "How good it is").split("### On the images that were chosen")
    assert "can't be told yet" in told[0]
    figures = {cells[0]: cells[1:3] for cells in rows(told[1])}
    for measure in MEASURES:
        value = written(version.metrics, measure).replace("  ", " ")
        guess = written(version.metrics["baseline"], measure).replace("  ", " ")
        assert figures[measure.name] == [value, guess]
    assert "On all 30 scored images (out of fold" in card
    add_unscored(project, 60)
    score_at_random(project, 30, (version, 0.1))
    told = section(model_card(project), "How good it is").split("### On the images")[0]
    figures = {cells[0]: cells[1:3] for cells in rows(told)}
    judged = headline(project, version)
    assert judged.sentence.split(",")[0] in told
    for measure in MEASURES:
        assert figures[measure.name][0] == written(judged.metrics, measure).replace("  ", " ")


def test_brackets_and_distribution_count_the_predictions(project: Project) -> None:
    version = add_version(project, noise=0.1)
    made = db.versions.predictions.predictions(project.store, version.id).scores * 10
    card = model_card(project)
    spans = rows(section(card, "What the scores mean"))
    assert [cells[0] for cells in spans] == ["0–10 %", "10–20 %", "20–40 %", "40–50 %", "50–100 %"]
    edges = [0, 1, 2, 4, 5, 11]
    inside = [int(((made >= a) & (made < b)).sum()) for a, b in pairwise(edges)]
    assert [int(cells[3]) for cells in spans] == inside
    assert sum(inside) == 40
    assert [int(cells[4]) for cells in spans] == [3, 3, 6, 3, 15]
    bars = re.findall(r"^ *(\d+)–\d+ % +(\d+)( █*)?", section(card, "Distribution"), re.MULTILINE)
    assert [int(count) for _, count, _ in bars] == np.histogram(made, range(11))[0].tolist()
    assert any("█" in bar for _, _, bar in bars)


def test_expected_bands_and_notes_are_told_as_intended(project: Project) -> None:
    db.images.sources.add_source(project.store, "photos", None, (0, 1))
    add_version(project, noise=0.1, note="fewer photos")
    told = section(model_card(project), "Intended biases")
    assert "Images from photos are meant to score 0 to 1 of 10." in told
    assert "fewer photos" in told
    assert "gradients are meant" not in told


def test_rounds_say_what_they_changed(project: Project) -> None:
    first = add_version(project, noise=0.3)
    assert "No predictions have been reviewed yet" in model_card(project)
    review(project, first)
    second = add_version(project, noise=0.01, note="after the round")
    told = rows(section(model_card(project), "Versions"))
    names = [cells[0] for cells in told]
    assert names == ["v1.0", "v1.1 (active)", "v1.0 → v1.1"]
    assert told[1][2] == "v1.0"
    assert told[1][4] == "32"
    assert told[1][-1] == "after the round"
    assert told[2][1:3] == ["2", "1"]
    assert told[2][4] == "–"
    add_unscored(project, 90)
    score_at_random(project, 30, (first, 0.3), (second, 0.01))
    told = rows(section(model_card(project), "Versions"))
    assert "better" in told[2][4]


def test_a_head_from_elsewhere_has_a_card_too(tmp_path: Path) -> None:
    project = make_collection(tmp_path, scored=0)
    record = db.images.embeddings.encoder(project.store, "lite")
    assert record is not None
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    head = spread_head(db.images.embeddings.get(project.store, record.id, ids)[1])
    own = add_version_of(project, head, record)
    db.versions.registry.set_note(project.store, own.name, "a note on another")
    assert "a note on another" in section(model_card(project), "Intended biases")
    add_version_of(project, head, record, foreign=True)
    card = model_card(project)
    assert "made elsewhere" in card
    assert "1 to 10, told as 0 to 1" in card
    assert "a note on another" not in section(card, "Intended biases")
    assert "There is none" in section(card, "Loss curve")
    assert "made elsewhere" in section(card, "Training data")
    assert "No image was drawn at random" in card
    give_scores(project, ids[:25])
    assert "On all 25 scored images (all that have a hand score" in model_card(project)


def test_the_random_sample_speaks_for_the_whole_collection(project: Project) -> None:
    version = add_version(project, noise=0.1)
    add_unscored(project, 90)
    score_at_random(project, 50, (version, 0.3))
    active = audit_report(project).active
    assert active is not None
    assert active.audit.judged == 50
    told = section(model_card(project), "How good it is")
    assert "On 50 images drawn at random after v1.0 was trained" in told
    mistakes = {cells[0]: cells[1:] for cells in rows(told) if cells[0].startswith("false")}
    found = active.audit.false_negatives
    assert mistakes["false negatives, of what fails"][1] == f"{found.mistakes} of {found.judged}"


def test_without_a_random_sample_nothing_is_said_of_the_whole(project: Project) -> None:
    add_version(project, noise=0.1)
    with project.store.transaction() as session:  # the first in the random order is not scored
        session.connection().exec_driver_sql(
            "UPDATE images SET shuffle = 0 WHERE id = (SELECT max(id) FROM images)"
        )
    told = section(model_card(project), "How good it is")
    assert "No image was drawn at random" in told
    assert "| recall |" not in told.split("### On the images that were chosen")[0].lower()


def test_what_strangers_named_puts_nothing_into_it(tmp_path: Path) -> None:
    project = make_collection(tmp_path)
    draw_pictures(tmp_path / "more", 7)
    db.images.sources.add_source(project.store, HOSTILE, str(tmp_path / "more"), (0, 3))
    import_paths(project, [tmp_path / "more"], source=HOSTILE, workers=1)
    ids = sorted(set(db.images.locations.ids_by_path(project.store).values()))
    give_scores(project, ids[30:])
    add_version(project, noise=0.1, note=HOSTILE + "\n# heading")
    card = model_card(project)
    assert r"\!\[x\]" in card
    assert "![x]" not in card
    assert not re.search(r"(?<!\\)<b", card)
    assert not re.search(r"^# heading", card, re.MULTILINE)
    for line in (line for line in card.splitlines() if line.startswith("| ")):
        assert len(re.findall(r"(?<!\\)\|", line)) >= 3


def test_what_a_person_wrote_stays_over_new_versions(project: Project) -> None:
    add_version(project, noise=0.2)
    usual = model_card(project)
    assert SECTIONS["out-of-scope"].default_text in usual
    assert "## Notes" not in usual
    own = "For **my** wall.\n\n- no photos\n"
    set_section(project, "goals", own.replace("\n", "\r\n"))
    set_section(project, "notes", "Thanks!")
    set_section(project, "licence", "MIT")
    add_version(project, noise=0.1)
    card = model_card(project)
    assert card.startswith("# project v1.1\n")
    assert section(card, "Design goals") == own.strip()
    assert section(card, "Notes") == "Thanks!"
    assert section(card, "Licence") == "MIT"
    set_section(project, "goals", " ")
    assert section(model_card(project), "Design goals") == SECTIONS["goals"].default_text
    with pytest.raises(BadInput, match="no section"):
        set_section(project, "title", "x")
    with pytest.raises(BadInput, match="20,000"):
        set_section(project, "notes", "x" * 20_001)


def test_the_file_has_its_pictures_beside_it(project: Project, tmp_path: Path) -> None:
    version = add_version(project, noise=0.2)
    card, *pictures = export_as(project, "model-card", tmp_path / "out")
    assert [file.name for file in pictures] == ["model-card-top.png"]  # no curve was drawn
    with Image.open(pictures[0]) as top:
        assert top.width > 1000
    for target in re.findall(r"!\[[^]]*\]\(([^)]*)\)", card.read_text(encoding="utf-8")):
        assert (card.parent / target).is_file()
    project.store.set_setting("threshold", "0.4")
    with_curve = tmp_path / "my card.md"
    draw_curve(project, version)
    written_files = export_as(project, "model-card", with_curve)
    assert [file.name for file in written_files] == [
        "my card.md",
        "my card-loss.png",
        "my card-top.png",
    ]
    text = with_curve.read_text(encoding="utf-8")
    assert "(my%20card-loss.png)" in text
    assert "| threshold | 0.4 |" in text
    with Image.open(written_files[1]) as drawn:
        assert drawn.width > 600
        assert len(drawn.convert("RGB").getcolors(1 << 24) or []) > 10


def draw_curve(project: Project, version: Version) -> None:
    from sqlalchemy import update

    from db.store.schema import VersionRow

    curve = [{"step": k, "train": 1 / (k + 1), "held_out": 1 / (k + 1) + 0.1} for k in range(5)]
    with project.store.transaction() as session:
        session.execute(update(VersionRow).where(VersionRow.id == version.id).values(curve=curve))


def run(project: Project, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(labeler, ["--project", str(project.folder), *words])
    return done.exit_code, done.output


def test_the_commands_write_and_show_it(project: Project, tmp_path: Path) -> None:
    add_version(project, noise=0.2)
    assert run(project, "card", "set", "goals", "A **wall**.") == (
        0,
        "Kept the section Design goals.\n",
    )
    (tmp_path / "notes.md").write_text("one\n\ntwo\n", encoding="utf-8")
    assert run(project, "card", "set", "notes", "--file", str(tmp_path / "notes.md"))[0] == 0
    assert written_sections(project)["notes"] == "one\n\ntwo"
    code, shown = run(project, "card", "show")
    assert (code, shown) == (0, model_card(project))
    assert "A **wall**." in shown
    assert run(project, "card", "set", "notes", "")[1] == "Took back the section Notes.\n"
    assert run(project, "card", "set", "notes")[0] == 2
    assert run(project, "card", "set", "title", "x")[0] == 2
    code, told = run(project, "export", "model-card", str(tmp_path / "out"))
    assert code == 0
    assert told.splitlines()[0] == f"Wrote {tmp_path / 'out' / 'model-card.md'}"
