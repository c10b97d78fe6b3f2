"""Protects what goes to a real Label Studio server with two accounts and comes back from it.

Tasks of two scorers go in; every picture is shown; the second account annotates and corrects; what
the server exports in each of its forms is taken back and compared. The same for uploaded pictures
and for projects with other controls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labeler.collection.importing import import_paths
from labeler.core.project import Project
from labeler.exports.datasets.export import export
from labeler.exports.datasets.plan import Plan
from labeler.scoring.import_scores import import_scores
from labeler.scoring.score_files.statements import ReadOptions
from labeler.scoring.score_files.summary import LabelSummary
from tests.interop.environments import Peer
from tests.interop.label_studio_server import PEOPLE, Account, Refused, number, read, result, served
from tests.support.peer_files import LONG_NAME, NAMES, SCORES, given_by, make_handed_over
from tests.support.pictures import make_jpeg

FORMS = {"JSON": "export.json", "JSON_MIN": "export.min.json", "CSV": "export.csv"}
EVERYTHING = """<View>
  <Image name="image" value="$image"/>
  <Number name="points" toName="image"/>
  <Rating name="stars" toName="image" maxRating="5"/>
  <Choices name="grade" toName="image" choice="single">
    <Choice value="3"/>
    <Choice value="7"/>
  </Choices>
  <TextArea name="remark" toName="image"/>
</View>
"""


@pytest.fixture(scope="module")
def label_studio(peer: Callable[..., Peer]) -> Peer:
    return peer("label-studio")


@pytest.fixture(scope="module")
def accounts(
    label_studio: Peer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Account]]:
    with served(label_studio, tmp_path_factory.mktemp("server") / "data") as accounts:
        yield accounts


@pytest.fixture
def handed(tmp_path: Path) -> Iterator[Project]:
    project = make_handed_over(tmp_path)
    yield project
    project.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[], Project]]:
    """Projects, as many as are wanted, that know the same pictures and no score."""
    made: list[Project] = []

    def make() -> Project:
        folder = tmp_path / f"other {len(made)}"
        project = Project.create(folder / "project", encoder="lite")
        import_paths(project, [tmp_path / "pictures"], workers=1)
        made.append(project)
        return project

    yield make
    for project in made:
        project.close()


@pytest.fixture
def name(label_studio: Peer) -> str:
    return f"Label Studio {label_studio.version('label-studio')}"


def sent(
    account: Account, folder: Path, pictures: Path, config: str | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """A project on the server with our tasks in it, and its tasks."""
    project = account.project(config or (folder / "config.xml").read_text(encoding="utf-8"))
    storage = {"project": project, "path": str(pictures), "use_blob_urls": True}
    account.post("/api/storages/localfiles", storage)
    account.upload(f"/api/projects/{project}/import", folder / "tasks.json")
    return project, account.tasks(project)


def called(tasks: list[dict[str, Any]], name: str) -> dict[str, Any]:
    [found] = [task for task in tasks if Path(task["data"]["path"]).name == name]
    return found


def differences(before: dict[str, dict[str, float]], after: dict[str, dict[str, float]]) -> str:
    """Whose scores are more, fewer or others than they were."""
    changed = [
        f"{scorer}: {len(before.get(scorer, {}))} → {len(after.get(scorer, {}))} scores"
        for scorer in sorted(before.keys() | after.keys())
        if before.get(scorer) != after.get(scorer)
    ]
    return "; ".join(changed) or "nothing"


def said(summary: LabelSummary, after: dict[str, dict[str, float]]) -> str:
    by = ", ".join(f"{len(given)} by {scorer}" for scorer, given in sorted(after.items()))
    return f"{summary.taken} scores ({by}), {summary.refused} refused"


def test_our_tasks_go_in_are_shown_and_come_back(
    accounts: list[Account],
    handed: Project,
    fresh: Callable[[], Project],
    note: Callable[..., None],
    keep: Callable[..., None],
    name: str,
    tmp_path: Path,
) -> None:
    ann, ben = accounts
    export(handed, "label-studio", tmp_path / "studio", Plan())
    project, tasks = sent(ann, tmp_path / "studio", tmp_path / "pictures")
    assert [len(task["annotations"]) for task in tasks].count(2) == 2
    assert all(task["predictions"][0]["model_version"] == "v1.0" for task in tasks)
    for task in tasks:
        shown = ben.fetch(task["data"]["image"])
        assert hashlib.sha256(shown.content).hexdigest() == task["data"]["hash"]
    note(
        name,
        f"{len(tasks)} tasks, 8 scores by two scorers, no `completed_by`",
        f"{len(tasks)} tasks with 8 annotations and their predictions; {len(tasks)} pictures "
        "are shown (200, the same bytes)",
        "all annotations are by the account that imports",
    )
    # What its page does when a person changes a number: the whole result is sent again.
    [wrong] = called(tasks, "k (1).jpg")["annotations"]
    results = wrong["result"]
    results[0]["value"]["number"] = 8
    ben.patch(f"/api/annotations/{wrong['id']}/", {"result": results})
    ben.annotate(called(tasks, "z.jpg")["id"], number(6))
    expected = {who: dict(given) for who, given in SCORES.items()}
    del expected["ben"]["k (1).jpg"]
    expected[f"annotator {ben.number}"] = {"k (1).jpg": 8, "z.jpg": 6}
    for form, file_name in FORMS.items():
        file = ann.export(project, form, tmp_path / file_name)
        keep(file, f"label-studio/{file_name}", tmp_path)
        other = fresh()
        summary = import_scores(other, file)
        after = given_by(other)
        note(
            f"{name}, {form} back",
            "these tasks; then the second account corrected one and annotated one",
            said(summary, after),
            differences(given_by(handed), after),
        )
        if form == "JSON":
            assert summary.bad == []
            assert after == expected
            continue
        # All that the first account brought is one person's here: of two scores one is refused.
        assert list(summary.reasons) == ["another score for the same image"]
        assert set(after) == {f"annotator {ann.number}", f"annotator {ben.number}"}
        assert sum(map(len, after.values())) == summary.taken == 7
        assert any("an export as JSON does" in said for said in summary.notes())
    keep(tmp_path / "studio" / "tasks.json", "label-studio/tasks.json", tmp_path)


def test_scores_can_be_filed_under_accounts(
    accounts: list[Account],
    handed: Project,
    fresh: Callable[[], Project],
    note: Callable[..., None],
    keep: Callable[..., None],
    name: str,
    tmp_path: Path,
) -> None:
    ann, ben = accounts
    told = f"ann={ann.number}, ben={PEOPLE[1]}"
    export(handed, "label-studio", tmp_path / "studio", Plan(completed_by=told))
    project, tasks = sent(ann, tmp_path / "studio", tmp_path / "pictures")
    by = [each["completed_by"] for task in tasks for each in task["annotations"]]
    assert sorted(by) == [ann.number] * 5 + [ben.number] * 3
    stranger = Plan(completed_by="ben=nobody@example.org")
    export(handed, "label-studio", tmp_path / "wrong", stranger)
    with pytest.raises(Refused):
        sent(ann, tmp_path / "wrong", tmp_path / "pictures")
    file = ann.export(project, "JSON", tmp_path / "accounts.json")
    keep(file, "label-studio/accounts.json", tmp_path)
    other = fresh()
    summary = import_scores(other, file)
    note(
        f"{name}, `--completed-by`",
        "the same, ann as an account's number and ben as an address",
        said(summary, given_by(other)),
        differences(given_by(handed), given_by(other)),
    )
    assert given_by(other) == given_by(handed)


def test_uploaded_pictures_are_found_again(
    accounts: list[Account],
    handed: Project,
    fresh: Callable[[], Project],
    note: Callable[..., None],
    keep: Callable[..., None],
    name: str,
    tmp_path: Path,
) -> None:
    ann, _ = accounts
    make_jpeg(tmp_path / "pictures" / LONG_NAME, 99)
    names = [*NAMES, LONG_NAME]
    export(handed, "label-studio", tmp_path / "studio", Plan())
    config = (tmp_path / "studio" / "config.xml").read_text(encoding="utf-8")
    project = ann.project(config)
    scores: dict[str, float] = {}
    for place, each in enumerate(names):
        ann.upload(f"/api/projects/{project}/import", tmp_path / "pictures" / each)
        ann.annotate(ann.tasks(project)[-1]["id"], number(place))
        scores[each] = place
    for form, file_name in FORMS.items():
        file = ann.export(project, form, tmp_path / file_name)
        keep(file, f"label-studio/uploaded/{file_name}", tmp_path)
        other = fresh()
        summary = import_scores(other, file)
        [after] = given_by(other).values()
        note(
            f"{name}, uploaded pictures, {form} back",
            f"{len(names)} files with awkward and long names, annotated there",
            f"{summary.taken} scores, {summary.by_name} found by name, {summary.refused} refused",
            "; ".join(f"{each} not found" for each in scores if each not in after) or "nothing",
        )
        assert after == scores


def test_other_controls_of_other_projects(
    accounts: list[Account],
    handed: Project,
    fresh: Callable[[], Project],
    note: Callable[..., None],
    keep: Callable[..., None],
    name: str,
    tmp_path: Path,
) -> None:
    ann, _ = accounts
    export(handed, "label-studio", tmp_path / "studio", Plan())
    for task in (tasks := read(tmp_path / "studio" / "tasks.json")):
        task["annotations"], task["predictions"] = [], []
    project = ann.project(EVERYTHING)
    ann.post(f"/api/projects/{project}/import", tasks)
    for place, task in enumerate(ann.tasks(project)[:3]):
        ann.annotate(
            task["id"],
            number([0, 4.5, 10][place], "points"),
            result("rating", [5, 1, 3][place], "stars"),
            result("choices", [["7"], ["3"], ["7"]][place], "grade"),
            result("textarea", ["a remark"], "remark") | {"value": {"text": ["a remark"]}},
        )
    wanted = {"points": [0, 4.5, 10], "stars": [0, 5, 10], "grade": [3, 7, 7]}
    for form, file_name in FORMS.items():
        file = ann.export(project, form, tmp_path / file_name)
        keep(file, f"label-studio/controls/{file_name}", tmp_path)
        for control, scores in wanted.items():
            other = fresh()
            scale = (1.0, 5.0) if control == "stars" else None
            summary = import_scores(other, file, ReadOptions(score_column=control, scale=scale))
            given = [value for one in given_by(other).values() for value in one.values()]
            note(
                f"{name}, `--score-column {control}`, {form} back",
                "three images with a number, stars, a choice and a text",
                f"{summary.taken} scores, {summary.refused} refused",
                "nothing" if sorted(given) == scores else f"{sorted(given)}, not {scores}",
            )
            assert sorted(given) == scores, (form, control)
