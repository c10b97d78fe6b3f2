"""Protects whoever runs or reads what leaves the program from a project that somebody else has
made: no value of it becomes code, markup or a crash; it is parsed to its type, or refused in a
sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import update

import db.images.embeddings
import db.images.locations
from db.store.schema import EncoderRow, VersionRow
from labeler.cli.main import labeler
from labeler.core.project import Project
from labeler.exports.models import score
from tests.support.collection import copied, make_collection
from tests.support.heads import add_version_of, spread_head

RUN = "__import__('os').system('touch owned')"
FRAMING: dict[str, Any] = {
    "size": 32,
    "resize": "shortest",
    "interpolation": "bicubic",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "weights": "sha256:0123456789abcdef",
}
KINDS = {"model": "m.safetensors", "onnx": "m.onnx", "python": "m.py"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    project = make_collection(folder, images=30, scored=24)
    record = db.images.embeddings.encoder(project.store, "lite")
    assert record is not None
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    vectors = db.images.embeddings.get(project.store, record.id, ids)[1]
    add_version_of(project, spread_head(vectors), record)
    change(project, EncoderRow, preprocessing=FRAMING)
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "project"))
    yield from copied(made / "project", tmp_path / "project")


def change(project: Project, row: Any, **values: Any) -> None:
    with project.store.transaction() as session:
        session.execute(update(row).values(**values))


def refused(words: list[str], out: Path) -> str:
    done = CliRunner().invoke(labeler, ["export", *words, str(out)])
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1, done.output
    assert not list(out.parent.glob("m*")), "nothing may be written"
    assert not list(out.parent.glob("owned"))
    return " ".join(done.output.split())


def shapes() -> list[tuple[str, Any]]:
    shape = {"features": 8, "hidden": 24, "outputs": 1}
    odd: list[Any] = [RUN, f"8, {RUN}", "8", 8.0, True, -8, 0, 10**400, float("nan"), [8], {}, None]
    found = [(f"{key} {value!r:.20}", shape | {key: value}) for key in shape for value in odd]
    return [*found, ("none", None), ("text", RUN), ("list", [8, 24, 1])]


@pytest.mark.parametrize("kind", KINDS)
def test_a_shape_that_is_none_is_refused(project: Project, tmp_path: Path, kind: str) -> None:
    config = project.models / "v1.0.config.json"
    whole = json.loads(config.read_text(encoding="utf-8"))
    for name, params in shapes()[:: 1 if kind == "model" else 9]:
        config.write_text(json.dumps(whole | {"model_params": params}), encoding="utf-8")
        assert "v1.0.config.json" in refused([kind], tmp_path / KINDS[kind]), name
    body = {"features": 8, "outputs": 1, "widths": [8, 4, 1], "bends": True}
    theirs = {"features": 8, "normalise": False, "scale": [0, 10], "column": 0, "body": body}
    for part, odd in (
        *(("scale", value) for value in (RUN, [0, RUN], [0, 10**400], [0, float("nan")], [1, 0])),
        *(("column", value) for value in (RUN, 1, -1, 10**400, 0.0)),
        *(("normalise", value) for value in (RUN, 1)),
        *(("body", body | {"widths": value}) for value in (RUN, [8, RUN], [8, 10**9, 1], [8] * 99)),
        ("body", body | {"bends": RUN}),
    ):
        params = theirs | {part: odd}
        config.write_text(json.dumps(whole | {"arch": "foreign", "model_params": params}))
        assert "v1.0.config.json" in refused([kind], tmp_path / KINDS[kind]), (part, odd)
    for arch in (RUN, "foreign", "class", None, 1):
        config.write_text(json.dumps(whole | {"arch": arch}), encoding="utf-8")
        refused([kind], tmp_path / KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_preprocessing_that_is_none_is_refused(
    project: Project, tmp_path: Path, kind: str
) -> None:
    odd: dict[str, list[Any]] = {
        "size": [RUN, "32", 32.0, True, 0, -1, 10**30, None, [32]],
        "resize": [RUN, 1, None, ["shortest"]],
        "interpolation": ['bicubic"); ' + RUN, "nearest", 3],
        "mean": [RUN, [RUN] * 3, [0.5], [0.5, 0.5, "0.5"], [10**400] * 3, [1e300] * 3, {}],
        "std": [[0, 0, 0], [1, 1, -1], None],
        "quick_gelu": [RUN, 1, "true"],
        "weights": [RUN, "sha256:" + RUN, 1],
    }
    for name, values in odd.items():
        for value in values[:: 1 if kind == "model" else 4]:
            change(project, EncoderRow, preprocessing=FRAMING | {name: value})
            # By the store where the kind of value tells, else by its reader.
            said = refused([kind], tmp_path / KINDS[kind])
            assert f'"{name}"' in said or "preprocessing in row 1" in said, (name, value)
    change(project, EncoderRow, preprocessing=[RUN])
    refused([kind], tmp_path / KINDS[kind])


def test_a_threshold_that_is_none_is_refused(project: Project, tmp_path: Path) -> None:
    for value in (RUN, "nan", "inf", "-1", "1e999", "2"):
        project.store.set_setting("threshold", value)
        for kind in ("model", "python"):
            assert "threshold" in refused([kind], tmp_path / KINDS[kind])


def test_what_is_exported_is_data_made_from_the_head_alone(
    project: Project, tmp_path: Path
) -> None:
    config = project.models / "v1.0.config.json"
    whole = json.loads(config.read_text(encoding="utf-8"))
    whole["labeler"] = {"encoder": RUN, "threshold": RUN, "preprocessing": {"size": RUN}}
    config.write_text(json.dumps(whole | {"name": RUN, "rev": RUN, "labels": RUN, RUN: RUN}))
    change(project, VersionRow, note=f'"""\n{RUN}', recipe=f"</x>{RUN}", settings={"a": RUN})
    out = tmp_path / "m.py"
    done = CliRunner().invoke(labeler, ["export", "python", str(out)])
    assert done.exit_code == 0, done.output
    # Not a letter of the script depends on the project.
    assert out.read_bytes() == Path(score.__file__).read_bytes()
    told = json.loads((tmp_path / "m.config.json").read_text(encoding="utf-8"))
    assert (told["name"], told["rev"], told["labels"]) == ("project", "v1.0", [])
    assert told["labeler"]["preprocessing"] == FRAMING
    assert told["labeler"]["threshold"] == 0.5
    assert RUN not in told


def test_a_figure_that_is_no_number_is_no_json(project: Project, tmp_path: Path) -> None:
    change(project, VersionRow, metrics={"mae": {"value": float("nan")}})
    assert "metrics in row 1" in refused(["model"], tmp_path / "m.safetensors")


def test_figures_of_any_kind_leave_a_card_that_can_be_read(
    project: Project, tmp_path: Path
) -> None:
    evil = "![x](http://evil.example/x.png)"
    for value in (evil, float("nan"), 1e300, [1], {"a": 1}, True, None):
        figure = {"value": value, "low": value, "high": value}
        metrics = {"mae": figure, "precision": value, "baseline": value}
        change(
            project,
            VersionRow,
            metrics=metrics,
            curve=[{"step": value, "train": value}, {"step": 1, "train": value}],
            note=evil,
            recipe=evil,
        )
        change(project, EncoderRow, identity=f"lite`\n\n# {evil}|")
        for kind in ("model-card", "data-card"):
            out = tmp_path / "cards" / f"{kind}.md"
            done = CliRunner().invoke(labeler, ["export", kind, str(out)])
            if done.exit_code:  # figures of no shape of ours: a sentence, and mended they leave
                assert "labeler doctor" in done.output, (value, done.output)
                CliRunner().invoke(labeler, ["doctor", "--repair"])
                done = CliRunner().invoke(labeler, ["export", kind, str(out)])
            assert done.exit_code == 0, (value, done.output)
            text = out.read_text(encoding="utf-8")
            assert "\n# !" not in text
            assert "\n" + evil not in text
