"""Protects trying pictures out: what is said of a dropped picture is what predicting says, bad and
large ones do no harm, the process that looks at them may leave or die at any time, and nothing is
kept unless it is added.

The helper is a thread here, behind the same pipes; the browser tests start the real one.
"""

from __future__ import annotations

import base64
import io
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image

import db.images.locations
import db.images.lookup
import db.scores.events
from db.records import Event
from labeler.collection import uploads
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.prediction.inference_worker.client import (
    MAX_BYTES,
    InferenceClient,
    PredictionRequest,
)
from labeler.prediction.inference_worker.protocol import receive, send
from labeler.prediction.inference_worker.worker import serve
from labeler.prediction.predict_files import predict_paths
from labeler.versions.train import train
from model.training.quick import Quick
from tests.support.collection import copied
from tests.support.shades import Brightness, draw_shades

PICTURES = 30
LONG = 600.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tried")
    project = Project.create(folder / "project", encoder="lite")
    paths = draw_shades(folder / "pictures", PICTURES)
    import_paths(project, [folder / "pictures"], workers=1)
    ids = db.images.locations.ids_by_path(project.store)
    at = datetime(2025, 3, 1, 12, tzinfo=UTC)
    events = [
        Event(f"e{n}", "score", ids[str(path)], at, value=float(round(n * 10 / PICTURES)))
        for n, path in enumerate(paths)
    ]
    db.scores.events.record(project.store, events)
    for steps in (12, 3):
        train(project, encoder=Brightness(), recipe=Quick(steps, features=8, hidden=64, folds=2))
    project.close()
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Project]:
    yield from copied(made / "project", tmp_path / "project")


class Helper:
    """A helper process as a thread: `serve` at the other end of two pipes."""

    def __init__(self, work: Callable[[BinaryIO, BinaryIO], None]) -> None:
        asked, self.stdin = _pipe()
        self.stdout, answers = _pipe()

        def run() -> None:
            with asked, answers:
                work(asked, answers)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        self._thread.join()


def _pipe() -> tuple[BinaryIO, BinaryIO]:
    out, into = os.pipe()
    return os.fdopen(out, "rb"), os.fdopen(into, "wb")


class Helpers:
    """Starts helpers and counts them, and the encoders that they load."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.started: list[Helper] = []
        self.loaded: list[str] = []

    def __call__(self) -> Helper:
        def work(asked: BinaryIO, answers: BinaryIO) -> None:
            serve(self.project, asked, answers, self._load, LONG)

        self.started.append(Helper(work))
        return self.started[-1]

    def end(self) -> None:
        for helper in self.started:
            helper.stdin.close()
            helper.wait()

    def _load(self, identity: str) -> Brightness:
        self.loaded.append(identity)
        return Brightness()


@pytest.fixture
def helpers(project: Project) -> Iterator[Helpers]:
    helpers = Helpers(project)
    yield helpers
    helpers.end()


def answered(*trials: PredictionRequest) -> None:
    for trial in trials:
        assert trial.done.wait(60)


def picture(level: int, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (level, level, level)).save(buffer, form)
    return buffer.getvalue()


def test_a_dropped_picture_is_told_what_predicting_says_of_it(
    project: Project, helpers: Helpers, made: Path
) -> None:
    tryer = InferenceClient(helpers)
    path = made / "pictures" / "shade 025.png"
    trials = [tryer.submit(path.name, path.read_bytes(), name) for name in ("v1.0", "v1.1")]
    answered(*trials)
    for trial in trials:
        [said] = predict_paths(project, [path], version=trial.version).images
        found = trial.result
        assert found is not None, trial.problem
        assert found["prediction"] == pytest.approx(said.prediction, abs=1e-4)
        assert found["version"] == trial.version
        assert 0 < found["chance"] < 1
        known = db.images.lookup.find_by_path(project.store, str(path))
        assert known is not None
        assert found["content_hash"] == known.content_hash
        assert found["near"][0] == [known.id, pytest.approx(1.0, abs=1e-4)]
        alike = [cosine for _, cosine in found["near"]]
        assert alike == sorted(alike, reverse=True)
        with Image.open(io.BytesIO(base64.b64decode(found["small"]))) as small:
            assert small.format == "JPEG"
        assert trial.data == b""
    assert len(helpers.started) == len(helpers.loaded) == 1


def test_what_is_no_picture_is_named_and_the_next_is_looked_at(helpers: Helpers) -> None:
    tryer = InferenceClient(helpers)
    bad = [
        tryer.submit("notes.png", b"no picture", "v1.0"),
        tryer.submit("empty.png", b"", "v1.0"),
        tryer.submit("cut.jpg", picture(90, "JPEG")[:300], "v1.0"),
        tryer.submit("bomb.png", bomb(), "v1.0"),
        tryer.submit("fine.png", picture(90), "v9.9"),
    ]
    good = tryer.submit("ünïcode \n.png", picture(240), "v1.0")
    answered(*bad, good)
    for trial in bad:
        assert trial.result is None
        assert trial.problem
        assert "Traceback" not in trial.problem
    assert "more than the limit" in (bad[3].problem or "")
    assert "There is no version v9.9" in (bad[4].problem or "")
    assert good.result is not None


def bomb() -> bytes:
    """A small file that unpacks to 400 megapixels."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    return buffer.getvalue()


def test_what_is_too_large_is_not_even_sent(helpers: Helpers) -> None:
    trial = InferenceClient(helpers).submit("large.png", bytes(MAX_BYTES + 1), "v1.0")
    assert trial.answered
    assert "smaller copy" in (trial.problem or "")
    assert helpers.started == []


def test_a_picture_that_a_helper_has_left_behind_is_handed_to_the_next(helpers: Helpers) -> None:
    def leaves(asked: BinaryIO, answers: BinaryIO) -> None:
        receive(asked)
        send(answers, {"kind": "leaving"})

    tryer = InferenceClient(_one_after_the_other(lambda: Helper(leaves), helpers))
    trial = tryer.submit("some.png", picture(10), "v1.0")
    answered(trial)
    assert trial.result is not None, trial.problem
    assert len(helpers.started) == 1


def _one_after_the_other(*starts: Callable[[], Helper]) -> Callable[[], Helper]:
    left = iter(starts)

    def start() -> Helper:
        return next(left)()

    return start


def test_a_helper_that_nobody_asks_leaves(project: Project) -> None:
    helper = Helper(lambda asked, out: serve(project, asked, out, lambda _: Brightness(), 0.0))
    assert receive(helper.stdout) == ({"kind": "leaving", "bytes": 0}, b"")
    helper.stdin.close()
    helper.wait()
    assert receive(helper.stdout) is None
    helper.stdout.close()


def test_a_helper_ends_with_the_app(helpers: Helpers) -> None:
    helper = helpers()
    helper.stdin.close()
    helper.wait()
    assert receive(helper.stdout) is None
    helper.stdout.close()


def test_a_helper_that_dies_is_a_sentence_and_the_next_one_works(helpers: Helpers) -> None:
    def dies(asked: BinaryIO, _answers: BinaryIO) -> None:
        receive(asked)

    tryer = InferenceClient(_one_after_the_other(lambda: Helper(dies), helpers))
    first = tryer.submit("one.png", picture(10), "v1.0")
    answered(first)
    assert "ended unexpectedly" in (first.problem or "")
    assert tryer.state == "off"
    second = tryer.submit("one.png", picture(10), "v1.0")
    answered(second)
    assert second.result is not None


def test_a_helper_that_cannot_be_started_is_a_sentence(project: Project) -> None:
    def refused() -> Helper:
        raise OSError(12, "Cannot allocate memory")

    trial = InferenceClient(refused).submit("one.png", picture(10), "v1.0")
    assert trial.answered
    assert "can't be started" in (trial.problem or "")


def test_an_encoder_that_cannot_be_loaded_is_the_answer(project: Project) -> None:
    def no_weights(identity: str) -> Brightness:
        raise BadInput("The weights are not there.")

    helper = Helper(lambda asked, out: serve(project, asked, out, no_weights, LONG))
    trial = InferenceClient(lambda: helper).submit("one.png", picture(10), "v1.0")
    answered(trial)
    assert trial.problem == "The weights are not there."
    helper.stdin.close()
    helper.wait()


def test_messages_arrive_whole_or_not_at_all() -> None:
    kept = io.BytesIO()
    send(kept, {"id": 1, "name": "\udcff\n"}, b"\n\0{}")
    whole = kept.getvalue()
    assert receive(io.BytesIO(whole)) == ({"id": 1, "name": "\udcff\n", "bytes": 4}, b"\n\0{}")
    assert all(receive(io.BytesIO(whole[:end])) is None for end in range(len(whole)))


@pytest.mark.parametrize(
    ("name", "form", "kept"),
    [
        ("holiday.png", "PNG", "holiday.png"),
        ("../../etc/passwd", "PNG", "passwd.png"),
        ("C:\\pictures\\été 日本.JPG", "JPEG", "été 日本.jpg"),
        (".hidden", "WEBP", "hidden.webp"),
        ("a\0b\n<c>.gif", "GIF", "a_b__c.gif"),
        ("", "PNG", "picture.png"),
        ("x" * 500, "TIFF", "x" * 120 + ".tif"),
        ("odd.png", "../x", "odd.bin"),
    ],
)
def test_a_name_from_a_browser_becomes_a_file_of_the_project(
    name: str, form: str, kept: str
) -> None:
    assert uploads.file_name(name, form) == kept


def test_an_added_picture_replaces_none_and_is_kept_once(project: Project) -> None:
    one, other = picture(10), picture(200)
    places = [
        uploads.keep_picture(project, "a.png", "PNG", data) for data in (one, other, one, other)
    ]
    assert [place.name for place in places] == ["a.png", "a-2.png", "a.png", "a-2.png"]
    assert places[0].parent == project.folder / "added"
    assert (places[0].read_bytes(), places[1].read_bytes()) == (one, other)
    summary = import_paths(project, places[:2], source="added", workers=1)
    assert summary.new == 2
