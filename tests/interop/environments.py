"""The peers' own programs, each in an environment of its own, as their makers publish them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CODE = Path(__file__).resolve().parents[2]
PLACE = Path(os.environ.get("LABELER_INTEROP", CODE / ".interop"))
SCRIPTS = Path(__file__).parent / "peers"
INSTALLED = ".installed"


class NotHad(Exception):
    """A peer that can't be had on this machine, and why."""


class Peer:
    """An environment with one peer in it; nothing of ours is installed there."""

    def __init__(self, name: str, requirements: tuple[str, ...]) -> None:
        self.folder = PLACE / name
        self.bin = self.folder / "bin"
        self._requirements = requirements or (name,)
        self._install()

    def _install(self) -> None:
        """Install it unless these requirements are there; raises `NotHad` with pip's last words."""
        noted, wanted = self.folder / INSTALLED, "\n".join(self._requirements)
        if noted.is_file() and noted.read_text() == wanted:
            return
        if not (self.bin / "python").is_file():
            subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)
        pip = [self.bin / "python", "-m", "pip", "install", "--quiet", *self._requirements]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise NotHad(said[-1].removeprefix("ERROR: ") if said else "pip failed")
        noted.write_text(wanted)

    def version(self, package: str) -> str:
        asked = f"from importlib.metadata import version; print(version({package!r}))"
        return self._output([self.bin / "python", "-c", asked]).strip()

    def script(self, name: str, *words: object) -> Any:
        """What the script of this name in peers/ prints as its last line, which is JSON."""
        said = self._output([self.bin / "python", SCRIPTS / name, *map(str, words)])
        return json.loads(said.splitlines()[-1])

    def _output(self, command: list[object]) -> str:
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=clean_environment(),
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout


def clean_environment(**more: str) -> dict[str, str]:
    """Ours without what would lead a peer to our own packages, or out of this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    offline = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "NO_ALBUMENTATIONS_UPDATE": "1"}
    return kept | offline | more
