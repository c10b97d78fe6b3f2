"""The pages as scripts: what they say and refuse, that names from outside are never markdown, and
that none of them imports torch. (Clicks on thumbnails and downloads are tested in a browser.)"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PicturesImage
from streamlit.testing.v1 import AppTest

import db.images.locations
import db.images.lookup
import db.jobs
import db.versions.predictions
import db.versions.registry
from labeler.app.widgets import formatting, job_status
from labeler.app.widgets.navigation import page_file
from labeler.app.widgets.path_input import preview_path
from labeler.collection.importing import import_paths
from labeler.core.jobs.runner import follow
from labeler.core.project import Project
from labeler.exports.datasets.export import KINDS
from labeler.versions.evaluation import measures
from tests.support.collection import (
    add_unscored,
    add_version,
    copied,
    draw_pictures,
    give_scores,
    make_collection,
    score_at_random,
)
from tests.support.pages import all_markdown, opened

HOSTILE = "![x](http%3a//evil.example/a.png) **bold** :red[b]"
TIME = datetime(2025, 3, 1, 12, tzinfo=UTC)
WITHOUT_TORCH = ("add_images", "train", "explore", "try_it", "export", "progress")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with 40 images, 30 of them scored; copied, never changed."""
    with closing(make_collection(tmp_path_factory.mktemp("made"), images=40, scored=30)) as project:
        return project.folder


@pytest.fixture
def served(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Its copy, as the project that the app serves."""
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "project"))
    yield from copied(made, tmp_path / "project")


def button(page: AppTest, starts: str) -> object:
    return next(each for each in page.button if each.label.startswith(starts))


def watched(page: AppTest) -> list[dict[str, Any]]:
    """What the page's own code asks for until it has ended."""
    mounted = [each.proto for each in page.get("bidi_component")]
    return [json.loads(each.json)["query"] for each in mounted if "watch" in each.component_name]


def test_without_a_project_the_start_page_waits_for_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "new"))
    draw_pictures(tmp_path / "holidays", 3)
    page = opened("add_images")
    assert button(page, "Import").disabled
    page.text_input(key="pictures").set_value(str(tmp_path / "nothing")).run()
    assert "There is nothing at" in page.warning[0].value
    assert button(page, "Import").disabled
    page.text_input(key="pictures").set_value(f'"{tmp_path / "holidays"}"').run()
    assert "3 files" in page.caption[0].value
    assert not button(page, "Import").disabled


def test_scores_of_replaced_pictures_are_carried_over_by_a_click(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "project"))
    with closing(make_collection(tmp_path, images=3, scored=2)) as served:
        first, second = sorted((tmp_path / "pictures").iterdir())[:2]
        for path, picture in ((first, PicturesImage.open(first)), (second, None)):
            (picture or PicturesImage.new("RGB", (50, 50), "red")).convert("RGB").save(path, "JPEG")
        import_paths(served, [first.parent])
        page = opened("add_images")
        assert "2 scored pictures with another in its place" in all_markdown(page)
        button(page, "Carry over 1 score of those").click().run()
        carried = db.images.lookup.find_by_path(served.store, str(first))
        assert carried is not None and carried.hand_score == 0
        assert "1 scored picture with another in its place" in all_markdown(page)
        button(page, "Carry over all 1").click().run()
        assert "in its place" not in all_markdown(page)


def test_a_page_without_a_project_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "none"))
    for name in ("train", "explore", "try_it", "export"):
        assert "no project here yet" in words_of_errors(opened(name))


def words_of_errors(page: AppTest) -> str:
    return " ".join(error.value.replace("\\", "") for error in page.error)


def test_a_store_that_is_none_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labeler.sqlite").write_bytes(b"not a store at all" * 100)
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path))
    assert "labeler.sqlite" in words_of_errors(opened("explore"))


def test_names_from_outside_are_never_markdown(served: Project) -> None:
    odd = served.folder.parent / HOSTILE
    draw_pictures(odd, 1)
    (odd / f"{HOSTILE.replace('/', '')}.png").write_bytes(b"no picture")
    import_paths(served, [odd], source=HOSTILE, workers=1)
    add_version(served, noise=0.1, note=HOSTILE)
    newest = max(db.images.locations.ids_by_path(served.store).values())
    for name in ("add_images", "explore", "train", "export"):
        page = AppTest.from_file(page_file(name), default_timeout=30)
        page.session_state["explored"] = newest
        page.run()
        assert not page.exception
        assert "evil.example" not in all_markdown(page), name


def test_names_that_are_no_utf_8_can_still_be_shown(served: Project) -> None:
    odd = served.folder.parent / "odd" / os.fsdecode(b"caf\xe9")
    draw_pictures(odd, 2)
    (odd / os.fsdecode(b"\xff.png")).write_bytes(b"no picture")
    import_paths(served, [odd.parent], source="odd", workers=1)
    for name in ("add_images", "explore", "export"):
        page = AppTest.from_file(page_file(name), default_timeout=30)
        page.session_state["explored"] = max(db.images.locations.ids_by_path(served.store).values())
        page.run()
        assert not page.exception
        assert not page.error


def test_plain_leaves_nothing_for_markdown_to_take() -> None:
    shown = formatting.markdown_escaped("![x](http://evil.example/a.png)\n# <b>")
    assert shown.startswith("\\!\\[x\\]\\(http\\:\N{WORD JOINER}\\/\\/evil")
    assert "\n" not in shown
    assert r"\<b\>" in shown


def test_train_refuses_below_20_scores_and_says_how_many_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_collection(tmp_path, images=25, scored=13)
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))
    page = opened("train")
    assert "7 more images" in page.info[0].value
    assert not [each for each in page.button if "rain" in each.label]


def test_the_train_button_says_how_many_scores_are_new(served: Project) -> None:
    assert button(opened("train"), "Train").label == "Train with 30 scores"
    add_version(served, noise=0.1)
    assert button(opened("train"), "Retrain").label == "Retrain"
    ids = sorted(db.images.locations.ids_by_path(served.store).values())
    give_scores(served, ids[30:37])
    assert button(opened("train"), "Retrain").label == "Retrain with 7 new scores"


def test_while_training_the_page_shows_how_far_it_is(served: Project) -> None:
    run, _ = db.jobs.start(served.store, "train", {})
    db.jobs.heartbeat(served.store, run.id, 300, 1200, "training")
    page = opened("train")
    assert not [each for each in page.button if each.label.startswith("Train")]
    assert watched(page) == [{"kind": "train", "run": run.id}]


def test_a_failed_run_shows_its_message_and_the_next_step(served: Project) -> None:
    run, _ = db.jobs.start(served.store, "train", {})
    db.jobs.finish(served.store, run.id, "failed", "The disk is full.")
    page = opened("train")
    assert "The disk is full." in words_of_errors(page)
    assert "Train again" in page.error[0].value
    assert button(page, "Train with")


@pytest.mark.parametrize("kind", ["train", "adopt"])
def test_a_stopped_run_speaks_of_the_list_of_versions_only_where_there_is_one(
    served: Project, kind: str
) -> None:
    run, _ = db.jobs.start(served.store, kind, {})
    db.jobs.finish(served.store, run.id, "stopped", "Stopped.")
    told = opened("train").info[0].value
    assert told.startswith("Stopped. ")
    assert "below" not in told
    add_version(served, noise=0.3)
    add_version(served, noise=0.2)
    assert "list below already can be made active" in opened("train").info[0].value


def test_an_older_version_can_be_made_active_again(served: Project) -> None:
    first, second = add_version(served, noise=0.3), add_version(served, noise=0.2)
    page = opened("train")
    button(page, f"Make {formatting.markdown_escaped(first.name)} active").click().run()
    assert not page.exception
    active = db.versions.registry.active(served.store)
    assert active is not None
    assert active.name == first.name
    assert button(page, f"Make {formatting.markdown_escaped(second.name)} active")


def test_better_is_said_only_where_it_is_so(served: Project) -> None:
    first, second = add_version(served, noise=0.3), add_version(served, noise=0.001)
    assert "can't be told yet" in all_markdown(opened("train"))
    add_unscored(served, 90)
    score_at_random(served, 30, (first, 0.3), (second, 0.001))
    clear = all_markdown(opened("train"))
    assert "is **better** than" in clear
    third = add_version(served, noise=0.001, seed=2)
    score_at_random(served, 30, (second, 0.1), (third, 0.1))
    same = all_markdown(opened("train"))
    assert "**better**" not in same
    assert "can't be told yet on 30 images" in same


def test_figures_of_chosen_images_are_named_and_folded_away(served: Project) -> None:
    version = add_version(served, noise=0.1)
    page = opened("train")
    assert button(page, "Score images drawn at random")
    assert "score 20 more images in the order Random" in all_markdown(page)
    [chosen] = [each for each in page.expander if each.label == "On the images you chose"]
    assert "(" in chosen.dataframe[0].value[version.name][0]
    assert page.dataframe[0].value.equals(chosen.dataframe[0].value), "there is no other yet"
    assert "not of the collection" in " ".join(each.value for each in chosen.caption)


def test_explore_counts_what_its_band_takes(served: Project) -> None:
    version = add_version(served, noise=0.05)
    page = opened("explore")
    assert page.caption[0].value == "40 images"
    page.slider[0].set_value((40, 60)).run()
    said = db.versions.predictions.predictions(served.store, version.id).scores
    inside = int(((said >= 0.4) & (said <= 0.6)).sum())
    assert page.caption[0].value == formatting.count(inside, "image")


def test_explore_shows_the_whole_story_of_the_chosen_image(served: Project) -> None:
    version = add_version(served, noise=0.05)
    image_id = sorted(db.images.locations.ids_by_path(served.store).values())[3]
    page = AppTest.from_file(page_file("explore"), default_timeout=30)
    page.session_state["explored"] = image_id
    page.run()
    assert not page.exception
    assert page.subheader[0].value == f"Image {image_id}"
    assert any("picture 003.png" in text.value for text in page.text)
    scores, predictions = (frame.value for frame in page.dataframe[:2])
    assert list(scores["score"]) == [3.0]
    assert list(scores["who"]) == ["ann"]
    assert version.name in predictions["version"][0]


def test_export_previews_the_dataset_and_waits_for_a_model(served: Project) -> None:
    page = opened("export")
    assert "40 images · 30 scored" in page.caption[0].value
    assert list(page.dataframe[0].value["source"])[:2] == ["gradients", "gradients"]
    assert any("no model yet" in info.value for info in page.info)


def test_export_writes_to_a_folder(served: Project) -> None:
    target = served.folder.parent / "out"
    page = opened("export")
    page.text_input(key="folder-dataset").set_value(str(target))
    page.checkbox(key="with-images").check()
    page.button(key="write-dataset").click().run()
    assert not page.error
    run = follow(served, db.jobs.latest(served.store, "export").id)
    assert (run.state, run.kind) == ("done", "export")
    assert len((target / "dataset.csv").read_text().splitlines()) == 41
    assert len(list((target / "images").iterdir())) == 40
    page.run()
    assert "Wrote 40 images" in page.success[0].value


def test_every_format_of_an_export_is_offered_with_what_it_is_for(served: Project) -> None:
    page = opened("export")
    for name, kind in KINDS.items():
        page.selectbox(key="export-kind").set_value(name).run()
        assert not page.exception
        assert not page.error
        assert kind.purpose in [text.value for text in page.markdown]
        assert page.text_input(key=f"folder-{name}").value.endswith(f"exports/{name}")


def test_export_says_beforehand_what_may_surprise(served: Project) -> None:
    page = opened("export")
    page.selectbox(key="export-kind").set_value("cityclassifiers").run()
    assert any("CLIP L/14" in info.value.replace("\\", "") for info in page.info)
    page.text_input(key="split-cityclassifiers").set_value("80").run()
    assert "80:10:10" in words_of_errors(page)


def test_licences_are_kept_and_the_card_is_shown(served: Project) -> None:
    page = opened("export")
    page.text_input(key="licence-0").set_value("CC0")
    button(page, "Keep the licences").click().run()
    page.button(key="show-card").click().run()
    assert "## Licence\n\nCC0" in page.code[0].value


def test_export_to_half_a_path_is_refused(served: Project) -> None:
    page = opened("export")
    page.text_input(key="folder-dataset").set_value("somewhere")
    page.button(key="write-dataset").click().run()
    assert "somewhere is not a whole path" in words_of_errors(page)


def test_no_page_imports_torch(served: Project) -> None:
    add_version(served, noise=0.1)
    script = f"""
import sys
from streamlit.testing.v1 import AppTest
for name in {[str(page_file(name)) for name in WITHOUT_TORCH]}:
    page = AppTest.from_file(name, default_timeout=60).run()
    assert not page.exception
assert not page.error  # on Progress, the last one
print("torch" in sys.modules)
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "False"


def test_a_run_whose_process_died_is_told_as_failed(served: Project) -> None:
    run, _ = db.jobs.start(served.store, "import", {}, pid=None)
    assert job_status.active(served, "import")
    later = datetime.now(UTC) + timedelta(minutes=5)
    db.jobs.mark_stale(served.store, later)
    assert not job_status.active(served, "import")
    assert job_status.latest(served, "import").id == run.id


def test_the_time_left_is_that_of_a_phase_and_the_next_ones_are_named(served: Project) -> None:
    run, _ = db.jobs.start(served.store, "import", {}, pid=None)
    db.jobs.heartbeat(served.store, run.id, 300, 1000, "embedding")
    run = job_status.latest(served, "import")
    line = job_status.progress_line(run, 40.0)
    assert line == "embedding: 300 of 1,000, 40 seconds left, then predicting"
    db.jobs.heartbeat(served.store, run.id, 1, 1000, "predicting")
    assert (
        job_status.progress_line(job_status.latest(served, "import"), None)
        == "predicting: 1 of 1,000"
    )


@pytest.mark.parametrize("text", ["", "holidays", "/nowhere/at/all"])
def test_a_look_at_an_unusable_path_gives_a_reason(text: str) -> None:
    assert preview_path(text).problem


def test_a_look_counts_files_in_every_folder(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "a", 2)
    draw_pictures(tmp_path / "a" / "deeper", 3)
    assert preview_path(f"file://{tmp_path}").files == 5
    (tmp_path / "empty").mkdir()
    assert "holds no files" in (preview_path(str(tmp_path / "empty")).problem or "")


def test_figures_without_an_interval_or_value_are_not_made_up() -> None:
    precision = next(measure for measure in measures.MEASURES if measure.key == "precision")
    entry = {"value": 0.8, "low": 0.7, "high": 0.9}
    assert measures.written({"precision": entry}, precision) == "80 %  (70 % – 90 %)"
    assert measures.written({"precision": {"value": None}}, precision) == "–"
    assert measures.written({}, precision) == "–"


def test_an_installed_app_has_the_theme_of_the_repository() -> None:
    root = Path(__file__).resolve().parents[3]
    shipped, own = (
        tomllib.loads((root / name).read_text(encoding="utf-8"))["theme"]
        for name in ("labeler/app/assets/theme.toml", ".streamlit/config.toml")
    )
    assert shipped == own
