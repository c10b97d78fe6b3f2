"""Protects what processes of ours are started with: the environment of this program's own start.

The current folder may be somebody else's, full of modules that Python would take for its own, and
what a library puts into the environment later (Streamlit does so with secrets) is not the person's.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import labeler
from labeler.collection.crash_guard import crashes
from labeler.core.jobs import child_process

CODE = Path(labeler.__file__).parent.parent
# What starts processes in Python, wherever it is found.
STARTS = {
    "subprocess": {"Popen", "run", "call", "check_call", "check_output", "getoutput"},
    "os": {"system", "popen", "fork", "posix_spawn", "posix_spawnp"},
    "multiprocessing": {"Process", "Pool", "get_context", "set_start_method"},
}
MODULES = ("sitecustomize", "usercustomize", "multiprocessing", "pickle", "random", "click", "PIL")


@pytest.fixture
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: a received one, whose modules say so when they run."""
    folder = tmp_path / "received"
    for name in (*MODULES, "labeler", "model", "db"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a')\n")
    monkeypatch.chdir(folder)
    yield folder
    assert not (tmp_path / "ran").exists()


def told(expression: str) -> str:
    """What a process of ours says of itself."""
    code = f"import os, sys, labeler; print(({expression}))"
    done = child_process.run(child_process.python("-c", code), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(done.stdout).strip()


def test_what_came_into_the_environment_later_is_not_handed_on(
    strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(strange))
    monkeypatch.setenv("A_SECRET", "x")
    assert told("os.environ.get('A_SECRET')") == "None"
    assert told("labeler.__file__") == labeler.__file__
    assert str(strange) not in told("sys.path")


def test_the_persons_own_path_stays_where_it_means_the_same_everywhere(
    strange: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = os.pathsep.join(["", ".", "received", str(tmp_path / "installed")])
    mine = {"PYTHONPATH": given, "LABELER_TOKEN": "t" * 20, "HF_HOME": "/weights"}
    monkeypatch.setattr(child_process, "STARTED_WITH", dict(os.environ) | mine)
    assert child_process.environment()["PYTHONPATH"] == os.pathsep.join(
        [str(CODE), str(tmp_path / "installed")]
    )
    assert told("os.environ.get('LABELER_TOKEN'), os.environ['HF_HOME']") == "(None, '/weights')"


def test_a_file_that_may_crash_is_looked_at_by_our_own_code(strange: Path, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "fine.png")
    assert not crashes(str(tmp_path / "fine.png"))


def test_shared_work_is_done_by_our_own_code_and_the_environment_is_put_back(
    strange: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "x")
    before = dict(os.environ)
    with child_process.process_pool(1, os.getpid, ()) as pool:
        assert pool.submit(os.getenv, "A_SECRET").result() is None
        assert pool.submit(os.getcwd).result() == str(strange)
    assert dict(os.environ) == before


def test_started_as_a_module_nothing_else_is_imported_from_the_current_folder(
    tmp_path: Path,
) -> None:
    for name in ("click", "random", "streamlit", "sqlalchemy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('it ran')\n")
    done = subprocess.run(
        [sys.executable, "-m", "labeler.cli", "status", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CODE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_process_is_started_elsewhere() -> None:
    """One module starts them; a second way would be forgotten when the first is mended."""
    found = [
        f"{path.relative_to(CODE)}:{node.lineno}"
        for folder in ("labeler", "model", "db")
        for path in sorted((CODE / folder).rglob("*.py"))
        if path != CODE / "labeler" / "core" / "jobs" / "child_process.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if starts_a_process(node)
    ]
    assert found == []


def starts_a_process(node: ast.AST) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    if not (isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name)):
        return False
    replaces = called.value.id == "os" and called.attr.startswith(("exec", "spawn"))
    return replaces or called.attr in STARTS.get(called.value.id, ())
