"""What notebooks rely on: frames in and out, and the same results as the commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import labeler
from labeler import Predictor, Project
from labeler.core.errors import BadInput
from labeler.core.project import Project as Folder
from labeler.prediction.predict_files import predict_paths
from model.errors import ModelError
from model.heads.head import Head
from model.heads.head_files import save_head
from tests.support.collection import WIDTH, add_version, draw_pictures, make_collection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = make_collection(tmp_path, images=24, scored=12)
    add_version(made, noise=0.1, note="first")
    made.close()
    return made.folder


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """From nothing to a version, by this surface alone, with the real `lite` encoder."""
    folder = tmp_path_factory.mktemp("learnt")
    pictures = draw_pictures(folder / "pictures", 24)
    project = Project.create(folder / "project", encoder="lite")
    found = project.add_images(folder / "pictures", source="gradients")
    assert found["new"] == 24
    project.score({str(path): round(number / 2.4) for number, path in enumerate(pictures)})
    assert project.embed() == 24
    row = project.train(note="by hand")
    assert (row.name, row["note"], row["scored"]) == ("v1.0", "by hand", 24)
    assert row["mae_low"] <= row["mae"] <= row["mae_high"]
    return project


def test_images_are_one_row_each_with_what_is_known(folder: Path) -> None:
    with Project(folder) as project:
        frame = project.images()
    assert (len(frame), frame.index.name) == (24, "id")
    assert frame["score"].notna().sum() == 12
    assert frame["score"].dtype == np.float64
    assert frame.loc[frame["score"].notna(), "score"].tolist() == [*range(11), 0]
    assert set(frame["source"]) == {"gradients"}


def test_an_empty_project_has_empty_frames(tmp_path: Path) -> None:
    with Project.create(tmp_path / "new", encoder="lite") as project:
        assert (len(project.images()), len(project.history()), len(project.versions())) == (0, 0, 0)
        assert "score" in project.images()
        with pytest.raises(BadInput, match="no version yet"):
            project.predictor()
        with pytest.raises(BadInput, match="no version v9; see them"):
            project.predictor("v9")


def test_scores_go_in_by_path_by_id_and_by_index(folder: Path) -> None:
    with Project(folder) as project:
        frame = project.images()
        waiting = frame[frame["score"].isna()]
        first, second, third, fourth = waiting.index[:4]
        path = waiting.loc[second, "path"]
        assert project.score({int(first): 0.0})["before"].isna().all()
        given = pd.DataFrame({"path": [path], "score": [10], "scorer": ["ben"]})
        assert project.score(given, scorer="cho")["score"].tolist() == [10]
        indexed = pd.DataFrame({"score": [7.5, np.nan]}, index=pd.Index([third, fourth], name="id"))
        project.score(indexed, scorer="cho")
        now = project.images()["score"]
        assert [now[first], now[second], now[third]] == [0, 10, 7.5]
        assert np.isnan(now[fourth])
        told = project.history()
        assert told[told["id"] == second]["scorer"].tolist() == ["ben"]
        assert told[told["id"] == third]["scorer"].tolist() == ["cho"]
        assert project.score({int(third): 2})["before"].tolist() == [7.5]


@pytest.mark.parametrize("wrong", [{1: 3, 2: 11}, {1: 3, 999: 4}, {1: 3, "nowhere.png": 4}])
def test_one_wrong_score_and_none_is_taken(folder: Path, wrong: dict[object, float]) -> None:
    with Project(folder) as project:
        before = project.history()
        with pytest.raises(BadInput):
            project.score(wrong)
        with pytest.raises(BadInput, match="needs score"):
            project.score(pd.DataFrame({"picture": ["a"], "score": [1]}))
        pd.testing.assert_frame_equal(project.history(), before)


def test_versions_tell_their_figures(folder: Path) -> None:
    with Project(folder) as project:
        row = project.versions().loc["v1.0"]
        assert (row["note"], bool(row["active"]), row["recipe"]) == ("first", True, "quick")
        assert 0 < row["chosen_mae"] < 0.5
        assert row["basis"] == "none"


def test_a_predictor_says_what_the_command_says(learnt: Project) -> None:
    predictor = learnt.predictor()
    said = predictor.predict(learnt.folder.parent / "pictures")
    project = Folder.open(learnt.folder)
    expected = {
        one.path: one.prediction
        for one in predict_paths(project, [learnt.folder.parent / "pictures"]).images
    }
    project.close()
    assert len(said) == len(expected) == 24
    for row in said.itertuples():
        assert row.prediction == pytest.approx(expected[row.path], abs=0.005)
        assert row.passes == (row.prediction >= 0.5)
    assert said["prediction"].is_monotonic_decreasing
    assert said["problem"].isna().all()


def test_pictures_in_memory_are_turned_and_flattened_as_files_are(learnt: Project) -> None:
    predictor = learnt.predictor()
    paths = sorted((learnt.folder.parent / "pictures").iterdir())[:3]
    said = predictor.predict(paths).set_index("path")["prediction"]
    opened = [Image.open(path).convert("RGBA") for path in paths]
    found = predictor.predict_images(opened)
    np.testing.assert_allclose(found, [said[str(path)] for path in paths], atol=0.005)
    assert predictor.predict_images([]).shape == (0,)
    broken = Image.open(paths[0])
    broken.fp.close()
    with pytest.raises(BadInput, match="Image 0"):
        predictor.predict_images([broken])


def test_what_cannot_be_read_says_why_and_the_rest_goes_on(learnt: Project, tmp_path: Path) -> None:
    draw_pictures(tmp_path, 2)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    said = learnt.predictor("v1.0").predict(tmp_path)
    assert said["prediction"].notna().tolist() == [True, True, False]
    assert said["problem"].isna().tolist() == [True, True, False]
    assert not said["passes"].iloc[2]


def test_a_head_from_its_files_needs_no_project(tmp_path: Path) -> None:
    head = Head(WIDTH, 16).eval()
    told = {"encoder": "lite", "threshold": 0.4}
    save_head(tmp_path / "taste-v1.0", head, name="taste", rev="v1.0", metadata=told)
    predictor = Predictor.load(tmp_path / "taste-v1.0.safetensors")
    assert (predictor.encoder, predictor.threshold) == ("lite", 0.4)
    rows = np.random.default_rng(0).normal(size=(5, WIDTH)).astype(np.float32)
    said = predictor.predict_embeddings(rows)
    assert said.shape == (5,)
    assert ((said >= 0) & (said <= 1)).all()
    with pytest.raises(BadInput, match=r"\(n, 8\)"):
        predictor.predict_embeddings(rows[:, :4])
    save_head(tmp_path / "foreign", head, name="x", rev="1")
    with pytest.raises(BadInput, match="name the encoder"):
        Predictor.load(tmp_path / "foreign.safetensors")
    assert Predictor.load(tmp_path / "foreign.safetensors", encoder="lite").encoder == "lite"
    with pytest.raises(ModelError):
        Predictor.load(tmp_path / "gone.safetensors")


def test_nothing_heavy_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, labeler; print({'pandas', 'torch', 'sqlalchemy'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
    assert labeler.Project is Project
    with pytest.raises(AttributeError):
        labeler.nothing  # noqa: B018
