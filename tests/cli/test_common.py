"""Protects how the command line behaves at its edges: quick help, clean streams, honest exit codes.

Scripts and terminals rely on these: results on standard output and nothing else there, one sentence
on standard error, and no name of a file that can steer a terminal.
"""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from labeler.cli.common import Commands, Fraction
from labeler.cli.main import labeler
from labeler.cli.output import percent, progress_bar
from labeler.core.errors import BadInput
from labeler.core.text import bar_chart, printable
from tests.support.collection import make_collection

CODE = Path(__file__).parents[2]
HEAVY = ("torch", "pandas", "sqlalchemy", "streamlit", "numpy", "PIL", "scipy")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """The real program in a process of its own, from source."""
    environment = os.environ | {"PYTHONPATH": str(CODE)} | options.pop("env", {})  # type: ignore[operator]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60} | options
    command = [sys.executable, "-m", "labeler.cli", *arguments]
    return subprocess.run(command, env=environment, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with five images; these tests only read it."""
    project = make_collection(tmp_path_factory.mktemp("made"), images=5, scored=2)
    project.close()
    return project.folder


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from labeler.cli.main import labeler\n"
        "try: labeler(['--help'], prog_name='labeler')\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    environment = os.environ | {"PYTHONPATH": str(CODE)}
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env=environment, check=True, timeout=60
    )
    assert ended.stderr.decode().strip() == "[]"
    assert b"Usage: labeler" in ended.stdout


def commands() -> list[tuple[list[str], click.Command]]:
    """Every command with the words that name it, groups and hidden ones included."""
    found: list[tuple[list[str], click.Command]] = []

    def collect(words: list[str], command: click.Command) -> None:
        found.append((words, command))
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                collect([*words, name], inner)

    collect([], labeler)
    return found


@pytest.mark.parametrize(
    ("words", "command"), commands(), ids=lambda it: " ".join(it) if isinstance(it, list) else ""
)
def test_every_command_explains_itself_and_its_options(
    words: list[str], command: click.Command
) -> None:
    told = CliRunner().invoke(labeler, [*words, "--help"])
    assert told.exit_code == 0
    assert command.help
    if words:
        assert "..." not in command.get_short_help_str(limit=60), "its line in the list is cut off"
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, f"{parameter.opts} has no help"


def test_the_promised_commands_are_there_and_no_others() -> None:
    promised = {"init", "import", "embed", "label", "train", "versions", "review", "status"}
    promised |= {"audit", "rounds", "slices", "tag", "simulate", "predict", "export", "app", "demo"}
    promised |= {"card", "scorers", "import-embeddings", "backup", "restore", "doctor"}
    promised |= {"carry-over", "phantoms"}
    shown = [name for name, command in labeler.commands.items() if not command.hidden]
    assert set(shown) == promised
    export = labeler.commands["export"]
    assert isinstance(export, click.Group)
    assert sorted(export.commands) == [
        *(
            "cityclassifiers",
            "clip-retrieval",
            "contact-sheet",
            "data-card",
            "dataset",
            "imagefolder",
        ),
        *("label-studio", "model", "model-card", "onnx", "python", "score-folders"),
    ]


def test_json_is_one_document_alone_on_standard_output(folder: Path) -> None:
    ended = run("--project", str(folder), "status", "--json")
    assert ended.returncode == 0
    json.loads(ended.stdout)
    assert ended.stderr == b""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["status"], 1, "labeler init"),
        (["--project", "/nowhere/at/all", "status"], 1, "/nowhere/at/all"),
        (["nonsense"], 2, "No such command"),
        (["label"], 2, "IMAGE and SCORE"),
        (["predict"], 2, "PATH..."),
        (["predict", "x", "--min", "50"], 2, "write 0.5"),
        (["predict", "x", "--min", "nan"], 2, "from 0 to 1"),
        (["predict", "x", "--min", "0.9", "--max", "0.1"], 2, "above"),
        (["predict", "x", "--out", "list.txt"], 2, ".parquet"),
        (["import", "x", "--expect", "3"], 2, "LOW:HIGH"),
        (["import", "x", "--expect", "8:2"], 2, "LOW:HIGH"),
        (["import", "x", "--expect", "0:11"], 2, "LOW:HIGH"),
        (["init", "x", "--encoder", "clip-z99"], 1, "clip-z99"),
        (["review", "--queue", "all"], 2, "false-positive"),
        (["app", "--port", "0"], 2, "--port"),
    ],
)
def test_mistakes_are_told_on_standard_error_with_the_right_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LABELER_PROJECT", raising=False)
    ended = CliRunner().invoke(labeler, arguments)
    assert ended.exit_code == code
    assert ended.stdout == ""
    assert told in ended.stderr
    assert list(tmp_path.iterdir()) == []


def raised_by(error: BaseException) -> tuple[int, str]:
    """Exit code and standard error of a command that raises `error`."""

    @click.group(cls=Commands)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise error

    ended = CliRunner().invoke(group, ["fail"])
    assert "Traceback" not in ended.output
    return ended.exit_code, ended.stderr.strip()


def test_ctrl_c_says_how_to_go_on() -> None:
    assert raised_by(KeyboardInterrupt()) == (
        130,
        "Stopped; run the same command again to go on.",
    )


def test_a_full_disk_and_a_closed_folder_are_sentences() -> None:
    code, told = raised_by(OSError(errno.ENOSPC, "No space left on device", "/data/x.csv"))
    assert code == 1
    assert "/data/x.csv" in told
    assert "make room" in told
    code, told = raised_by(PermissionError(errno.EACCES, "Permission denied", "/root/x"))
    assert (code, "/root/x" in told) == (1, True)


def test_a_sentence_stays_one_line_and_cannot_steer_the_terminal() -> None:
    code, told = raised_by(BadInput("a\x1b[31m\nb\u202e.png is bad."))
    assert (code, told) == (1, r"a\x1b[31m\nb\u202e.png is bad.")


@pytest.mark.parametrize("written", ["0.5", "0,5", "50%", " 50 % "])
def test_a_fraction_may_be_a_percentage_or_have_a_decimal_comma(written: str) -> None:
    assert Fraction().convert(written, None, None) == 0.5


def test_a_name_that_begins_with_a_dash_is_told_how_to_be_written() -> None:
    done = CliRunner().invoke(labeler, ["label", "-dash.jpg", "6"])
    assert done.exit_code == 2
    assert "write ./-" in done.output


@pytest.mark.parametrize("written", ["half", "%", "150%", "0.5.5"])
def test_what_is_no_fraction_is_told(written: str) -> None:
    with pytest.raises(click.BadParameter, match="from 0 to 1"):
        Fraction().convert(written, None, None)


def test_a_bug_keeps_its_traceback() -> None:
    @click.group(cls=Commands)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(group, ["fail"]).exception, ZeroDivisionError)


def test_names_are_shown_whole_but_for_what_has_no_glyph() -> None:
    assert printable("日本語 é 🎨 [b].png") == "日本語 é 🎨 [b].png"
    assert printable("a\r\tb\udcff\u2028") == r"a\r\tb\udcff\u2028"


def test_a_name_the_locale_cannot_print_does_not_end_the_program(folder: Path) -> None:
    picture = folder.parent / "pictures" / "picture 000.png"
    beside = picture.rename(picture.with_name("émoji 🎨.png"))
    poor = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    try:
        ended = run("--project", str(folder), "import", str(beside.parent), env=poor)
        shown = run("--project", str(folder), "label", str(beside), "0", env=poor)
    finally:
        beside.rename(picture)
    assert (ended.returncode, shown.returncode) == (0, 0)
    assert b"Traceback" not in ended.stderr + shown.stderr
    assert b"moji" in shown.stdout


@pytest.mark.skipif(os.name != "posix", reason="pipes as on POSIX")
def test_a_reader_that_leaves_early_is_no_error_to_read_about(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = run("--project", str(folder), "status", stdout=writer)
    finally:
        os.close(writer)
    assert ended.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_result_that_cannot_be_written_is_a_failure(folder: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = run("--project", str(folder), "status", stdout=full)
    assert ended.returncode == 1
    assert b"make room" in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("prediction", "shown"),
    [(0.0, "0%"), (0.4999, "49%"), (0.5, "50%"), (0.29, "29%"), (0.999, "99%"), (1.0, "100%")],
)
def test_a_percentage_is_cut_so_that_50_means_passing(prediction: float, shown: str) -> None:
    assert percent(prediction) == shown


def test_bars_show_what_is_there_and_no_more() -> None:
    lines = lines_of(["0", "10", "unscored"], [40, 1, 900], 40)
    assert lines == [
        "       0      40 " + "█" * 40,
        "      10       1 █",
        "unscored     900 " + "█" * 40 + "…",
    ]
    assert lines_of(["0", "1"], [1, 1000], 1000)[0].endswith("▏")
    assert lines_of(["0"], [0], 0) == ["0       0"]


def lines_of(labels: Sequence[str], counts: Sequence[int], most: int) -> list[str]:
    return list(bar_chart(labels, counts, most))


def test_the_version_can_be_asked_for_without_installing() -> None:
    told = CliRunner().invoke(labeler, ["--version"])
    assert (told.exit_code, told.stdout.startswith("labeler")) == (0, True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_drawn_on_a_terminals_standard_error_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr("sys.stderr", stream)
        with progress_bar() as progress:
            progress(1, 2, "embedding")
            progress(2, 2, "embedding")
            progress(1, 1, "next\x1bphase")
        assert ("embedding: 100%" in stream.getvalue()) is drawn
        assert "next\x1bphase" not in stream.getvalue()
    assert capsys.readouterr().out == ""
