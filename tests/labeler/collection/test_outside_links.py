"""Folders of links are taken where the person says so, and always where this program linked them.

Protects both sides: what `predict --link sym` and exports have written comes back in, and so does a
cache of links on request; a link in a folder that came from somebody else shows nobody's own files.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import db.images.counts
import db.images.locations
import db.images.lookup
from labeler.cli.job_kinds import JOBS
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.exports.datasets.export import export
from labeler.exports.datasets.plan import Plan
from labeler.prediction.predict_files import predict_paths
from labeler.versions.train import train
from tests.support.collection import make_collection
from tests.support.pictures import jpeg_bytes


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    project = make_collection(place, images=24, scored=22)
    train(project)
    project.close()
    return place


@pytest.fixture
def project(made: Path) -> Iterator[Project]:
    opened = Project.open(made / "project")
    yield opened
    opened.close()


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Project]:
    opened = Project.create(tmp_path / "new", encoder="lite")
    yield opened
    opened.close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder as the cache of Hugging Face has it, with a few more kinds of links."""
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "1a2b"
    blobs.mkdir(parents=True)
    (snapshot / "train").mkdir(parents=True)
    for number in range(3):
        (blobs / f"{number}").write_bytes(jpeg_bytes(number))
        place = snapshot / "train" / f"{number}.jpg"
        place.symlink_to(Path("../../../blobs") / f"{number}")
    with tarfile.open(blobs / "t", "w") as packed:
        packed.add(blobs / "2", "inside.jpg")
    (snapshot / "shard.tar").symlink_to(blobs / "t")
    other = tmp_path / "other"
    (other / "deep").mkdir(parents=True)
    (other / "deep" / "9.jpg").write_bytes(jpeg_bytes(9))
    (other / "back").symlink_to(snapshot)
    (other / "round").symlink_to(other)
    (other / "up").symlink_to(tmp_path)
    (snapshot / "folder").symlink_to(other)
    (snapshot / "again").symlink_to(other / ".." / "other")
    (snapshot / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (snapshot / "pipe.jpg").symlink_to(tmp_path / "pipe")
    return snapshot


def call(project: Project, *words: str | Path) -> Result:
    return CliRunner().invoke(labeler, ["--project", str(project.folder), *map(str, words)])


def names(project: Project, root: Path) -> list[str]:
    return sorted(
        os.path.relpath(path, root) for path in db.images.locations.ids_by_path(project.store)
    )


def test_links_that_lead_out_are_followed_on_request_alone(new: Project, cache: Path) -> None:
    refused = call(new, "import", cache)
    assert "--follow-links" in refused.output
    assert db.images.counts.by_state(new.store)["fine"] == 0
    taken = call(new, "import", cache, "--follow-links")
    assert taken.exit_code == 0, taken.output
    fine = {
        image.path
        for image in db.images.lookup.by_ids(new.store, list(range(1, 99)))
        if image.state == "fine"
    }
    told = sorted(os.path.relpath(path, cache) for path in fine)
    # The third is the one in the tar; of the folder's two links one is followed.
    assert told == ["again/deep/9.jpg", "shard.tar/inside.jpg", "train/0.jpg", "train/1.jpg"]
    again = import_paths(new, [cache], follow_links=True)
    assert (again.new, again.missing) == (0, 0)
    without = import_paths(new, [cache])
    assert without.missing == 0, "not followed is not gone"


def test_a_run_of_the_app_follows_links(new: Project, cache: Path) -> None:
    class Heart:
        def progress(self, *_: object) -> None: ...

    params = {"paths": [str(cache)], "follow_links": True, "embed": False}
    told, _ = JOBS["import"](new, params, Heart(), None)  # type: ignore[arg-type]
    assert "4 of them new" in told


def test_predicting_follows_links_on_request(project: Project, made: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for path in (made / "pictures").iterdir():
        shutil.copy(path, tmp_path / path.name)
        (tmp_path / "in" / path.name).symlink_to(tmp_path / path.name)
    alone = predict_paths(project, [tmp_path / "in"])
    assert not alone.images
    assert all("--follow-links" in why for _, why in alone.unreadable)
    assert len(predict_paths(project, [tmp_path / "in"], follow_links=True).images) == 24
    done = call(project, "predict", tmp_path / "in", "--follow-links", "--json")
    assert done.exit_code == 0


def test_what_predict_linked_is_taken_without_asking(
    project: Project, made: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for path in (made / "pictures").iterdir():
        shutil.copy(path, tmp_path / "in" / path.name)
    done = call(project, "predict", tmp_path / "in", "--link", "sym", "--copy-to", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert all(path.is_symlink() for path in (tmp_path / "out").iterdir())
    summary = import_paths(project, [tmp_path / "out"])
    assert (summary.found, summary.unreadable) == (24, [])
    assert len(predict_paths(project, [tmp_path / "out"]).images) == 24


def test_what_an_export_linked_is_taken_by_any_project(
    project: Project, new: Project, tmp_path: Path
) -> None:
    export(project, "imagefolder", tmp_path / "out", Plan(link="sym"))
    summary = import_paths(new, [tmp_path / "out"])
    assert summary.new == summary.found > 0
    assert not summary.unreadable
    part = next(path for path in (tmp_path / "out").iterdir() if path.is_dir())
    again = import_paths(new, [part])
    assert again.known == again.found > 0, "and by its parts"


def test_a_forged_export_shows_nobodys_files(new: Project, tmp_path: Path) -> None:
    (tmp_path / "own.jpg").write_bytes(jpeg_bytes(1))
    forged = tmp_path / "received"
    (forged / "train").mkdir(parents=True)
    (forged / ".labeler-export").write_text('{"labeler export": "imagefolder"}\n')
    for name in ("own.jpg", f"own-{'0' * 16}.jpg", "own-.jpg"):
        (forged / "train" / name).symlink_to(tmp_path / "own.jpg")
    summary = import_paths(new, [forged])
    assert (summary.new, len(summary.unreadable)) == (0, 3)


def test_a_link_to_what_was_exchanged_is_not_ours(project: Project, tmp_path: Path) -> None:
    export(project, "imagefolder", tmp_path / "out", Plan(link="sym"))
    link = next(path for path in (tmp_path / "out").rglob("*") if path.is_symlink())
    link.unlink()
    (tmp_path / "own.jpg").write_bytes(jpeg_bytes(77))
    link.symlink_to(tmp_path / "own.jpg")
    with closing(Project.create(tmp_path / "other", encoder="lite")) as other:
        summary = import_paths(other, [tmp_path / "out"])
    assert [Path(path).name for path, _ in summary.unreadable] == [link.name]
