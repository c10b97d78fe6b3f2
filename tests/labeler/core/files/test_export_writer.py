"""Protects a person's own files from exports: only what is as an earlier export left it is
replaced, whatever its format, by the commands as by the app; all else stays until --force or a
tick.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

import db.images.embeddings
import db.images.locations
import db.images.lookup
from db.store.schema import EncoderRow
from labeler.app.widgets.navigation import page_file
from labeler.cli.main import labeler
from labeler.core.errors import BadInput
from labeler.core.files.export_writer import ExportWriter
from labeler.core.project import Project
from labeler.exports.datasets.export import export
from labeler.exports.datasets.output_folder import LIST
from labeler.exports.datasets.plan import Plan
from tests.support.collection import copied, give_scores, make_collection
from tests.support.heads import add_version_of, spread_head

FRAMING = {
    "size": 32,
    "resize": "shortest",
    "interpolation": "bicubic",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}
MINE = b"mine, and not to be lost\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose active version has weights; copied, never changed."""
    folder = tmp_path_factory.mktemp("made")
    project = make_collection(folder, images=30, scored=24)
    record = db.images.embeddings.encoder(project.store, "lite")
    assert record is not None
    ids = sorted(db.images.locations.ids_by_path(project.store).values())
    vectors = db.images.embeddings.get(project.store, record.id, ids)[1]
    add_version_of(project, spread_head(vectors), record)
    with project.store.transaction() as session:
        session.execute(update(EncoderRow).values(preprocessing=FRAMING))
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "project"))
    yield from copied(made / "project", tmp_path / "project")


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(labeler, list(map(str, words)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, " ".join(done.output.split())


# The command, and the files that it writes to OUT.
FILES = {
    "csv": (["export", "dataset", "{out}/r.csv"], ["r.csv", "r.history.csv", "r.data-card.md"]),
    "parquet": (["export", "dataset", "{out}/r.parquet"], ["r.parquet", "r.data-card.md"]),
    "jsonl": (["export", "dataset", "{out}/r.jsonl"], ["r.jsonl", "r.data-card.md"]),
    "card": (["export", "data-card", "{out}"], ["data-card.md"]),
    "sheet": (["export", "contact-sheet", "{out}/s.png"], ["s.png"]),
    "model": (["export", "model", "{out}/m.safetensors"], ["m.safetensors", "m.config.json"]),
    "python": (["export", "python", "{out}/m.py"], ["m.py", "m.config.json", "m.safetensors"]),
    "model-card": (["export", "model-card", "{out}"], ["model-card.md", "model-card-top.png"]),
    "predict": (["predict", "{pictures}", "--out", "{out}/p.csv"], ["p.csv"]),
}


def words_of(kind: str, project: Project, out: Path) -> list[str]:
    pictures = Path(db.images.lookup.by_ids(project.store, [1])[0].path).parent
    return [word.format(out=out, pictures=pictures) for word in FILES[kind][0]]


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_ones_own_stays(project: Project, tmp_path: Path, kind: str) -> None:
    for place, name in enumerate(FILES[kind][1]):
        out = tmp_path / f"out {place}"
        out.mkdir()
        (out / name).write_bytes(MINE)
        words = words_of(kind, project, out)
        code, told = run(*words)
        assert code == 1, told
        assert "is there already" in told and "--force" in told and name in told
        assert (out / name).read_bytes() == MINE
        assert [each.name for each in out.iterdir()] == [name]  # not even a part of it
    assert run(*words, "--force")[0] == 0
    assert (out / name).read_bytes() != MINE


@pytest.mark.parametrize("kind", FILES)
def test_an_earlier_export_is_replaced_until_somebody_edits_it(
    project: Project, tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "out"
    words = words_of(kind, project, out)
    assert run(*words)[0] == 0
    assert {each.name for each in out.iterdir()} >= set(FILES[kind][1])
    give_scores(project, [29, 30])  # so that there is something to bring up to date
    assert run(*words)[0] == 0
    out.rename(tmp_path / "moved")
    words = words_of(kind, project, tmp_path / "moved")
    assert run(*words)[0] == 0
    edited = tmp_path / "moved" / FILES[kind][1][0]
    edited.write_bytes(edited.read_bytes() + b"\n")
    before = edited.read_bytes()
    code, told = run(*words)
    assert (code, "is there already" in told) == (1, True), told
    assert edited.read_bytes() == before


def test_an_empty_file_is_filled_and_a_link_or_a_folder_is_not_followed(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").touch()
    assert run("export", "dataset", tmp_path / "empty.csv")[0] == 0
    own = tmp_path / "own.txt"
    own.write_bytes(MINE)
    (tmp_path / "link.csv").symlink_to(own)
    assert run("export", "dataset", tmp_path / "link.csv")[0] == 1
    assert (tmp_path / "link.csv").is_symlink()
    assert run("export", "dataset", tmp_path / "link.csv", "--force")[0] == 0
    assert own.read_bytes() == MINE


def test_another_projects_record_names_only_what_it_has_seen(
    project: Project, tmp_path: Path
) -> None:
    writer = ExportWriter.of(project)
    writer.write(tmp_path / "a.txt", b"ours")
    (tmp_path / "b.txt").write_bytes(b"ours")  # the same content, under any name
    writer.write(tmp_path / "b.txt", b"newer")
    project.store.set_setting("exported_files", '{"no": "list"}')
    with pytest.raises(BadInput, match="is there already"):
        writer.write(tmp_path / "a.txt", b"newer")
    assert (tmp_path / "a.txt").read_bytes() == b"ours"


FOLDERS = {
    "imagefolder": "train/metadata.parquet",
    "score-folders": "metadata.csv",
    "cityclassifiers": "data/CLIP/test.npy",
    "clip-retrieval": "metadata/metadata_0.parquet",
    "label-studio": "tasks.json",
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_keeps_what_a_person_has_put_or_edited_there(
    project: Project, tmp_path: Path, kind: str
) -> None:
    out, plan = tmp_path / "out", Plan()
    export(project, kind, out, plan)
    export(project, kind, out, plan)  # brought up to date
    for relative in (FOLDERS[kind], "README.md" if kind == "imagefolder" else "data-card.md"):
        file = out / relative
        whole = file.read_bytes()
        file.write_bytes(MINE)
        with pytest.raises(BadInput, match="--force"):
            export(project, kind, out, plan)
        assert file.read_bytes() == MINE
        export(project, kind, out, plan, force=True)
        assert file.read_bytes() == whole


def test_a_folder_keeps_images_that_were_edited_and_no_part_of_it_any_more(
    project: Project, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export(project, "score-folders", out, Plan(name="x"))
    edited = sorted(out.rglob("*.png"))[0]
    edited.write_bytes(MINE)
    with pytest.raises(BadInput, match="--force"):
        export(project, "score-folders", out, Plan(name="x"))
    done = export(project, "score-folders", out, Plan(name="y"))  # all of them lie elsewhere now
    assert edited.read_bytes() == MINE
    assert (done.removed, "1 files of an earlier export" in done.notes[0]) == (23, True)
    assert [each for each in out.rglob("*.png") if "_x" in each.parent.name] == [edited]


def test_a_list_of_an_older_program_lets_nothing_be_replaced(
    project: Project, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "metadata.csv").write_bytes(MINE)
    lines = [json.dumps({"labeler export": "score-folders"}), json.dumps("metadata.csv")]
    (out / LIST).write_text("\n".join(lines) + "\n")
    with pytest.raises(BadInput, match="--force"):
        export(project, "score-folders", out, Plan())
    assert (out / "metadata.csv").read_bytes() == MINE
    export(project, "score-folders", out, Plan(), force=True)


def test_links_in_a_received_folder_are_not_followed(project: Project, tmp_path: Path) -> None:
    out, away = tmp_path / "out", tmp_path / "away"
    export(project, "imagefolder", out, Plan())
    away.mkdir()
    (out / "train").rename(tmp_path / "train")
    (out / "train").symlink_to(away)
    with pytest.raises(BadInput, match="leads out"):
        export(project, "imagefolder", out, Plan(), force=True)
    assert not list(away.iterdir())
    (out / LIST).rename(tmp_path / "list")
    (out / LIST).symlink_to(tmp_path / "list")
    with pytest.raises(BadInput, match="is a link"):
        export(project, "imagefolder", out, Plan(), force=True)


@pytest.mark.parametrize("link", ["copy", "hard", "sym"])
def test_images_beside_a_table_replace_nothing(project: Project, tmp_path: Path, link: str) -> None:
    plan = Plan(with_images=True, link=link)
    export(project, "dataset", tmp_path / "r.csv", plan)
    export(project, "dataset", tmp_path / "r.csv", plan)
    image = sorted((tmp_path / "images").iterdir())[0]
    image.unlink()
    image.write_bytes(MINE)
    with pytest.raises(BadInput, match="--force"):
        export(project, "dataset", tmp_path / "r.csv", plan)
    assert image.read_bytes() == MINE
    export(project, "dataset", tmp_path / "r.csv", plan, force=True)
    assert image.read_bytes() != MINE


def test_the_page_asks_with_a_tick(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "model-card.md").write_bytes(MINE)
    page = AppTest.from_file(page_file("export"), default_timeout=30).run()
    page.segmented_control(key="model-kind").set_value("model-card").run()
    page.text_input(key="folder-model-card").set_value(f"{out.as_uri()} ")
    page.button(key="write-model").click().run()
    assert "is there already" in page.error[0].value
    assert (out / "model-card.md").read_bytes() == MINE
    page.checkbox(key="replace-model-card").set_value(True)
    page.button(key="write-model").click().run()
    assert not page.error
    assert (out / "model-card.md").read_bytes() != MINE


def test_a_simulation_keeps_its_own_files_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "table.md").write_bytes(MINE)
    (tmp_path / "labels.csv").write_text("path,score\n")
    words = ["simulate", tmp_path / "labels.csv", "--images", tmp_path, "--out", out]
    code, told = run(*words)
    assert (code, "table.md is there already" in told) == (1, True), told
    assert (out / "table.md").read_bytes() == MINE
