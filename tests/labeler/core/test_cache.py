"""What an open project keeps: made once, the same until its stamp changes, given up when closed."""

from __future__ import annotations

import ast
import gc
import re
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labeler.core.cache import ProjectCache
from labeler.core.project import Project

PATIENCE = 60.0  # seconds
OF_A_PROJECT = {"Project", "Store", "Collection", "Standing", "UnitVectors"}


class Made:
    """A value of which nothing else is held."""


@pytest.fixture
def cache() -> ProjectCache:
    return ProjectCache()


def test_the_same_object_is_handed_out_while_the_stamp_is_equal(cache: ProjectCache) -> None:
    first = cache.get("kind", 1, (5, "a"), Made)
    assert cache.get("kind", 1, (5, "a"), Made) is first
    second = cache.get("kind", 1, (6, "a"), Made)
    assert second is not first
    assert cache.get("kind", 1, (6, "a"), Made) is second
    # An earlier stamp is another one: what was made with it is gone.
    assert cache.get("kind", 1, (5, "a"), Made) is not first


def test_what_is_none_is_kept_as_well(cache: ProjectCache) -> None:
    made: list[int] = []
    for _ in range(3):
        assert cache.get("kind", None, None, lambda: made.append(1)) is None
    assert made == [1]


def test_kinds_and_keys_are_apart(cache: ProjectCache) -> None:
    values = {
        (kind, key): cache.get(kind, key, None, Made, newest=2)
        for kind in ("one", "other")
        for key in (1, 2)
    }
    assert len(set(values.values())) == 4
    for (kind, key), value in values.items():
        assert cache.get(kind, key, None, Made, newest=2) is value


def test_the_newest_keys_of_a_kind_are_kept(cache: ProjectCache) -> None:
    first, second = (cache.get("kind", key, None, Made, newest=2) for key in (1, 2))
    assert cache.get("kind", 1, None, Made, newest=2) is first  # asked for last now
    cache.get("kind", 3, None, Made, newest=2)
    assert cache.get("kind", 1, None, Made, newest=2) is first
    gone = weakref.ref(second)
    del second
    gc.collect()
    assert gone() is None


def test_room_is_made_before_a_value_is(cache: ProjectCache) -> None:
    before = weakref.ref(cache.get("kind", 1, "then", Made))
    other = weakref.ref(cache.get("other", 1, None, Made))

    def replace() -> Made:
        gc.collect()
        assert before() is None
        return Made()

    cache.get("kind", 1, "now", replace)
    before = other
    cache.get("other", 2, None, replace)


def test_a_failure_is_raised_and_not_kept(cache: ProjectCache) -> None:
    def fail() -> Made:
        raise OSError("no room")

    for _ in range(2):
        with pytest.raises(OSError, match="no room"):
            cache.get("kind", 1, None, fail)
    made = cache.get("kind", 1, None, Made)
    assert cache.get("kind", 1, None, fail) is made


def test_many_threads_wait_for_one_computation_and_others_do_not_wait(cache: ProjectCache) -> None:
    begun, may_end, calls = threading.Event(), threading.Event(), []

    def slowly() -> Made:
        calls.append(1)
        begun.set()
        assert may_end.wait(PATIENCE)
        return Made()

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(cache.get, "kind", 1, None, slowly) for _ in range(8)]
        assert begun.wait(PATIENCE)
        # Another key, another stamp and another kind are made meanwhile.
        other = cache.get("kind", 2, None, Made, newest=2)
        assert cache.get("kind", 2, None, Made, newest=2) is other
        cache.get("other", 1, None, Made)
        may_end.set()
        values = {each.result(PATIENCE) for each in asked}
    assert len(values) == len(calls) == 1
    assert cache.get("kind", 1, None, Made, newest=2) in values


def test_a_new_stamp_does_not_wait_for_what_is_made_with_the_old_one(cache: ProjectCache) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slowly() -> Made:
        begun.set()
        assert may_end.wait(PATIENCE)
        return Made()

    with ThreadPoolExecutor(1) as threads:
        old = threads.submit(cache.get, "kind", 1, "old", slowly)
        assert begun.wait(PATIENCE)
        new = cache.get("kind", 1, "new", Made)
        may_end.set()
        assert old.result(PATIENCE) is not new
    assert cache.get("kind", 1, "new", Made) is new


def test_who_waits_for_a_failure_tries_itself(cache: ProjectCache) -> None:
    begun, may_end, calls = threading.Event(), threading.Event(), []

    def fail_first() -> Made:
        calls.append(1)
        if len(calls) > 1:
            return Made()
        begun.set()
        assert may_end.wait(PATIENCE)
        raise OSError("no room")

    with ThreadPoolExecutor(4) as threads:
        failed = threads.submit(cache.get, "kind", 1, None, fail_first)
        assert begun.wait(PATIENCE)
        others = [threads.submit(cache.get, "kind", 1, None, fail_first) for _ in range(3)]
        may_end.set()
        with pytest.raises(OSError, match="no room"):
            failed.result(PATIENCE)
        assert len({each.result(PATIENCE) for each in others}) == 1
    assert len(calls) == 2


def test_a_closed_project_keeps_nothing(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    cache = project.cache
    made = [weakref.ref(cache.get(kind, 1, None, Made)) for kind in ("one", "other")]

    def close() -> Made:
        project.close()
        return Made()

    made.append(weakref.ref(cache.get("being made", 1, None, close)))
    gc.collect()
    assert [each() for each in made] == [None, None, None]


def test_projects_share_nothing(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    again = Project(project.folder, project.store)
    assert again == project
    assert again.cache is not project.cache
    project.close()


def test_no_function_keeps_anything_of_a_project_by_itself() -> None:
    """What is kept for the life of the process is of no project, and has no unused stamp."""
    kept = [
        f"{path.name}:{found.lineno} {found.name}"
        for path in (Path(__file__).parents[3] / "labeler").rglob("*.py")
        for found in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(found, ast.FunctionDef)
        and any("cache" in ast.unparse(each).split("(")[0] for each in found.decorator_list)
        and "property" not in ast.unparse(found.decorator_list[0])
        and any(
            each.arg.startswith("_") or OF_A_PROJECT & set(_words(each.annotation))
            for each in (*found.args.args, *found.args.kwonlyargs)
        )
    ]
    assert kept == []


def _words(annotation: ast.expr | None) -> list[str]:
    return [] if annotation is None else re.findall(r"\w+", ast.unparse(annotation))
