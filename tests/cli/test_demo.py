"""Protects the demo: the same collection for the same seed, pictures that are what their folder
says, and a project that is ready to be scored, with slips to be found."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import db.images.counts
import db.images.embeddings
import db.images.lookup
import db.images.sources
import db.scores.hand_scores
import db.versions.registry
from labeler.cli.demo.demo import RULE_FILE, SLIPS, draw_collection, make_demo
from labeler.cli.demo.drawings.kinds import SHARES, draw
from labeler.core.archives.opening import open_picture
from labeler.core.errors import LabelerError, Stopped
from labeler.core.progress import Progress, silent
from labeler.core.project import Project
from labeler.versions.activate import lacks_predictions
from model.training.quick import Quick


class SmallEncoder:
    """Stands in for `lite`: a picture's embedding is its 4 x 4 miniature."""

    identity = "lite"
    width = 48
    normalised = False
    preprocessing: ClassVar[dict[str, Any]] = {"size": 4}

    def prepare(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((4, 4), Image.Resampling.BOX), np.float32) / 64

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return batch.reshape(len(batch), -1).astype(np.float32)


def small_demo(folder: Path, progress: Progress = silent) -> Project:
    recipe = Quick(steps=6, features=8, hidden=64, folds=2)
    return make_demo(folder, 60, progress=progress, encoder=SmallEncoder(), recipe=recipe)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.*"))
    }


def test_the_collection_follows_the_seed(tmp_path: Path) -> None:
    drawn = draw_collection(tmp_path / "a", 18, seed=3)
    draw_collection(tmp_path / "b", 18, seed=3)
    draw_collection(tmp_path / "c", 18, seed=4)
    first, same, other = (digests(tmp_path / name) for name in "abc")
    assert first == same
    assert not set(first.values()) & set(other.values())
    assert len(set(first.values())) == len(drawn) == len(first)
    assert {picture.kind for picture in drawn} == set(SHARES)
    assert sum(SHARES.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("kind", "lowest", "highest"),
    [
        ("characters", 6, 8),
        ("flat", 4, 6),
        ("sketches", 3, 4),
        ("text", 0, 1),
        ("scenes", 0, 0),
        ("patterns", 2, 2),
    ],
)
def test_every_kind_is_varied_and_scored_by_its_rule(kind: str, lowest: int, highest: int) -> None:
    pictures, scored = zip(
        *(draw(kind, np.random.default_rng(seed)) for seed in range(12)), strict=True
    )
    assert set(scored) <= set(range(lowest, highest + 1))
    small = [np.asarray(p.convert("RGB").resize((16, 16)), float) for p in pictures]
    apart = [np.abs(a - b).mean() for k, a in enumerate(small) for b in small[:k]]
    assert min(apart) > 1
    assert all(np.ptp(np.asarray(p.convert("RGB"), float)) > 60 for p in pictures)
    assert all(min(p.size) >= 160 for p in pictures)


def test_sketches_are_grey_and_some_flat_characters_are_cut_out() -> None:
    sketch = np.asarray(draw("sketches", np.random.default_rng(1))[0], float)
    assert np.ptp(sketch, axis=2).mean() < 25
    modes = {draw("flat", np.random.default_rng(seed))[0].mode for seed in range(16)}
    assert modes == {"RGB", "RGBA"}


def test_a_ready_demo(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    phases: set[str] = set()
    project = small_demo(folder, lambda done, total, what: phases.add(what))
    store = project.store
    counted = db.images.counts.by_state(store)
    with (folder / RULE_FILE).open(encoding="utf-8") as file:
        rule = {str(folder / row["path"]): int(row["score"]) for row in csv.DictReader(file)}
    assert counted == {"fine": len(rule), "unreadable": 0, "missing": 0}
    ids, values = db.scores.hand_scores.effective(store)
    paths = [image.path for image in db.images.lookup.by_ids(store, ids)]
    slips = sum(value != rule[path] for path, value in zip(paths, values, strict=True))
    assert (len(ids), slips) == (len(rule) // 3, SLIPS)
    expected = {s.name: s.expect_high for s in db.images.sources.sources(store)}
    assert expected == dict.fromkeys(SHARES) | {"scenes": 1.0}
    assert project.encoder == "lite"
    record = db.images.embeddings.encoder(store, project.encoder)
    assert record is not None and db.images.embeddings.count(store, record.id) == len(rule)
    version = db.versions.registry.active(store)
    assert version is not None and version.name == "v1.0"
    assert {"drawing", "importing"} < phases
    project.close()

    again = make_demo(folder, progress=_unexpected)
    assert [v.name for v in db.versions.registry.history(again.store)] == ["v1.0"]
    assert db.images.counts.by_hand_score(again.store).scored == len(ids)
    again.close()


def _unexpected(done: int, total: int, what: str) -> None:
    raise AssertionError(f"a ready demo did some {what} again")


def test_an_interrupted_demo_goes_on(tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if what == "importing" and done == 5:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        small_demo(tmp_path / "demo", stop)
    project = small_demo(tmp_path / "demo")
    assert db.versions.registry.active(project.store) is not None
    project.close()


def test_a_demo_that_was_stopped_while_it_predicted_goes_on(tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if what == "predicting":
            raise Stopped("enough")

    with pytest.raises(Stopped):
        small_demo(tmp_path / "demo", stop)
    project = small_demo(tmp_path / "demo")
    version = db.versions.registry.active(project.store)
    assert version is not None
    assert not lacks_predictions(project, version)
    project.close()


def test_another_project_is_left_alone(tmp_path: Path) -> None:
    Project.create(tmp_path / "mine", encoder="lite").close()
    with pytest.raises(LabelerError, match="labeler demo DIR"):
        make_demo(tmp_path / "mine")
    assert not (tmp_path / "mine" / "collection").exists()


def test_the_drawings_can_be_read_back(tmp_path: Path) -> None:
    for picture in draw_collection(tmp_path, 6):
        with Image.open(picture.path) as saved:
            assert open_picture(picture.path).size == saved.size
