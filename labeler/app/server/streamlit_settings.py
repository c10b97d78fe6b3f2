"""Which files Streamlit takes its settings and secrets from: the person's own, and no others.

By itself it reads `.streamlit/` in the current folder, too. That may be a project that somebody
else has made: its secrets would say who may log in, and become the environment of this program.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from labeler.core.errors import LabelerError

FOLDER, CONFIG, SECRETS = ".streamlit", "config.toml", "secrets.toml"
LARGEST = 1_000_000  # bytes


def home_file(name: str) -> Path:
    """A file of Streamlit's in the person's home, which needn't exist."""
    return Path.home() / FOLDER / name


def load(told: Mapping[str, Any], secrets: Path | None) -> None:
    """Import Streamlit with the settings at home and those `told`, by the names of its options.

    The secrets are those in the file `secrets`, else those at home. Raises `LabelerError` with the
    file and what ails it.
    """
    config = home_file(CONFIG)
    found = read(config)
    chosen = secrets or home_file(SECRETS)
    if secrets is not None and not secrets.is_file():
        raise LabelerError(f"There is no file {secrets}; --secrets names the one with the login.")
    if chosen.suffix != ".toml":
        raise LabelerError(f"{chosen} is not called .toml; Streamlit reads no others as secrets.")
    read(chosen)
    with _in_our_own_folder():
        # Imported where they are used: Streamlit loads while its page is sent.
        from streamlit.web import bootstrap

        try:
            bootstrap.load_config_options({**told, "secrets.files": [str(chosen)]})
        except Exception as error:
            if not found:
                raise
            raise LabelerError(
                f"{config} holds what Streamlit can't use: {_line(error)}"
            ) from error


def read(path: Path) -> dict[str, Any]:
    """What a file of settings holds, nothing if there is none; raises `LabelerError` if it can't
    be read."""
    try:
        if not path.is_file():
            if path.exists():
                raise LabelerError(f"{path} is no file; move it away or put the settings there.")
            return {}
        if path.stat().st_size > LARGEST:
            raise LabelerError(f"{path} is too large for settings; move it away.")
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabelerError(
            f"{path} can't be read: {_line(error)}; mend it or move it away."
        ) from error
    odd = next((name for name, value in found.items() if not isinstance(value, dict)), None)
    if path.name == CONFIG and odd is not None:
        raise LabelerError(f"{path} can't be used: {odd} stands outside of any [section] there.")
    return found


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _in_our_own_folder() -> Iterator[None]:
    """The current folder is one of this program's, without such files, while Streamlit looks."""
    try:
        before = Path.cwd()
    except FileNotFoundError:  # It was removed meanwhile.
        before = None
    os.chdir(Path(__file__).parent)
    try:
        yield
    finally:
        if before is not None:
            with suppress(OSError):
                os.chdir(before)


def refuse_others(beside: Path) -> None:
    """Where Streamlit itself was started: its settings are to be the person's or this program's.

    `beside` is the script that it was started with; whoever can write there can write the program.
    Settings from elsewhere end it; secrets from elsewhere are not read. Raises `LabelerError`.
    """
    from streamlit import config

    ours = {home_file(CONFIG).parent, beside.resolve().parent / FOLDER}
    for name in config.get_config_options():
        came_from = Path(config.get_where_defined(name))
        if came_from.name == CONFIG and came_from.is_absolute() and came_from.parent not in ours:
            raise LabelerError(
                f"Settings of Streamlit lie in {came_from}, which may be somebody else's; start "
                f"it in {beside.parent}, or by: labeler app"
            )
    if not config.is_manually_set("secrets.files"):
        own = [str(folder / SECRETS) for folder in sorted(ours)]
        config.set_option("secrets.files", own)


def secrets_in_force() -> list[str]:
    """The files that Streamlit reads as secrets, those that are there."""
    from streamlit import config

    return [path for path in config.get_option("secrets.files") if Path(path).exists()]
