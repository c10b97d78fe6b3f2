"""Protects the documents from promising what is not there.

Every `labeler …` and `make …` command in them exists with the options shown, and every command is
documented. Every relative link leads to a file, and to a heading of it. Every test that a document
names exists, every folder of the code has its line in docs/architecture.md, and the picture there
is the one that its script draws. The README stays short.
"""

from __future__ import annotations

import importlib
import re
import shlex
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from labeler.cli.main import labeler

CODE = Path(__file__).parents[1]
GUIDE = sorted((CODE / "docs").glob("*.md"))
DOCUMENTS = [CODE / "README.md", CODE / "CONTRIBUTING.md", *GUIDE]
LINKED = [*DOCUMENTS, CODE / "CHANGELOG.md", CODE / "benchmarks" / "README.md"]
PACKAGES = ("labeler", "model", "db")
LONGEST_README = 200  # lines
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
SEPARATOR = re.compile(r"&&|\|\||[;|]|(?<!\S)[<>]")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def in_code(text: str) -> Iterator[str]:
    """Each line of a code block and each inline code of a Markdown document."""
    for block in FENCE.findall(text):
        yield from block.splitlines()
    yield from INLINE.findall(FENCE.sub("", text))


def command_lines(text: str, program: str) -> Iterator[str]:
    """What follows `program` on each command line in the code of a Markdown document."""
    for line in in_code(text):
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
            option = option_of(command, name)
            if option is None and name not in ("--help", "-h", "--version"):
                return f"{command.name} has no {name}"
            if option is not None and not option.is_flag and not value and rest:
                rest.pop(0)
        elif isinstance(command, click.Group):
            if word not in command.commands:
                return f"{command.name} has no command {word}"
            command = command.commands[word]
    return None


def option_of(command: click.Command, name: str) -> click.Option | None:
    options = [each for each in command.params if isinstance(each, click.Option)]
    return next((each for each in options if name in (*each.opts, *each.secondary_opts)), None)


def commands(group: click.Group = labeler, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that a person may call, by its words: `export onnx`."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


def targets() -> set[str]:
    """What the Makefile can make."""
    text = (CODE / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


def anchor(heading: str) -> str:
    """The anchor that GitHub and MkDocs give a heading."""
    words = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    letters = unicodedata.normalize("NFKD", words)
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", letters))


def anchors(document: Path) -> set[str]:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    return {anchor(heading) for heading in HEADING.findall(text)}


def broken_links(document: Path) -> Iterator[str]:
    """The links of a document to files, or to headings, that are not there."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    for link in LINK.findall(INLINE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, place = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (place and place not in anchors(target)):
            yield link


def by_name(path: Path) -> str:
    return path.relative_to(CODE).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_command_shown_exists_with_its_flags(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    lines = list(command_lines(text, "labeler"))
    assert {line: why for line in lines if (why := problem(line))} == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_make_target_shown_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    shown = [line.split()[0] for line in command_lines(text, "make") if line]
    assert [name for name in shown if name not in targets() and "=" not in name] == []


def test_every_command_and_option_is_documented() -> None:
    code = [line for document in DOCUMENTS for line in in_code(document.read_text("utf-8"))]
    shown = [f"{line} " for line in code]
    words = {word for line in code for word in re.findall(r"--[a-z][a-z-]*", line)}
    missing = [name for name, _ in commands() if not any(f"labeler {name} " in x for x in shown)]
    options = {
        f"labeler {name} {option.opts[-1]}"
        for name, command in commands()
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
        if not words & {*option.opts, *option.secondary_opts}
    }
    assert [*missing, *sorted(options)] == []


def test_every_make_target_is_documented() -> None:
    text = (CODE / "docs" / "commands.md").read_text(encoding="utf-8")
    assert targets() - {line.split()[0] for line in command_lines(text, "make") if line} == set()


@pytest.mark.parametrize("document", LINKED, ids=by_name)
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    assert list(broken_links(document)) == []


def test_a_broken_link_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("# One `two`: three's – four\n```\n# no heading\n```\n", "utf-8")
    good = "[a](b.md) [b](b.md#one-two-threes--four) [c](#here) [d](https://e.org/#f) `[x](y)`"
    (tmp_path / "a.md").write_text(
        f"# Here\n{good} [e](c.md) [f](b.md#no-heading) ![g](g.png)\n", "utf-8"
    )
    assert list(broken_links(tmp_path / "a.md")) == ["c.md", "b.md#no-heading", "g.png"]


def test_every_page_is_in_the_navigation_of_the_site_and_of_the_index() -> None:
    navigation = (CODE / "mkdocs.yml").read_text(encoding="utf-8")
    index = (CODE / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in GUIDE}
    assert pages - set(re.findall(r"[\w-]+\.md", navigation)) == set()
    assert pages - set(re.findall(r"[\w-]+\.md", index)) - {"index.md"} == set()


def test_the_site_is_strict_and_asks_no_other_site() -> None:
    settings = (CODE / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert "://" not in settings
    assert settings.count(": warn") == 7  # with --strict each warning fails
    assert "mkdocs build --strict" in (CODE / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_test_and_file_named_exists(document: Path) -> None:
    names = [name for name in in_code(document.read_text("utf-8")) if " " not in name]
    tests = [name for name in names if re.fullmatch(r"(\w+/)*test_\w+\.py", name)]
    known = [path.as_posix() for path in (CODE / "tests").rglob("test_*.py")]
    missing = [name for name in tests if not any(path.endswith(f"/{name}") for path in known)]
    files = [
        name.rstrip("/")
        for name in names
        if name.startswith(tuple(f"{top}/" for top in (*PACKAGES, "docs", "tests", "benchmarks")))
        and name not in tests
        and re.fullmatch(r"[\w./-]+", name)
    ]
    assert [*missing, *(name for name in files if not (CODE / name).exists())] == []


def test_the_readme_is_short_and_shows_the_two_commands_and_the_loop() -> None:
    text = (CODE / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_README
    assert {"run", "test"} <= {line.split()[0] for line in command_lines(text, "make") if line}
    shown = " ".join(command_lines(text, "labeler"))
    for command in ("init", "import", "embed", "app", "train", "review", "export"):
        assert command in shown.split()


def test_the_architecture_has_a_line_for_each_folder_of_the_code() -> None:
    text = (CODE / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {
        f"{path.parent.relative_to(CODE).as_posix()}/"
        for package in PACKAGES
        for path in (CODE / package).rglob("*")
        if path.suffix in (".py", ".js") and path.stat().st_size
    }
    assert sorted(folders - set(re.findall(r"^\| `([\w/]+/)` \|", text, re.MULTILINE))) == []


def test_the_picture_of_the_architecture_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(CODE / "docs")
    draw = importlib.import_module("architecture_picture")
    drawn = (CODE / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert drawn == draw.picture(CODE), "run: python docs/architecture_picture.py"


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
