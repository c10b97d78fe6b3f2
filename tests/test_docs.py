"""Protects the documentation from promising what isn't there.

Every `labeler …` and `make …` command in the README and in docs/ exists with the flags shown.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from labeler.cli.main import labeler

CODE = Path(__file__).parents[1]
DOCUMENTS = [CODE / "README.md", *sorted((CODE / "docs").glob("*.md"))]
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
SEPARATOR = re.compile(r"&&|\|\||[;|]|(?<!\S)[<>]")


def command_lines(text: str, program: str) -> Iterator[str]:
    """What follows `program` on each command line in the code of a Markdown document."""
    blocks = [line for block in FENCE.findall(text) for line in block.splitlines()]
    for line in [*blocks, *INLINE.findall(FENCE.sub("", text))]:
        for part in SEPARATOR.split(re.sub(r"(?<!\S)#.*", "", line)):
            words = part.strip().removeprefix("$ ").strip()
            while re.match(r"[A-Z_]+=\S* ", words):
                words = words.partition(" ")[2]
            if words == program or words.startswith(f"{program} "):
                yield words.removeprefix(program).strip()


def problem(line: str) -> str | None:
    """Why `labeler LINE` can't be run, or None."""
    command: click.Command = labeler
    rest = [word.strip("[](),…") for word in shlex.split(line)]
    while rest:
        word = rest.pop(0)
        if word.startswith("-"):
            name, _, value = word.partition("=")
            options = [p for p in command.params if isinstance(p, click.Option)]
            option = next((p for p in options if name in (*p.opts, *p.secondary_opts)), None)
            if option is None and name not in ("--help", "-h", "--version"):
                return f"{command.name} has no {name}"
            if option is not None and not option.is_flag and not value and rest:
                rest.pop(0)
        elif isinstance(command, click.Group):
            if word not in command.commands:
                return f"{command.name} has no command {word}"
            command = command.commands[word]
    return None


def targets() -> set[str]:
    """What the Makefile can make."""
    text = (CODE / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_shown_exists_with_its_flags(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    lines = list(command_lines(text, "labeler"))
    assert {line: why for line in lines if (why := problem(line))} == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_shown_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    shown = [line.split()[0] for line in command_lines(text, "make") if line]
    assert [name for name in shown if name not in targets() and "=" not in name] == []


def test_the_readme_shows_the_two_commands_and_the_loop() -> None:
    text = (CODE / "README.md").read_text(encoding="utf-8")
    assert {"run", "test"} <= {line.split()[0] for line in command_lines(text, "make") if line}
    shown = " ".join(command_lines(text, "labeler"))
    for command in ("init", "import", "embed", "app", "train", "review", "export"):
        assert command in shown.split()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("import ~/pictures --source mine --expect 0:1", None),
        ("--project taste export dataset OUT [--format csv]", None),
        ("label --from scores.csv", None),
        ("import ~/pictures --recursive", "import has no --recursive"),
        ("rate", "labeler has no command rate"),
        ("export images OUT", "export has no command images"),
    ],
)
def test_a_wrong_command_would_be_noticed(line: str, told: str | None) -> None:
    assert problem(line) == told


def test_command_lines_are_found_in_blocks_and_in_text() -> None:
    text = "Run `make run`.\n```sh\n$ labeler init x && labeler embed  # now\n```\nSee `labeler`."
    assert list(command_lines(text, "labeler")) == ["init x", "embed", ""]
    assert list(command_lines(text, "make")) == ["run"]
