"""Protects from the settings of strangers: Streamlit's files come from home or the command line.

A received folder may hold a `.streamlit`: a login whose secret its author knows, values that would
become the environment of every process, settings, or a file that nobody can read.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from streamlit import config

from labeler.app.server import launch, streamlit_settings
from labeler.core.errors import LabelerError

CODE = Path(__file__).parents[3]
LOGIN = """
PYTHONPATH = "/of/a/stranger"
[auth]
redirect_uri = "http://127.0.0.1/oauth2callback"
cookie_secret = "{}"
client_id = "x"
client_secret = "x"
server_metadata_url = "http://provider.example"
[labeler]
people = ["{}@example.org"]
"""
# What the app itself does when it starts, and what it comes to.
TELLS = """
import os, sys, labeler
from pathlib import Path
from labeler.app.security import logins
from labeler.app.server import launch, streamlit_settings
from labeler.core.errors import LabelerError
from labeler.core.jobs.child_process import environment
try:
    named = Path(sys.argv[1]) if sys.argv[1:] else None
    streamlit_settings.load(launch.streamlit_options("127.0.0.1", 8501), named)
except LabelerError as error:
    sys.exit(str(error))
from streamlit import config
print(logins.active_login_message())
print(config.get_option("server.maxUploadSize"), config.get_option("server.enableStaticServing"))
print(environment()["PYTHONPATH"], Path.cwd())
"""


@dataclass
class Places:
    home: Path
    received: Path

    def write(self, place: Path, name: str, text: str | bytes) -> Path:
        path = place / ".streamlit" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def told(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What an app says that is started in the received folder."""
        return subprocess.run(
            [sys.executable, "-P", "-c", TELLS, *arguments],
            cwd=self.received,
            env=os.environ | {"HOME": str(self.home), "PYTHONPATH": str(CODE)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(tmp_path / "home", tmp_path / "received")
    found.home.mkdir()
    found.received.mkdir()
    return found


def test_a_received_folder_says_nothing(places: Places) -> None:
    places.write(places.received, "secrets.toml", LOGIN.format("s" * 32, "eve"))
    places.write(
        places.received, "config.toml", "[server]\nmaxUploadSize = 9\nenableStaticServing = true\n"
    )
    done = places.told()
    assert (done.returncode, done.stderr) == (0, "")
    login, settings, environment = done.stdout.splitlines()
    assert (login, settings) == ("None", "50 False")
    assert environment == f"{CODE} {places.received}"


def test_a_received_file_that_is_none_is_not_even_looked_at(places: Places) -> None:
    places.write(places.received, "config.toml", "[server\n")
    places.write(places.received, "secrets.toml", b"\xff\xfe")
    done = places.told()
    assert (done.returncode, done.stderr) == (0, "")


def test_the_persons_own_files_count_and_stay_out_of_other_processes(places: Places) -> None:
    places.write(places.received, "secrets.toml", LOGIN.format("s" * 32, "eve"))
    own = places.write(places.home, "secrets.toml", LOGIN.format("t" * 32, "ann"))
    places.write(places.home, "config.toml", "[server]\nenableStaticServing = true\n")
    login, settings, environment = places.told().stdout.splitlines()
    assert login == f"The login in {own} lets in: ann@example.org."
    assert settings == "50 True"
    assert environment.startswith(f"{CODE} ")


def test_the_command_line_names_another_file(places: Places) -> None:
    places.write(places.home, "secrets.toml", LOGIN.format("t" * 32, "ann"))
    named = places.home / "team.toml"
    named.write_text(LOGIN.format("u" * 32, "ben"))
    assert f"{named} lets in: ben@example.org." in places.told(str(named)).stdout
    missing = places.told(str(places.home / "none.toml"))
    assert (missing.returncode, "none.toml" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.toml", b"[server\n"),
        ("config.toml", b"\xff"),
        ("config.toml", b"server = 1\n"),
        ("secrets.toml", b"[auth\n"),
        ("secrets.toml", b"\xff"),
    ],
)
def test_a_file_that_is_broken_is_named_in_a_sentence(
    tmp_path: Path, name: str, text: bytes
) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(LabelerError, match=str(tmp_path / name)):
        streamlit_settings.read_toml(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    ["[server\n", "[server]\nxsrfCookieSameSite = 5\n", "[theme.light.sidebar.dark]\nx = 1\n"],
)
def test_settings_at_home_that_cannot_be_used_end_the_app_in_a_sentence(
    places: Places, text: str
) -> None:
    path = places.write(places.home, "config.toml", text)
    done = places.told()
    assert done.returncode == 1
    assert str(path) in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    os.mkfifo(tmp_path / "secrets.toml")
    for name in ("config.toml", "secrets.toml"):
        with pytest.raises(LabelerError, match="is no file"):
            streamlit_settings.read_toml(tmp_path / name)
    (tmp_path / "large.toml").write_bytes(b"#" * (streamlit_settings.MAX_BYTES + 1))
    with pytest.raises(LabelerError, match="too large"):
        streamlit_settings.read_toml(tmp_path / "large.toml")


@pytest.fixture
def read_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Streamlit as `streamlit run` loads it in a folder; its settings are put back."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".streamlit").mkdir()
    monkeypatch.setattr(config, "_config_options", config._config_options)
    return tmp_path


def test_started_by_streamlit_in_a_received_folder_it_ends(read_from: Path) -> None:
    settings = read_from / ".streamlit" / "config.toml"
    settings.write_text("[server]\nenableStaticServing = true\n")
    config.get_config_options(force_reparse=True)
    with pytest.raises(LabelerError, match=str(settings)):
        streamlit_settings.refuse_foreign_settings(launch.app_script())


def test_started_by_streamlit_a_received_login_is_not_read(read_from: Path) -> None:
    (read_from / ".streamlit" / "secrets.toml").write_text(LOGIN.format("s" * 32, "eve"))
    config.get_config_options(force_reparse=True)
    streamlit_settings.refuse_foreign_settings(launch.app_script())
    beside = launch.app_script().parent / ".streamlit" / "secrets.toml"
    home = Path.home() / ".streamlit" / "secrets.toml"
    assert set(config.get_option("secrets.files")) == {str(beside), str(home)}


def test_started_beside_the_program_its_own_settings_count(
    read_from: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CODE)
    config.get_config_options(force_reparse=True)
    streamlit_settings.refuse_foreign_settings(launch.app_script())
    assert config.get_option("server.address") == "127.0.0.1"
