"""Protects predicting over folders: right file, right number, nothing imported, no file replaced.

The encoder handed in sees brightness alone and the head has learnt that bright is good, so the
order of the predictions can be told from the pictures.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image
from shades import Brightness, draw_shades

from db import images, scores, versions
from db.errors import StoreError
from db.records import Event, Predictions
from labeler.embedding import embed
from labeler.errors import BadInput, Stopped
from labeler.importing import import_paths
from labeler.predicting import PredictedImage, PredictedImages, activate, predict_paths
from labeler.project import Project
from labeler.selecting import as_table, copy_images, select
from labeler.tables import write_table
from labeler.training import train
from model.quick import Quick

PICTURES = 30
SHORT = Quick(steps=12, features=8, hidden=64, folds=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 30 pictures scored from dark (0) to bright (10) and a version; copied only."""
    folder = tmp_path_factory.mktemp("made")
    project = Project.create(folder / "project", encoder="lite")
    paths = draw_shades(folder / "pictures", PICTURES)
    import_paths(project, [folder / "pictures"], workers=1)
    ids = images.ids_by_path(project.store)
    at = datetime(2025, 3, 1, 12, tzinfo=UTC)
    events = [
        Event(f"first-{n}", "score", ids[str(path)], at, value=float(round(n * 10 / PICTURES)))
        for n, path in enumerate(paths)
    ]
    scores.record(project.store, events)
    train(project, encoder=Brightness(), recipe=SHORT)
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    shutil.copytree(made / "project", tmp_path / "project")
    project = Project.open(tmp_path / "project")
    yield project
    project.close()


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
    before = images.count_by_state(project.store)
    result = predict_paths(project, [strangers], encoder=Brightness())
    assert names(result) == ["bright.png", "grey.jpg", "dark.png"]
    assert result.version == "v1.0"
    assert all(0 <= image.prediction <= 1 for image in result.images)
    assert images.count_by_state(project.store) == before


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
    version = versions.active(project.store)
    assert version is not None
    path = made / "pictures" / "shade 020.png"
    stored = versions.predictions(
        project.store, version.id, [images.ids_by_path(project.store)[str(path)]]
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

    def stop(done: int, total: int, what: str) -> None:
        if done:
            raise Stopped("Stopped.")

    with pytest.raises(Stopped):
        predict_paths(project, many, encoder=Brightness(), progress=stop)


def image(name: str, prediction: float) -> PredictedImage:
    return PredictedImage(f"root/{name}", name, prediction)


def test_a_band_holds_both_its_ends_and_top_comes_after_it() -> None:
    found = [image("a", 0.9), image("b", 0.7), image("c", 0.5), image("d", 0.2)]
    assert select(found, 0.5, 0.7) == found[1:3]
    assert select(found, 0.0, 0.7, top=1) == found[1:2]
    assert select(found, top=0) == []
    assert select(found) == found


def test_copies_keep_their_folders_and_a_second_time_copies_nothing(
    project: Project, strangers: Path, tmp_path: Path
) -> None:
    result = predict_paths(project, [strangers], encoder=Brightness())
    first = copy_images(result.images, tmp_path / "out")
    again = copy_images(result.images, tmp_path / "out")
    assert (first.made, first.there, again.made, again.there) == (3, 0, 0, 3)
    copied = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert copied == {"a/dark.png", "a/b/bright.png", "grey.jpg"}


def test_a_copy_does_not_replace_another_file_of_its_name(
    project: Project, strangers: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "grey.jpg").write_text("mine")
    result = predict_paths(project, [strangers / "grey.jpg"], encoder=Brightness())
    copies = copy_images(result.images, out)
    assert (out / "grey.jpg").read_text() == "mine"
    assert copies.renamed == [(str(strangers / "grey.jpg"), str(out / "grey-2.jpg"))]
    assert (out / "grey-2.jpg").read_bytes() == (strangers / "grey.jpg").read_bytes()


def test_copies_inside_the_folder_are_not_predicted_again(
    project: Project, strangers: Path
) -> None:
    out = strangers / "good"
    first = predict_paths(project, [strangers], leave_out=out, encoder=Brightness())
    copy_images(first.images, out)
    again = predict_paths(project, [strangers], leave_out=out, encoder=Brightness())
    assert again.images == first.images


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


def test_the_list_is_written_with_exact_paths(tmp_path: Path) -> None:
    found = [image('odd, "name"\n.png', 0.25), image("b.png", 0.125)]
    write_table(tmp_path / "list.csv", as_table(found, "v1.0"), "csv")
    write_table(tmp_path / "list.parquet", as_table(found, "v1.0"), "parquet")
    table = pyarrow.parquet.read_table(tmp_path / "list.parquet").to_pydict()
    assert table["path"] == [one.path for one in found]
    assert table["prediction"] == [0.25, 0.125]
    assert (tmp_path / "list.csv").read_text().startswith("path,prediction,version\n")


def test_going_back_to_a_version_predicts_what_came_after_it(
    project: Project, strangers: Path
) -> None:
    train(project, encoder=Brightness(), recipe=SHORT, note="second")
    import_paths(project, [strangers], workers=1)
    embed(project, encoder=Brightness())
    old = activate(project, "v1.0")
    said: Predictions = versions.predictions(project.store, old.id)
    assert old.active
    assert len(said) == PICTURES + 3
    with pytest.raises(StoreError, match=r"v9\.9"):
        activate(project, "v9.9")
