"""Protects paths as people type and paste them: addresses of files, quotes, blanks and `~` lead
where they are meant to, on every page and on the command line; what is no path of this machine is
told.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from labeler.app.sections.export_targets import typed_output_path
from labeler.app.widgets.path_input import preview_path
from labeler.cli.main import labeler
from labeler.core.errors import BadInput
from labeler.core.files.typed_paths import typed_path
from tests.support.collection import draw_pictures


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "My Pictures é"
    made.mkdir()
    (made / "x.jpg").write_bytes(b"no picture")
    return made


def ways(folder: Path) -> list[str]:
    """Of writing a folder that is there."""
    uri = folder.as_uri()
    return [
        str(folder),
        f"  {folder}/ \n",
        f'"{folder}"',
        f"'{folder}'",
        f"“{folder}”",
        f'"{folder}',
        f"\u202a{folder}\u202c",
        uri,
        f"{uri}/",
        f"'{uri}'",
        uri.replace("file://", "file://localhost"),
        uri.replace("file://", "FILE://"),
        uri.replace("file://", "file:"),
        uri.removeprefix("file://"),
        f"~/{folder.name}",
        f'"~/{folder.name}" ',
        str(folder).replace(" ", "\\ "),
    ]


@pytest.mark.parametrize("way", range(17))
def test_a_folder_is_found_in_each_way_of_writing_it(folder: Path, way: int) -> None:
    text = ways(folder)[way]
    assert typed_path(text) == folder
    assert (
        preview_path(text).problem,
        preview_path(text).path,
        preview_path(text).files,
    ) == (None, folder, 1)
    assert typed_output_path(text) == folder


def test_what_is_new_is_made_where_it_is_meant(folder: Path) -> None:
    for text in (
        f"{folder.as_uri()}/new%20one",
        f"{folder.as_uri().removeprefix('file://')}/new%20one",
        f"'{folder}/new one' ",
        f"~/{folder.name}/new one",
    ):
        assert typed_output_path(text) == folder / "new one"


@pytest.mark.parametrize(
    "name", ["100%20", "a%2Fb", " blank ", "'quoted'", "back\\ slash", "C:\\x"]
)
def test_odd_names_that_are_there_stay_what_they_are(folder: Path, name: str) -> None:
    odd = folder / name
    odd.mkdir()
    assert typed_path(str(odd)) == odd
    assert typed_path(odd.as_uri()) == odd
    if not name.startswith(" "):
        assert typed_path(f"  {odd}") == odd


def test_a_percent_sign_in_a_new_name_is_one(folder: Path) -> None:
    assert typed_path(str(folder / "50%25")) == folder / "50%25"
    assert typed_path("out/new") == Path("out/new")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("C:\\Users\\me\\Pictures", "drive letter"),
        ("d:/pictures", "drive letter"),
        ("file:///C:/Users/me", "drive letter"),
        ("\\\\server\\share\\x", "share in the network"),
        ("smb://server/share", "is an address"),
        ("https://example.org/a.jpg", "is an address"),
        ("file://elsewhere/home/x", "on the machine elsewhere"),
        ("~nobody-of-this-name/x", "no account"),
        ("/a\n/b", "one path at a time"),
        ("/a\0b", "character 0"),
        ("file:///a%00b", "character 0"),
    ],
)
def test_what_is_no_path_here_is_told_in_one_sentence(folder: Path, text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        typed_path(text)
    assert told in (preview_path(text).problem or "")
    with pytest.raises(BadInput, match=told):
        typed_output_path(text)
    done = CliRunner().invoke(labeler, ["--project", text, "status"])
    assert done.exit_code == 2
    assert told in " ".join(done.output.split())


def test_the_command_line_takes_them_too(folder: Path, tmp_path: Path) -> None:
    draw_pictures(folder, 2)
    project = f"{tmp_path.as_uri()}/my%20taste"
    for words in (
        ["init", project, "--encoder", "lite"],
        ["--project", project, "import", folder.as_uri()],
        ["--project", project, "label", f"{folder.as_uri()}/picture%20000.png", "7"],
        ["--project", project, "export", "dataset", f"{tmp_path.as_uri()}/my%20list.csv"],
        ["--project", project, "backup", "~/my backup.sqlite"],
    ):
        done = CliRunner().invoke(labeler, words)
        assert done.exit_code == 0, done.output
    there = {path.name for path in tmp_path.iterdir()}
    assert there >= {"my taste", "my list.csv", "my backup.sqlite"}
    assert not [name for name in there if "%" in name or "file:" in name]
