"""Many at once: no score is lost, kept twice, or kept under another's name or picture; nobody is
handed what somebody else has before them; nobody takes back what somebody else did.

tests/torture/test_many_at_once.py does the same with real browsers and ten thousand scores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

import db.images.counts
import db.images.locations
import db.images.lookup
import db.jobs
import db.scores.events
import db.scores.hand_scores
import db.scores.queue_queries
from db.records import Event, Run
from labeler.app.routes.json_api import routes
from labeler.app.security.request_guards import guard_middleware
from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.jobs import runner
from labeler.core.progress import Progress
from labeler.core.project import Project
from labeler.core.scorers import account_name
from labeler.scoring.reservations import HELD, MOST_HELD, Reservations
from tests.support.collection import add_version, copied, draw_pictures, make_collection
from tests.support.many_at_once import (
    AHEAD,
    PEOPLE,
    Given,
    Person,
    all_at_once,
    lost_and_twice,
    scored_by_two,
)

HOST = "http://127.0.0.1:8501"
OURS = {"X-Labeler": "1", "Origin": HOST}
EACH = 60
# What is handed to all together, who ask twice: with fewer the last one gets what others have.
HANDED = len(PEOPLE) * 2 * AHEAD


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    project = make_collection(tmp_path, images=20, scored=0)
    monkeypatch.setenv("LABELER_PROJECT", str(project.folder))
    yield project
    project.close()


def draw(folder: Path, count: int) -> Path:
    """Pictures that are in no other folder: each bears its folder's colour in a corner."""
    colour = tuple(sha256(folder.name.encode()).digest()[:3])
    for path in draw_pictures(folder, count):
        with Image.open(path) as drawn:
            drawn.paste(colour, (0, 0, 8, 8))
            drawn.save(path)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with closing(make_collection(folder, images=20, scored=0)) as project:
        import_paths(project, [draw(folder / "more", HANDED)], workers=1)
        return project.folder


@pytest.fixture
def large(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path / "project"))
    yield from copied(made, tmp_path / "project")


@pytest.fixture
def client() -> Iterator[Callable[[], httpx2.Client]]:
    """A browser of one's own; all are closed at the end."""
    app = Starlette(routes=routes(), middleware=guard_middleware(["127.0.0.1"]))
    made: list[TestClient] = []

    def open_one() -> httpx2.Client:
        made.append(TestClient(app, base_url=HOST, headers=OURS))
        return made[-1]

    yield open_one
    for each in made:
        each.close()


def test_four_people_while_an_import_runs(
    large: Project, tmp_path: Path, client: Callable[[], httpx2.Client]
) -> None:
    new = draw(tmp_path / "new", 40)
    orders = ("random", "newest", "random", "newest")
    people = [Person(name, client(), 7, order) for name, order in zip(PEOPLE, orders, strict=True)]
    scoring = [lambda person=person: person.score(EACH) for person in people]
    all_at_once([*scoring, lambda: import_paths(large, [new], workers=1)])
    given = [score for person in people for score in person.given]
    assert len(given) == len(PEOPLE) * EACH
    assert lost_and_twice(large, given) == (0, 0)
    assert scored_by_two(given) == 0
    effective = dict(
        zip(*(each.tolist() for each in db.scores.hand_scores.effective(large.store)), strict=True)
    )
    assert effective == {score.image_id: score.value for score in given}
    assert db.images.counts.by_state(large.store)["fine"] == 20 + HANDED + 40


def test_all_ask_at_the_same_moment_and_get_different_images(
    large: Project, client: Callable[[], httpx2.Client]
) -> None:
    people = [Person(name, client(), 7) for name in PEOPLE]
    handed: dict[str, list[int]] = {}
    all_at_once([lambda each=each: handed.__setitem__(each.name, each.handed()) for each in people])
    everything = [image_id for ids in handed.values() for image_id in ids]
    assert len(set(everything)) == len(everything) == 4 * 40


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def offered(hands: Reservations, project: Project, who: str, order: str = "random", **more: object):
    given = {"limit": 8, "exclude": ()} | more
    return [i.id for i in hands.offer(project, order, scorer=who, **given).images]  # type: ignore[arg-type]


def test_what_nobody_has_asked_about_for_long_is_free_again(project: Project) -> None:
    clock = Clock()
    hands = Reservations(clock)
    first = offered(hands, project, "ann")
    assert not set(first) & set(offered(hands, project, "ben"))
    clock.now = HELD - 1
    offered(hands, project, "ann", limit=1, exclude=first)  # she still has them before her
    clock.now = HELD + 1
    assert not set(first) & set(offered(hands, project, "cleo"))
    clock.now = 3 * HELD
    assert offered(hands, project, "dan") == first


def test_what_was_handed_before_the_last_thousand_is_free_again(project: Project) -> None:
    hands = Reservations(Clock())
    first = offered(hands, project, "ann")
    many = range(10**6, 10**6 + MOST_HELD)
    offered(hands, project, "ann", limit=1, exclude=[*first, *many])
    assert offered(hands, project, "ben") == first


def test_one_person_gets_the_same_again_also_in_another_tab(project: Project) -> None:
    hands = Reservations(Clock())
    assert offered(hands, project, "ann") == offered(hands, project, "ann")


def test_nobody_is_left_without_work_while_there_is_some(project: Project) -> None:
    hands = Reservations(Clock())
    everything = offered(hands, project, "ann", limit=40)
    assert len(everything) == 20
    assert offered(hands, project, "ben", limit=40) == everything


def test_what_is_scored_already_is_for_everybody(project: Project) -> None:
    ids = [
        image.id
        for image in db.scores.queue_queries.unscored(project.store, order="random", limit=5)
    ]
    score(project, "ann", *ids)
    hands = Reservations(Clock())
    for order, who in (("others", "ben"), ("others", "cleo"), ("revise", "ben"), ("revise", "dan")):
        assert sorted(offered(hands, project, who, order)) == sorted(ids)


def score(project: Project, who: str, *image_ids: int, value: float = 4) -> None:
    events = [
        Event(
            f"{who}-{image_id}-{value:g}", "score", image_id, datetime.now(UTC), value, scorer=who
        )
        for image_id in image_ids
    ]
    assert all(receipt.accepted for receipt in db.scores.events.record(project.store, events))


def acts(client: httpx2.Client, who: str = "") -> list[int]:
    found = client.get("/api/recent", params={"scorer": who}).json()["events"]
    return [act["image"] for act in found]


def test_undo_after_a_reload_is_of_ones_own_acts(
    project: Project, client: Callable[[], httpx2.Client]
) -> None:
    ids = [
        image.id
        for image in db.scores.queue_queries.unscored(project.store, order="random", limit=6)
    ]
    browser = client()
    send(browser, account_name(), ids[0], 3)
    send(browser, account_name(), ids[1], None)
    assert acts(browser) == ids[:2]  # alone, also what was skipped
    send(browser, "ben", ids[2], 5)
    send(browser, account_name(), ids[3], 7)
    assert acts(browser) == [ids[0], ids[3]]
    assert acts(browser, "ben") == [ids[2]]
    assert acts(browser, "cleo") == []


def send(browser: httpx2.Client, who: str, image_id: int, value: int | None, tab: str = "") -> str:
    name = f"{tab}{who}-{image_id}-{value}"
    act = {"kind": "skip"} if value is None else {"kind": "score", "score": value}
    event = {"event": name, "image": image_id, "scorer": who, **act}
    answer = browser.post("/api/events", json={"events": [event]}).json()
    assert answer["receipts"][0]["accepted"], answer
    return name


def undo(browser: httpx2.Client, image_id: int, name: str) -> None:
    event = {"event": f"undo-{name}", "kind": "undo", "image": image_id, "undoes": name}
    answer = browser.post("/api/events", json={"events": [event]}).json()
    assert answer["receipts"][0]["accepted"], answer


@pytest.mark.parametrize("other", ["ann", "ben"])
def test_undo_takes_back_its_own_act_and_leaves_a_later_one(
    project: Project, client: Callable[[], httpx2.Client], other: str
) -> None:
    """The same card in two tabs, or in two people's browsers."""
    image_id = db.scores.queue_queries.unscored(project.store, order="random", limit=1)[0].id
    browser, tab = client(), client()
    first = send(browser, "ann", image_id, 3)
    second = send(tab, other, image_id, 8, "two-")
    undo(browser, image_id, first)
    assert db.images.lookup.get(project.store, image_id).hand_score == 8
    undo(tab, image_id, second)
    assert db.images.lookup.get(project.store, image_id).hand_score is None
    kept = db.scores.hand_scores.history(project.store, image_id)
    assert [(row.scorer, row.value, row.undone_at is not None) for row in kept] == [
        ("ann", 3.0, True),
        (other, 8.0, True),
    ]


def test_the_same_card_scored_by_two_is_kept_under_both_names(
    project: Project, client: Callable[[], httpx2.Client]
) -> None:
    image_id = db.scores.queue_queries.unscored(project.store, order="random", limit=1)[0].id
    all_at_once(
        [
            lambda who=who, value=value: send(client(), who, image_id, value)
            for value, who in enumerate(PEOPLE)
        ]
    )
    given = [Given(who, image_id, value) for value, who in enumerate(PEOPLE)]
    assert lost_and_twice(project, given) == (0, 0)
    latest = db.scores.hand_scores.history(project.store, image_id)[-1]
    assert db.images.lookup.get(project.store, image_id).hand_score == latest.value


def test_another_import_is_refused_and_another_training_joins(project: Project) -> None:
    importing, _ = runner.begin(project, "import", {"paths": ["/here"], "expect": [0, 3]})
    joined = runner.start_run(project, "import", {"paths": ["/here"], "expect": (0, 3)})
    assert joined.id == importing.id
    with pytest.raises(BadInput, match=r"Another import is running; start this one when"):
        runner.start_run(project, "import", {"paths": ["/elsewhere"]})
    training, _ = runner.begin(project, "train", {"recipe": "quick", "note": "hers"})
    assert runner.start_run(project, "train", {"recipe": "original"}).id == training.id


def test_a_training_typed_while_another_runs_follows_that_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, _ = runner.begin(project, "train", {"recipe": "quick", "note": "the button"})
    follow = runner.follow

    def until_it_ends(project: Project, run_id: int, progress: Progress) -> Run:
        assert run_id == running.id
        version = add_version(project, 0.2)
        db.jobs.finish(project.store, run_id, "done", version_id=version.id)
        return follow(project, run_id, progress)

    score(project, "ann", 1, 2, 3)
    monkeypatch.setattr(runner, "follow", until_it_ends)
    told = CliRunner().invoke(labeler, ["train", "--note", "typed"])
    assert told.exit_code == 0, told.output
    assert "A training runs already; following that one." in told.stderr
    assert "another recipe or note" in told.stderr
    assert "Trained v1.0 on 3 scored images" in told.stdout


def test_two_imports_of_one_folder_at_once_take_every_picture_once(
    project: Project, tmp_path: Path
) -> None:
    folder, summaries = draw(tmp_path / "both", 60), []
    all_at_once([lambda: summaries.append(import_paths(project, [folder], workers=1))] * 2)
    assert db.images.counts.by_state(project.store)["fine"] == 80
    assert len(db.images.locations.ids_by_path(project.store)) == 80
    assert sum(summary.new for summary in summaries) == 60
    assert not any(summary.unreadable for summary in summaries)


def test_two_browsers_press_retrain_at_once(project: Project) -> None:
    """Each page's server thread starts a run; the process that would work on it is not needed."""
    add_version(project, 0.2)
    started: list[tuple[int, bool]] = []
    lock = threading.Lock()

    def press() -> None:
        run, ours = runner.begin(project, "train", {"recipe": "quick", "note": ""})
        with lock:
            started.append((run.id, ours))

    all_at_once([press] * 8)
    assert len({run_id for run_id, _ in started}) == 1
    assert [ours for _, ours in started].count(True) == 1
