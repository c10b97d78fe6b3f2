"""Which module imports which, read from the syntax of each file, and which package may.

Imports inside functions count; imports for type checkers alone don't.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOTS = ("labeler", "model", "db")

# A package, and which others its modules may import. A floor is what stands above all that it
# imports; the arrows only lead down.
MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "db": set(),
    "labeler.core": {"model", "db"},
    "labeler.collection": {"labeler.core", "model", "db"},
    "labeler.embedding": {"labeler.core", "model", "db"},
    "labeler.scoring": {"labeler.collection", "labeler.core", "model", "db"},
    "labeler.versions": {
        *("labeler.collection", "labeler.embedding", "labeler.core"),
        *("model", "db"),
    },
    "labeler.review": {
        *("labeler.versions", "labeler.scoring", "labeler.collection", "labeler.embedding"),
        *("labeler.core", "model", "db"),
    },
    "labeler.prediction": {
        *("labeler.versions", "labeler.collection", "labeler.embedding", "labeler.core"),
        *("model", "db"),
    },
    "labeler.exports": {
        *("labeler.versions", "labeler.scoring", "labeler.collection", "labeler.core"),
        *("model", "db"),
    },
    "labeler.maintenance": {
        *("labeler.versions", "labeler.collection", "labeler.embedding", "labeler.core"),
        *("model", "db"),
    },
    "labeler.api": {
        *("labeler.exports", "labeler.prediction", "labeler.review", "labeler.versions"),
        *("labeler.scoring", "labeler.embedding", "labeler.collection", "labeler.core"),
        *("model", "db"),
    },
    "labeler.app": {
        *("labeler.review", "labeler.prediction", "labeler.exports", "labeler.maintenance"),
        *("labeler.versions", "labeler.scoring", "labeler.embedding", "labeler.collection"),
        *("labeler.core", "model", "db"),
    },
    "labeler.cli": {
        *("labeler.app", "labeler.review", "labeler.prediction", "labeler.exports"),
        *("labeler.maintenance", "labeler.versions", "labeler.scoring", "labeler.embedding"),
        *("labeler.collection", "labeler.core", "model", "db"),
    },
}

Graph = Mapping[str, set[str]]


def modules_in(code: Path) -> dict[str, Path]:
    """Dotted names of all modules of the product, with their files."""
    found = {}
    for root in ROOTS:
        for path in (code / root).rglob("*.py"):
            parts = path.relative_to(code).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path) -> Iterator[str]:
    """What a file imports, by its dotted name, of everything that it names."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    return visit(ast.parse(path.read_text(encoding="utf-8")))


def graph_of(modules: Mapping[str, Path]) -> dict[str, set[str]]:
    """Which modules each module imports."""
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        imported = set()
        for full in imports_of(path):
            target = full if full in modules else full.rpartition(".")[0]
            if target in modules and target != name:
                imported.add(target)
        graph[name] = imported
    return graph


def package_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "labeler" else parts[0]


def floor(package: str) -> int:
    return 1 + max((floor(each) for each in MAY_IMPORT[package]), default=0)
