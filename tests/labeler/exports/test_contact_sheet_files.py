"""Protects contact sheets: the right images in the right order with the right words, pages where
one picture would be too large, and the same from the command line and the Explore page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

import db.scores.events
import db.versions.registry
import db.versions.rounds
from db.records import Event
from labeler.app.routes import contact_sheets
from labeler.app.sections.contact_sheets import band_address
from labeler.cli.main import labeler
from labeler.core.errors import BadInput
from labeler.core.files.export_writer import ExportWriter
from labeler.core.project import Project
from labeler.exports.contact_sheet import SheetImage
from labeler.exports.contact_sheet_files import rows_per_sheet, write_sheets
from labeler.exports.contact_sheet_images import corrections_in_round, images_in_band
from labeler.versions.browse import Band, browse
from tests.support.collection import add_version, make_collection


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """40 images, 30 of them scored, with a version."""
    project = make_collection(tmp_path, images=40, scored=30)
    add_version(project, noise=0.2)
    yield project
    project.close()


def call(project: Project, *words: object, code: int = 0) -> Result:
    given = ["--project", str(project.folder), "export", "contact-sheet", *map(str, words)]
    done = CliRunner().invoke(labeler, given)
    assert done.exit_code == code, done.output
    return done


def test_the_best_stand_first_with_prediction_and_hand_score(project: Project) -> None:
    shown = images_in_band(project, Band(version="v1.0"), 5)
    best = browse(project, Band(version="v1.0"), per_page=5).shown
    assert [one.image_id for one in shown] == [one.image.id for one in best]
    first = best[0]
    assert shown[0].caption.startswith(f"{100 * (first.prediction or 0):.0f} %")
    given = first.image.hand_score
    assert shown[0].caption.endswith(" %" if given is None else f"scored {given:g}")
    by_hand = images_in_band(project, Band(low=10, high=10), 100)
    assert by_hand
    assert {one.caption for one in by_hand} == {"scored 10"}
    assert {one.caption for one in images_in_band(project, Band(scored=False))} == {"unscored"}


def test_images_without_a_picture_make_room_for_the_next(project: Project) -> None:
    missing = browse(project, Band(version="v1.0"), per_page=3).shown
    with project.store.transaction() as session:
        for one in missing:
            session.connection().exec_driver_sql(
                "UPDATE images SET content_hash = NULL WHERE id = ?", (one.image.id,)
            )
    shown = images_in_band(project, Band(version="v1.0"), 5)
    assert len(shown) == 5
    assert not {one.image_id for one in shown} & {one.image.id for one in missing}


def test_a_round_shows_its_corrections_from_what_was_shown(project: Project) -> None:
    version = db.versions.registry.active(project.store)
    assert version is not None
    unscored = [one.image.id for one in browse(project, Band(scored=False)).shown][:3]
    done = db.versions.rounds.open_round(project.store, version.id, 0.5)
    db.versions.rounds.mark_shown(
        project.store, done.id, "false-positive", [(i, 0.8) for i in unscored]
    )
    why = ("correction-false-positive", "correction-false-positive", "confirmation")
    for image_id, value, reason in zip(unscored, (3.0, 0.0, 9.0), why, strict=True):
        scored = Event(
            f"c{image_id}",
            "score",
            image_id,
            datetime(2026, 3, 1, 12, tzinfo=UTC),
            value=value,
            why=reason,
            queue="false-positive",
            shown_prediction=0.8,
            shown_version=version.name,
        )
        assert db.scores.events.record(project.store, [scored])[0].accepted
    assert corrections_in_round(project, 1) == [
        SheetImage(unscored[1], "80 % → 0"),
        SheetImage(unscored[0], "80 % → 3"),
    ]
    with pytest.raises(BadInput, match="there are 1"):
        corrections_in_round(project, 2)
    told = call(project, project.folder / "round.png", "--round", 1).stdout
    assert "It shows 2 images." in told


def test_without_a_round_the_next_step_is_named(project: Project) -> None:
    assert "review some cards" in call(project, "x.png", "--round", 1, code=1).stderr


def test_the_command_draws_the_best_a_band_and_pages(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "best.png"
    assert f"Wrote {out}" in call(project, out, "--top", 12, "--columns", 4, "--tile", 64).stdout
    with Image.open(out) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width == 8 + 4 * 72
    low = len(images_in_band(project, Band(version="v1.0", low=0.2, high=0.4)))
    told = call(project, tmp_path / "band.jpg", "--band", "0.2:0.4", "--version", "v1.0").stdout
    assert f"It shows {low} image" in told
    with Image.open(tmp_path / "band.jpg") as drawn:
        assert drawn.format == "JPEG"


def test_what_is_too_large_for_one_picture_becomes_pages(project: Project, tmp_path: Path) -> None:
    rows = rows_per_sheet(40, 1024)
    assert rows == 1
    assert rows_per_sheet(10, 160) == 50
    shown = images_in_band(project, Band(version="v1.0"))
    ten = [shown[n % len(shown)] for n in range(101)]
    written = write_sheets(
        project, ten, tmp_path / "p.png", writer=ExportWriter.of(project), columns=1, tile=32
    )
    assert [file.name for file in written] == ["p-1.png", "p-2.png", "p-3.png"]
    assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["x.gif"], 1, "must end with .png or .jpg"),
        (["x.png", "--band", "0.4"], 2, "LOW:HIGH"),
        (["x.png", "--band", "40:60"], 2, "write 0.4"),
        (["x.png", "--band", "0.6:0.4"], 2, "above its end"),
        (["x.png", "--round", "1", "--top", "5"], 2, "--round"),
        (["x.png", "--version", "v9"], 1, "labeler versions"),
        (["x.png", "--band", "0.123456:0.123457"], 1, "wider band"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    project: Project, words: list[str], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.folder)
    assert said in call(project, *words, code=code).stderr
    assert not list(project.folder.glob("x.*"))


def test_the_page_gets_what_it_shows(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))
    asked = TestClient(Starlette(routes=contact_sheets.routes()))
    for band in (
        Band(version="v1.0", low=0.25, source="gradients", scored=True, descending=False, top=7),
        Band(scored=False, low=0, high=10),
    ):
        url = band_address(band)
        assert contact_sheets.read_band(dict(asked.build_request("GET", url).url.params)) == band
        answer = asked.get(url)
        assert answer.headers["content-type"] == "image/png"
        assert "attachment" in answer.headers["content-disposition"]
        assert answer.content.startswith(b"\x89PNG")
    for wrong in (
        "low=x",
        "scored=maybe",
        "version=v9",
        "round=x",
        "round=9",
        "low=0.123456&high=0.123457&version=v1.0",
    ):
        answer = asked.get(f"/api/sheet?{wrong}")
        assert answer.status_code == 404, wrong
        assert "\n" not in answer.text
