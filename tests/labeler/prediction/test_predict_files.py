"""Protects predicting over folders: right file, right number, nothing imported, no file replaced.

The encoder handed in sees brightness alone and the head has learnt that bright is good, so the
order of the predictions can be told from the pictures.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import db.images.counts
import db.images.locations
import db.scores.events
import db.versions.predictions
import db.versions.registry
from db.errors import StoreError
from db.records import Event, Predictions
from db.versions.file_predictions import file_key, open_file_predictions
from labeler.cli.job_kinds import JOBS
from labeler.collection.importing import import_paths
from labeler.collection.outside_links import PREDICTIONS_FILE
from labeler.core.errors import BadInput, Stopped
from labeler.core.files.tables import write_table
from labeler.core.jobs import runner
from labeler.core.project import Project
from labeler.embedding.embed import embed
from labeler.prediction.copy_images import Destination
from labeler.prediction.filter import Filter, filter_images
from labeler.prediction.predict_files import PredictedImage, PredictedImages, predict_paths
from labeler.prediction.selection import as_table, select
from labeler.versions.activate import activate
from labeler.versions.train import train
from model.training.quick import Quick
from tests.support.collection import copied
from tests.support.shades import Brightness, draw_shades

PICTURES = 30
SHORT = Quick(steps=12, features=8, hidden=64, folds=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 30 pictures scored from dark (0) to bright (10) and a version; copied only."""
    folder = tmp_path_factory.mktemp("made")
    project = Project.create(folder / "project", encoder="lite")
    paths = draw_shades(folder / "pictures", PICTURES)
    import_paths(project, [folder / "pictures"], workers=1)
    ids = db.images.locations.ids_by_path(project.store)
    at = datetime(2025, 3, 1, 12, tzinfo=UTC)
    events = [
        Event(f"first-{n}", "score", ids[str(path)], at, value=float(round(n * 10 / PICTURES)))
        for n, path in enumerate(paths)
    ]
    db.scores.events.record(project.store, events)
    train(project, encoder=Brightness(), recipe=SHORT)
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(made / "project", tmp_path / "project")


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """Dark and bright pictures that no project knows, in folders of their own."""
    for name, level in (("a/dark.png", 10), ("a/b/bright.png", 250), ("grey.jpg", 120)):
        path = tmp_path / "strangers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (level, level, level)).save(path)
    return tmp_path / "strangers"


def names(result: PredictedImages) -> list[str]:
    return [Path(image.path).name for image in result.images]


def test_strangers_are_predicted_best_first_and_not_imported(
    project: Project, strangers: Path
) -> None:
    before = db.images.counts.by_state(project.store)
    result = predict_paths(project, [strangers], encoder=Brightness())
    assert names(result) == ["bright.png", "grey.jpg", "dark.png"]
    assert result.version == "v1.0"
    assert all(0 <= image.prediction <= 1 for image in result.images)
    assert db.images.counts.by_state(project.store) == before


def test_known_content_uses_the_stored_embedding_under_any_name(
    project: Project, made: Path, tmp_path: Path
) -> None:
    encoder = Brightness()
    copy = tmp_path / "copied under another name.png"
    shutil.copyfile(made / "pictures" / "shade 007.png", copy)
    here = predict_paths(project, [made / "pictures"], encoder=encoder)
    there = predict_paths(project, [copy], encoder=encoder)
    assert encoder.encoded == 0
    assert len(here.images) == PICTURES
    by_name = {Path(image.path).name: image.prediction for image in here.images}
    # Not to the last digit: how many images share a batch changes how sums are rounded.
    assert there.images[0].prediction == pytest.approx(by_name["shade 007.png"], abs=1e-4)


def test_a_stored_prediction_and_a_fresh_one_agree(
    project: Project, made: Path, tmp_path: Path
) -> None:
    version = db.versions.registry.active(project.store)
    assert version is not None
    path = made / "pictures" / "shade 020.png"
    stored = db.versions.predictions.predictions(
        project.store, version.id, [db.images.locations.ids_by_path(project.store)[str(path)]]
    )
    with Image.open(path) as image:
        image.save(tmp_path / "again.bmp")  # the same pixels as other content
    [fresh] = predict_paths(project, [tmp_path / "again.bmp"], encoder=Brightness()).images
    assert fresh.prediction == pytest.approx(float(stored.scores[0]), abs=1e-4)


def test_a_changed_file_is_not_taken_for_what_it_was(
    project: Project, made: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "mine" / "one.png"
    moved.parent.mkdir()
    shutil.copyfile(made / "pictures" / "shade 000.png", moved)
    import_paths(project, [moved.parent], workers=1)
    embed(project, encoder=Brightness())
    [dark] = predict_paths(project, [moved], encoder=Brightness()).images
    Image.new("RGB", (40, 30), "white").save(moved)
    [white] = predict_paths(project, [moved], encoder=Brightness()).images
    assert white.prediction > dark.prediction + 0.3


def test_bad_files_are_named_and_the_rest_keeps_its_own_number(
    project: Project, strangers: Path
) -> None:
    alone = predict_paths(project, [strangers], encoder=Brightness())
    (strangers / "a" / "a broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (strangers / "empty.jpg").write_bytes(b"")
    (strangers / "notes.txt").write_text("no picture")
    result = predict_paths(project, [strangers], encoder=Brightness())
    assert result.images == alone.images
    assert sorted(Path(path).name for path, _ in result.unreadable) == ["a broken.png", "empty.jpg"]
    assert all(reason for _, reason in result.unreadable)


def test_paths_are_shown_as_they_were_given_and_each_file_once(
    project: Project, strangers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(strangers)
    given = [Path("a"), Path("grey.jpg"), Path("a/dark.png")]
    result = predict_paths(project, given, encoder=Brightness())
    assert [image.path for image in result.images] == ["a/b/bright.png", "grey.jpg", "a/dark.png"]


def test_a_path_that_is_not_there_is_named(project: Project, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere"):
        predict_paths(project, [tmp_path / "nowhere"])


def test_without_a_version_the_next_step_is_named(tmp_path: Path, strangers: Path) -> None:
    project = Project.create(tmp_path / "fresh", encoder="lite")
    with pytest.raises(BadInput, match="labeler train"):
        predict_paths(project, [strangers])
    project.close()


def test_another_encoder_under_the_same_name_is_refused(project: Project, strangers: Path) -> None:
    with pytest.raises(StoreError):
        predict_paths(project, [strangers], encoder=Brightness(size=8))


def test_more_than_one_batch_and_a_stop_in_between(project: Project, tmp_path: Path) -> None:
    for n in range(70):
        level = 3 * n + 20
        Image.new("RGB", (8, 8), (level, level, level)).save(tmp_path / f"{n:02}.bmp")
    many = [tmp_path / f"{n:02}.bmp" for n in range(70)]
    result = predict_paths(project, many, encoder=Brightness())
    ranked = sorted(result.images, key=lambda image: image.path)
    rising = [image.prediction for image in ranked]
    assert len(rising) == 70
    assert np.corrcoef(rising, np.arange(70))[0, 1] > 0.9


def test_what_is_interrupted_goes_on_where_it_stopped(project: Project, tmp_path: Path) -> None:
    many = [tmp_path / f"{n:02}.bmp" for n in range(70)]
    for n, path in enumerate(many):
        Image.new("RGB", (8, 8), (3 * n, 3 * n, 3 * n)).save(path)

    def stop(done: int, total: int, what: str) -> None:
        if done:
            raise Stopped("Stopped.")

    with pytest.raises(Stopped):
        predict_paths(project, many, encoder=Brightness(), progress=stop)
    seen: list[int] = []
    second = Brightness()
    result = predict_paths(project, many, encoder=second, progress=lambda d, *_: seen.append(d))
    assert 0 < second.encoded < 70
    assert seen[0] == 70 - second.encoded
    third = Brightness()
    again = predict_paths(project, many, encoder=third)
    assert third.encoded == 0
    assert again == result
    assert len(again.images) == 70


def test_a_file_that_has_changed_is_predicted_anew(project: Project, strangers: Path) -> None:
    dark = strangers / "a" / "dark.png"
    [before] = predict_paths(project, [dark], encoder=Brightness()).images
    Image.new("RGB", (41, 30), "white").save(dark)
    [after] = predict_paths(project, [dark], encoder=Brightness()).images
    assert after.prediction > before.prediction + 0.3


def test_what_was_kept_may_be_damaged_or_removed(project: Project, strangers: Path) -> None:
    first = predict_paths(project, [strangers], encoder=Brightness())
    kept = project.runs_folder / PREDICTIONS_FILE
    for suffix in ("-wal", "-shm"):
        kept.with_name(kept.name + suffix).unlink(missing_ok=True)
    kept.write_bytes(b"no database" * 1000)
    assert predict_paths(project, [strangers], encoder=Brightness()) == first
    kept.unlink()
    assert predict_paths(project, [strangers], encoder=Brightness()) == first


def test_any_version_may_be_asked_and_each_keeps_its_own(project: Project, strangers: Path) -> None:
    train(project, encoder=Brightness(), recipe=Quick(steps=2, features=8, hidden=64, folds=2))
    new = predict_paths(project, [strangers], encoder=Brightness())
    old = predict_paths(project, [strangers], version="v1.0", encoder=Brightness())
    assert (new.version, old.version) == ("v1.1", "v1.0")
    assert {one.prediction for one in new.images} != {one.prediction for one in old.images}
    known = Brightness()
    assert predict_paths(project, [strangers], version="v1.1", encoder=known) == new
    assert predict_paths(project, [strangers], version="v1.0", encoder=known) == old
    assert known.encoded == 0
    with pytest.raises(BadInput, match=r"no version v9\.9"):
        predict_paths(project, [strangers], version="v9.9")


def test_only_the_versions_used_last_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "kept.sqlite"
    key = file_key("a.png", 1, 2)
    for name in ("one", "two", "three", "four"):
        with open_file_predictions(file, name) as kept:
            kept.put({key: 0.5})
    with open_file_predictions(file, "two") as kept:
        assert kept.get([key]) == {key: 0.5}
    with open_file_predictions(file, "one") as kept:
        assert kept.get([key]) == {}


def test_a_tar_is_predicted_as_if_it_were_a_folder(
    project: Project, strangers: Path, tmp_path: Path
) -> None:
    (tmp_path / "tars").mkdir()
    tar = tmp_path / "tars" / "00000.tar"
    with tarfile.open(tar, "w") as packed:
        packed.add(strangers, "strangers")
    plain = predict_paths(project, [strangers], encoder=Brightness())
    inside = predict_paths(project, [tar], encoder=Brightness())
    assert names(inside) == names(plain)
    assert [one.prediction for one in inside.images] == [one.prediction for one in plain.images]
    assert inside.images[0].path == f"{tar}/strangers/a/b/bright.png"
    assert inside.images[0].relative == "strangers/a/b/bright.png"
    around = predict_paths(project, [tar.parent], encoder=Brightness())
    assert around.images[0].relative == "00000.tar/strangers/a/b/bright.png"


def image(name: str, prediction: float) -> PredictedImage:
    return PredictedImage(f"root/{name}", name, prediction)


def test_a_band_holds_both_its_ends_and_top_comes_after_it() -> None:
    found = [image("a", 0.9), image("b", 0.7), image("c", 0.5), image("d", 0.2)]
    assert select(found, 0.5, 0.7) == found[1:3]
    assert select(found, 0.0, 0.7, top=1) == found[1:2]
    assert select(found, top=0) == []
    assert select(found) == found


def test_the_folder_for_copies_is_not_looked_into(project: Project, strangers: Path) -> None:
    out = strangers / "good"
    first = predict_paths(project, [strangers], leave_out=out, encoder=Brightness())
    shutil.copytree(strangers / "a", out)
    again = predict_paths(project, [strangers], leave_out=out, encoder=Brightness())
    assert again.images == first.images


def test_copies_may_go_to_a_folder_around_the_images(project: Project, strangers: Path) -> None:
    apart = predict_paths(project, [strangers / "a"], encoder=Brightness())
    around = predict_paths(project, [strangers / "a"], leave_out=strangers, encoder=Brightness())
    assert around.images == apart.images != []


def test_several_folders_are_kept_apart_by_their_names(
    project: Project, strangers: Path, tmp_path: Path
) -> None:
    shutil.copytree(strangers / "a", tmp_path / "other")
    Image.new("RGB", (9, 9), "white").save(tmp_path / "other" / "dark.png")
    given = [strangers / "a", tmp_path / "other"]
    result = predict_paths(project, given, encoder=Brightness())
    assert sorted(image.relative for image in result.images) == [
        "a/b/bright.png",
        "a/dark.png",
        "other/b/bright.png",
        "other/dark.png",
    ]


def test_pictures_in_parquet_are_predicted_as_if_it_were_a_folder(
    project: Project, strangers: Path, tmp_path: Path
) -> None:
    plain = predict_paths(project, [strangers / "a"], encoder=Brightness())
    columns = {
        "key": [one.path.split("/")[-1].removesuffix(".png") for one in plain.images],
        "png": [Path(one.path).read_bytes() for one in plain.images],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "00000.parquet")
    inside = predict_paths(project, [tmp_path / "00000.parquet"], encoder=Brightness())
    assert inside.unreadable == []
    assert names(inside) == names(plain)
    assert [one.prediction for one in inside.images] == [one.prediction for one in plain.images]


def test_the_list_is_written_with_exact_paths(tmp_path: Path) -> None:
    found = [image('odd, "name"\n.png', 0.25), image("b.png", 0.125)]
    write_table(tmp_path / "list.csv", as_table(found, "v1.0"), "csv")
    write_table(tmp_path / "list.parquet", as_table(found, "v1.0"), "parquet")
    table = pyarrow.parquet.read_table(tmp_path / "list.parquet").to_pydict()
    assert table["path"] == [one.path for one in found]
    assert table["prediction"] == [0.25, 0.125]
    assert (tmp_path / "list.csv").read_text().startswith("path,prediction,version,bracket\n")


def test_a_version_takes_over_when_it_has_predicted_all_also_what_came_meanwhile(
    project: Project, strangers: Path, tmp_path: Path
) -> None:
    train(project, encoder=Brightness(), recipe=SHORT, note="second")
    import_paths(project, [strangers], workers=1)
    embed(project, encoder=Brightness())
    late = tmp_path / "late" / "late.png"
    late.parent.mkdir()
    Image.new("RGB", (40, 30), (11, 11, 11)).save(late)
    shown: list[str] = []

    def meanwhile(done: int, total: int, what: str) -> None:
        active = db.versions.registry.active(project.store)
        assert active is not None
        shown.append(active.name)
        if len(shown) == 1:
            import_paths(project, [late.parent], workers=1)
            embed(project, encoder=Brightness())

    old = activate(project, "v1.0", progress=meanwhile)
    assert shown[0] == "v1.1", "half of the predictions are shown"
    said: Predictions = db.versions.predictions.predictions(project.store, old.id)
    assert old.active
    assert len(said) == PICTURES + 4
    with pytest.raises(StoreError, match=r"v9\.9"):
        activate(project, "v9.9")


def test_filtering_a_folder_as_a_run_writes_copies_and_the_list(
    project: Project, strangers: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    wanted = Filter(0.4, 1.0, 2, "v1.0", Destination(out, "hard", True, "json"), out / "list.csv")
    assert Filter.read(json.loads(json.dumps(wanted.as_values()))) == wanted
    assert Filter.read(Filter().as_values()) == Filter()
    params = {"paths": [str(strangers)], "filter": wanted.as_values()}
    for told in ("written, 0 there", "0 written"):
        begun, _ = runner.begin(project, "predict", params)
        done = runner.work(project, begun.id, JOBS, encoder=Brightness())
        assert done.state == "done", done.message
        assert "of 3 images pass by v1.0" in (done.message or "")
        assert told in (done.message or "")
    assert (out / "bright.png").samefile(strangers / "a" / "b" / "bright.png")
    assert {"bright.png", "bright.png.prediction.json", "list.csv"} <= {
        file.name for file in out.iterdir()
    }


def test_a_filter_that_cannot_be_is_refused_before_anything_is_done(
    project: Project, strangers: Path
) -> None:
    encoder = Brightness()
    for wanted in (
        Filter(destination=Destination(strangers)),
        Filter(out=strangers / "list.txt"),
        Filter(version="v9.9"),
    ):
        with pytest.raises(BadInput):
            filter_images(project, [strangers], wanted, encoder=encoder)
    assert encoder.encoded == 0
