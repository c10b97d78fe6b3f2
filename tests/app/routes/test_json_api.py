"""The app's own routes: only its own pages may ask, images go by id, repeats are harmless."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

import db.images.lookup
import db.scores.hand_scores
import db.scores.queue_queries
from labeler.app.project import current_project
from labeler.app.routes import contact_sheets
from labeler.app.routes.json_api import routes
from labeler.app.routes.payloads import shown_name
from labeler.app.security.request_guards import guard_middleware
from labeler.collection.importing import import_paths
from labeler.core.archives import opening
from labeler.core.errors import BadInput
from labeler.core.project import Project
from tests.support.collection import add_version, make_collection

HOST = "http://127.0.0.1:8501"
OURS = {"X-Labeler": "1", "Origin": HOST}


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_collection(tmp_path_factory.mktemp("routes"), images=30, scored=20)
    add_version(project, 0.2)
    return project


@pytest.fixture
def project(collection: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("LABELER_PROJECT", str(collection.folder))
    return collection


@pytest.fixture
def client(project: Project) -> Iterator[TestClient]:
    app = Starlette(routes=routes(), middleware=guard_middleware(["127.0.0.1", "localhost"]))
    with TestClient(app, base_url=HOST) as client:
        yield client


def unscored_ids(project: Project) -> list[int]:
    return [
        i.id for i in db.scores.queue_queries.unscored(project.store, order="random", limit=100)
    ]


def post(client: TestClient, *events: dict[str, Any], **body: Any) -> Any:
    answer = client.post("/api/events", json={"events": events, **body}, headers=OURS)
    assert answer.status_code == 200, answer.text
    return answer.json()


def score(event: str, image: int, value: object, **more: object) -> dict[str, Any]:
    return {"event": event, "kind": "score", "image": image, "score": value, **more}


def test_a_score_is_kept_and_sending_it_again_changes_nothing(
    client: TestClient, project: Project
) -> None:
    image_id = unscored_ids(project)[0]
    first = post(client, score("one", image_id, 0))
    again = post(client, score("one", image_id, 0))
    assert first["receipts"][0]["accepted"]
    assert again["receipts"][0]["accepted"]
    assert again["receipts"][0]["repeated"]
    assert [row.value for row in db.scores.hand_scores.history(project.store, image_id)] == [0.0]
    assert again["stats"]["scored"] == first["stats"]["scored"]


def test_what_cannot_be_taken_is_refused_and_the_rest_goes_on(
    client: TestClient, project: Project
) -> None:
    image_id = unscored_ids(project)[0]
    answer = post(
        client,
        score("too-high", image_id, 11),
        score("no-number", image_id, "7"),
        score("a-bool", image_id, True),
        score("not-a-number", image_id, None),
        score("no-image", 10**9, 5),
        {"event": "odd", "kind": "delete", "image": image_id},
        {"event": "unknown-undo", "kind": "undo", "image": image_id, "undoes": "never"},
        "nonsense",
        score("good", image_id, 6),
    )
    assert [receipt["accepted"] for receipt in answer["receipts"]] == [False] * 8 + [True]
    assert all(receipt["problem"] for receipt in answer["receipts"][:-1])
    assert db.images.lookup.get(project.store, image_id).hand_score == 6


def test_one_event_that_no_store_can_keep_costs_the_others_nothing(
    client: TestClient, project: Project
) -> None:
    image_id = unscored_ids(project)[0]
    undo = {"kind": "undo", "image": image_id}
    bad: list[dict[str, Any]] = [
        *(
            score(event, image_id, 1)
            for event in ("\ud800", "two\nlines", "\0", "é", "x" * 201, "")
        ),
        {"event": "odd-undo", "undoes": "\ud800", **undo},
        {"event": "listed-undo", "undoes": ["x"], **undo},
        score("odd-version", image_id, 1, version="\ud800"),
        score("listed-version", image_id, 1, version=[1]),
    ]
    content = json.dumps({"events": [*bad, score("x" * 200, image_id, 7)]})
    headers = OURS | {"Content-Type": "application/json"}
    answer = client.post("/api/events", content=content, headers=headers)
    assert answer.status_code == 200
    receipts = answer.json()["receipts"]
    assert [receipt["accepted"] for receipt in receipts] == [False] * len(bad) + [True]
    assert db.images.lookup.get(project.store, image_id).hand_score == 7


def test_a_picture_that_cannot_be_opened_now_is_not_missing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, **_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(opening, "open_plain", full)
        answer = client.get("/img/1/full")
    assert answer.status_code == 503
    assert "Too many files" in answer.json()["problem"]


def test_a_score_for_a_picture_that_is_another_one_by_now_is_refused(
    client: TestClient, project: Project
) -> None:
    # As after an older copy of the store was restored: the page that is open means other images.
    one, two, three = db.scores.queue_queries.unscored(project.store, order="random", limit=3)
    stale, right = {"hash": one.content_hash}, {"hash": two.content_hash}
    skip = {"event": "stale-skip", "kind": "skip", "image": two.id}
    answer = post(
        client,
        score("stale", two.id, 3, **stale),
        skip | stale,
        score("odd-hash", two.id, 3, hash=["odd"]),
        score("right", two.id, 4, **right),
        {"event": "back", "kind": "undo", "image": two.id, "undoes": "right"},
        score("unsaid", three.id, 5, hash=None),
    )
    assert [receipt["accepted"] for receipt in answer["receipts"]] == [False] * 3 + [True] * 3
    assert {receipt["problem"] for receipt in answer["receipts"][:3]} == {
        "That picture is another one now; reload the page"
    }
    assert [row.value for row in db.scores.hand_scores.history(project.store, two.id)] == [4.0]


def test_what_was_taken_is_acknowledged_also_when_its_picture_is_another_one_by_now(
    client: TestClient, project: Project
) -> None:
    image = db.scores.queue_queries.unscored(project.store, order="random", limit=1)[0]
    sent = score("answered-late", image.id, 6, hash=image.content_hash)
    assert post(client, sent)["receipts"][0]["accepted"]
    again = post(client, sent | {"hash": "another"})["receipts"][0]
    assert (again["accepted"], again["repeated"]) == (True, True)


def test_events_of_another_project_are_not_taken(client: TestClient, project: Project) -> None:
    image_id = unscored_ids(project)[0]
    body = {"project": "another", "events": [score("stray", image_id, 3)]}
    answer = client.post("/api/events", json=body, headers=OURS)
    assert answer.status_code == 409
    assert db.images.lookup.get(project.store, image_id).hand_score is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": HOST}, 403),
        ({"X-Labeler": "1"}, 403),
        ({"X-Labeler": "1", "Origin": "http://evil.example"}, 403),
        ({"X-Labeler": "1", "Origin": "null"}, 403),
        ({"X-Labeler": "1", "Origin": "http://127.0.0.1:9999"}, 403),
        (OURS | {"Content-Type": "text/plain"}, 415),
        (OURS | {"Sec-Fetch-Site": "cross-site"}, 403),
        (OURS | {"Sec-Fetch-Site": "same-site"}, 403),
        (OURS | {"Host": "evil.example"}, 400),
    ],
)
def test_only_the_apps_own_pages_may_write(
    client: TestClient, project: Project, headers: dict[str, str], status: int
) -> None:
    image_id = unscored_ids(project)[0]
    body = json.dumps({"events": [score("e", image_id, 1)]})
    usual = {"Content-Type": "application/json"}
    answer = client.post("/api/events", content=body, headers=usual | headers)
    assert answer.status_code == status
    assert db.images.lookup.get(project.store, image_id).hand_score is None


@pytest.mark.parametrize("body", ["", "[]", "{", '{"events": 1}', "[" * 100_000])
def test_a_body_that_is_no_list_of_events_is_refused(client: TestClient, body: str) -> None:
    headers = OURS | {"Content-Type": "application/json"}
    assert client.post("/api/events", content=body, headers=headers).status_code == 400


def test_nothing_is_given_to_other_sites_or_under_other_names(client: TestClient) -> None:
    for path in ("/img/1/thumbnail", "/api/queue", "/api/review", "/api/image/1"):
        assert client.get(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
        assert client.get(path, headers={"Host": "evil.example:8501"}).status_code == 400


def test_every_answer_says_what_it_is(client: TestClient) -> None:
    for path in ("/api/queue", "/api/review", "/api/stats", "/api/image/1", "/api/nowhere"):
        answer = client.get(path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/api/nowhere").status_code == 404


def test_small_pictures_are_kept_for_ever_when_asked_for_by_hash(
    client: TestClient, project: Project
) -> None:
    image = db.images.lookup.get(project.store, 1)
    for kind in ("thumbnail", "preview"):
        answer = client.get(f"/img/1/{kind}?h={image.content_hash}")
        assert answer.headers["content-type"] == "image/jpeg"
        assert "immutable" in answer.headers["cache-control"]
        for query in ("", "?h=other"):
            assert "immutable" not in client.get(f"/img/1/{kind}{query}").headers["cache-control"]


def test_a_preview_that_is_gone_is_made_again(client: TestClient, project: Project) -> None:
    image = db.images.lookup.get(project.store, 2)
    for _ in range(2):
        assert client.get("/img/2/preview").status_code == 200
        next(project.previews.rglob(f"{image.content_hash}*")).unlink()


def test_the_full_picture_is_the_file_or_a_copy_that_browsers_show(
    client: TestClient, project: Project, tmp_path: Path
) -> None:
    image = db.images.lookup.get(project.store, 1)
    answer = client.get("/img/1/full")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == Path(image.path).read_bytes()
    Image.new("CMYK", (40, 30)).save(tmp_path / "page.tiff")
    import_paths(project, [tmp_path / "page.tiff"], source="scans", workers=1)
    scan = db.images.lookup.find_by_path(project.store, str(tmp_path / "page.tiff"))
    assert client.get(f"/img/{scan.id}/full").headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    "path",
    [
        "/img/999999/thumbnail",
        "/img/1/original",
        "/img/1/..%2f..%2flabeler.sqlite",
        "/img/1",
        "/img/-1/full",
        "/img/99999999999999999999999/full",
        f"/img/{'9' * 5000}/full",
        f"/api/image/{'9' * 5000}",
        "/img/one/full",
    ],
)
def test_other_picture_addresses_lead_nowhere(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_queue_leaves_out_what_the_page_has(client: TestClient, project: Project) -> None:
    everything = unscored_ids(project)
    held = ",".join(str(i) for i in everything[1:])
    items = client.get(f"/api/queue?order=random&exclude={held}").json()["items"]
    assert [item["id"] for item in items] == everything[:1]
    assert "path" not in items[0]
    assert "/" not in items[0]["name"]


@pytest.mark.parametrize(
    "query",
    [
        "order=sideways",
        "limit=0",
        "limit=x",
        "limit=99999",
        "exclude=1;2",
        "order=source-x",
        f"limit={'9' * 5000}",
        f"order=source-{'9' * 5000}",
    ],
)
def test_a_query_that_makes_no_sense_is_refused_in_a_sentence(
    client: TestClient, query: str
) -> None:
    answer = client.get(f"/api/queue?{query}")
    assert answer.status_code == 400
    assert answer.json()["problem"]


def test_no_number_in_an_address_is_too_long(client: TestClient) -> None:
    assert client.get(f"/api/review?first={'9' * 5000}").status_code == 200
    with pytest.raises(BadInput, match="round"):
        contact_sheets._requested_images(current_project(), {"round": "9" * 5000})


def test_names_that_are_no_utf8_can_be_sent() -> None:
    assert shown_name("odd \udcff.png") == "odd ?.png"


def test_the_sitting_can_be_taken_back_after_a_reload(client: TestClient, project: Project) -> None:
    one, two = unscored_ids(project)[:2]
    post(
        client, score("a", one, 2), score("b", one, 5), {"event": "c", "kind": "skip", "image": two}
    )
    acts = client.get("/api/recent").json()["events"][-3:]
    assert [(act["image"], act["skip"], act["before"]) for act in acts] == [
        (one, False, None),
        (one, False, 2.0),
        (two, True, None),
    ]
    post(client, {"event": "d", "kind": "undo", "image": one, "undoes": "b"})
    assert db.images.lookup.get(project.store, one).hand_score == 2
    assert client.get("/api/recent").json()["events"][-2]["event"] == "a"


def test_a_folder_without_a_project_is_said_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LABELER_PROJECT", str(tmp_path))
    assert current_project() is None
    for path in ("/api/queue", "/img/1/preview"):  # 404 is for one picture that is missing
        answer = client.get(path)
        assert answer.status_code == 503
        assert "labeler init" in answer.json()["problem"]
    Project.create(tmp_path, encoder="lite").close()
    assert client.get("/api/queue").json()["items"] == []
