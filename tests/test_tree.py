"""Protects the layout: who may import whom, no circles, and folders that can be read at a glance.

The imports and the table of packages are in tests/support/import_graph.py.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.import_graph import (
    MAY_IMPORT,
    Graph,
    floor,
    graph_of,
    imports_of,
    modules_in,
    package_of,
)

CODE = Path(__file__).parents[1]

# Within db/, from below: each folder and module imports only what stands before it.
DB_FLOORS = (
    ("errors", "records"),
    ("store",),
    ("query_parts",),
    ("jobs", "images"),
    ("scores",),
    ("versions",),
    ("importing",),
    ("repair",),
)
MOST_FLOORS = 7
MOST_ENTRIES = 13  # of labeler/: folders and modules
MOST_MODULES = 20  # of a folder
WITH_CODE = {"labeler", "model"}  # their `__init__` does what must come before any import


def circle_in(graph: Graph) -> list[str]:
    """The first circle that is found, as a path whose ends are the same; empty without any."""
    done: set[str] = set()

    def walk(name: str, above: list[str]) -> list[str]:
        if name in above:
            return [*above[above.index(name) :], name]
        if name in done:
            return []
        for each in sorted(graph.get(name, ())):
            if circle := walk(each, [*above, name]):
                return circle
        done.add(name)
        return []

    for name in sorted(graph):
        if circle := walk(name, []):
            return circle
    return []


def upward(graph: Graph) -> list[str]:
    """Imports from one package to another that the table doesn't allow."""
    return [
        f"{name} imports {each}"
        for name, imported in sorted(graph.items())
        for each in sorted(imported)
        if name != "labeler"
        and package_of(each) != package_of(name)
        and package_of(each) not in MAY_IMPORT[package_of(name)]
    ]


@pytest.fixture(scope="module")
def modules() -> dict[str, Path]:
    return modules_in(CODE)


@pytest.fixture(scope="module")
def graph(modules: dict[str, Path]) -> dict[str, set[str]]:
    return graph_of(modules)


def test_no_import_runs_in_a_circle(graph: dict[str, set[str]]) -> None:
    assert circle_in(graph) == []


def test_packages_import_only_what_stands_below_them(graph: dict[str, set[str]]) -> None:
    assert upward(graph) == []


def test_folders_of_the_store_import_only_those_below(graph: dict[str, set[str]]) -> None:
    floors = {name: number for number, names in enumerate(DB_FLOORS) for name in names}
    for name in graph.keys() - {"db"}:
        for each in graph[name] if name.startswith("db.") else ():
            own, other = name.split(".")[1], each.split(".")[1]
            assert own == other or floors[other] < floors[own], f"{name} imports {each}"


def test_the_table_names_every_package_and_has_few_floors(modules: dict[str, Path]) -> None:
    assert {package_of(name) for name in modules} - {"labeler"} == set(MAY_IMPORT)
    assert circle_in(MAY_IMPORT) == []
    assert max(floor(package) for package in MAY_IMPORT) <= MOST_FLOORS


def test_folders_are_short_and_say_what_lives_there(modules: dict[str, Path]) -> None:
    entries = {name for name in modules if name.count(".") == 1 and name.startswith("labeler.")}
    assert len(entries | {"labeler.__init__"}) <= MOST_ENTRIES
    for name, path in modules.items():
        if path.name != "__init__.py":
            continue
        body = ast.parse(path.read_text(encoding="utf-8")).body
        beside = [each for each in path.parent.glob("*.py") if each != path]
        assert len(beside) <= MOST_MODULES, name
        assert body and ast.get_docstring(ast.Module(body, [])), f"{name} says nothing of itself"
        assert len(body) == 1 or name in WITH_CODE, f"{name} holds more than its docstring"


def test_names_come_from_the_module_that_defines_them(modules: dict[str, Path]) -> None:
    """A name that is handed on has two addresses, of which one is forgotten."""
    defined = {name: names_in(path) for name, path in modules.items()}
    handed_on = [
        f"{name} imports {full}"
        for name, path in modules.items()
        for full in imports_of(path)
        if full not in modules
        and (source := full.rpartition(".")[0]) in modules
        and source not in WITH_CODE
        and full.rpartition(".")[2] not in defined[source]
    ]
    assert handed_on == []


def names_in(path: Path) -> set[str]:
    """What a module itself defines, wherever in its syntax."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_imports_inside_functions_say_why(modules: dict[str, Path]) -> None:
    """On the line, on the line above, or once in the module: "# Imported where …"."""
    silent = {name: lines for name, path in modules.items() if (lines := unexplained_imports(path))}
    assert silent == {}


def unexplained_imports(path: Path) -> list[int]:
    """The lines of a module's imports inside functions that no comment explains."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    if any(line.strip().startswith("# Imported where") for line in lines):
        return []
    found = {
        node.lineno
        for function in ast.walk(ast.parse(source))
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    return sorted(
        number
        for number in found
        if "#" not in lines[number - 1] and not lines[number - 2].strip().startswith("#")
    )


def test_that_test_sees_an_import_without_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "late.py"
    path.write_text(
        "def late():\n    import torch\n    import json  # small\n    # Slow.\n    import b\n"
    )
    assert unexplained_imports(path) == [2]
    path.write_text(
        "def late():\n    # Imported where they are used: slow.\n    import b\n\n    import c\n"
    )
    assert unexplained_imports(path) == []


def test_these_tests_see_circles_and_arrows_upward(tmp_path: Path) -> None:
    for name, text in {
        "model/a.py": "def late():\n    from model.b import B\n",
        "model/b.py": "import model.a\nB = 1\n",
        "db/rows.py": "from labeler.core import text\n",
        "labeler/core/text.py": "if TYPE_CHECKING:\n    import labeler.app\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    graph = graph_of(modules_in(tmp_path))
    assert circle_in(graph) == ["model.a", "model.b", "model.a"]
    assert upward(graph) == ["db.rows imports labeler.core.text"]
