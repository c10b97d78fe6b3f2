"""Take Streamlit's settings and secrets from the person's own files, and from no others.

By itself Streamlit reads `.streamlit/` in the current folder, too. That may be a project that
somebody else has made: its secrets would decide who may log in, and become the environment of this
program.
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
MAX_BYTES = 1_000_000  # bytes


def home_file(name: str) -> Path:
    """Return the path of a file of Streamlit's in the person's home; it needn't exist."""
    return Path.home() / FOLDER / name


def load(options: Mapping[str, Any], secrets: Path | None) -> None:
    """Import Streamlit with the settings at home and `options`, by their names.

    The secrets are those in the file `secrets`, else those at home. Raises `LabelerError` with the
    file and what is wrong with it.
    """
    config = home_file(CONFIG)
    settings = read_toml(config)
    chosen = secrets or home_file(SECRETS)
    if secrets is not None and not secrets.is_file():
        raise LabelerError(f"There is no file {secrets}; --secrets names the one with the login.")
    if chosen.suffix != ".toml":
        raise LabelerError(f"{chosen} is not called .toml; Streamlit reads no others as secrets.")
    read_toml(chosen)
    with _in_package_folder():
        # Imported where they are used: Streamlit loads while its page is sent.
        from streamlit.web import bootstrap

        try:
            bootstrap.load_config_options({**options, "secrets.files": [str(chosen)]})
        except Exception as error:
            if not settings:
                raise
            raise LabelerError(
                f"{config} holds what Streamlit can't use: {_one_line(error)}"
            ) from error


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a settings file, {} without one; raise `LabelerError` for bad ones."""
    try:
        if not path.is_file():
            if path.exists():
                raise LabelerError(f"{path} is no file; move it away or put the settings there.")
            return {}
        if path.stat().st_size > MAX_BYTES:
            raise LabelerError(f"{path} is too large for settings; move it away.")
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabelerError(
            f"{path} can't be read: {_one_line(error)}; mend it or move it away."
        ) from error
    stray = next((name for name, value in settings.items() if not isinstance(value, dict)), None)
    if path.name == CONFIG and stray is not None:
        raise LabelerError(f"{path} can't be used: {stray} stands outside of any [section] there.")
    return settings


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _in_package_folder() -> Iterator[None]:
    """Work in a folder of this program, without `.streamlit/`, while Streamlit looks for one."""
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


def refuse_foreign_settings(script: Path) -> None:
    """Check, where Streamlit itself was started, that its settings are the person's or ours.

    `script` is the file that Streamlit was started with; who can write beside it can write the
    program. Raises `LabelerError` for settings from elsewhere; secrets from elsewhere are not read.
    """
    from streamlit import config

    allowed = {home_file(CONFIG).parent, script.resolve().parent / FOLDER}
    for name in config.get_config_options():
        source = Path(config.get_where_defined(name))
        if source.name == CONFIG and source.is_absolute() and source.parent not in allowed:
            raise LabelerError(
                f"Settings of Streamlit lie in {source}, which may be somebody else's; start "
                f"it in {script.parent}, or by: labeler app"
            )
    if not config.is_manually_set("secrets.files"):
        own = [str(folder / SECRETS) for folder in sorted(allowed)]
        config.set_option("secrets.files", own)


def active_secrets_files() -> list[str]:
    """Return the secrets files that Streamlit reads and that exist."""
    from streamlit import config

    return [path for path in config.get_option("secrets.files") if Path(path).exists()]
