"""Pictures, and projects at every stage of the loop, for tests that take something away from them.

Made by the commands themselves, each stage from the one before when it is first asked for.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from PIL import Image

from tests.support.collection import draw_pictures

ASSETS = Path(__file__).parents[1] / "assets"


@dataclass(frozen=True)
class Command:
    """The stage of the project that it starts from, and its words.

    They may name {out} (beside the project), {pictures}, {more} and {table}, which lie elsewhere.
    """

    stage: str
    words: str
    reads: bool = False  # of the project; it writes nowhere else, so nothing may stop it


COMMANDS = {
    "init": Command("none", "init {project} --encoder lite"),
    "import": Command("empty", "import {pictures}"),
    "label": Command("imported", "label 3 7"),
    "label-from": Command("imported", "label --from {table}"),
    "embed": Command("labelled", "embed"),
    "train": Command("embedded", "train"),
    "predict-copy": Command("trained", "predict {more} --copy-to {out} --sidecar json"),
    "predict-out": Command("trained", "predict {more} --out {out}.csv"),
    "export-dataset": Command("labelled", "export dataset {out}.parquet"),
    "export-imagefolder": Command("labelled", "export imagefolder {out}"),
    "export-model": Command("trained", "export model {out}"),
    "export-contact-sheet": Command("trained", "export contact-sheet {out}.png"),
    "status": Command("labelled", "status", reads=True),
    "review": Command("trained", "review", reads=True),
    "migrate": Command("old", "status"),
}
# Each stage: the one before it, and what makes it from that.
STAGES = {
    "empty": ("", "init {project} --encoder lite"),
    "imported": ("empty", "import {pictures}"),
    "labelled": ("imported", "label --from {table}"),
    "embedded": ("labelled", "embed"),
    "trained": ("embedded", "train"),
}


class World:
    """Lies on a disk with room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures, self.more = folder / "pictures", folder / "more"
        self.table = folder / "scores.csv"
        if not self.table.exists():
            self._draw()

    def _draw(self) -> None:
        draw_pictures(self.pictures, 30)
        for number in range(4):  # with a preview and a thumbnail of their own
            noise = Image.effect_noise((900, 700), 40 + 10 * number).convert("RGB")
            noise.save(self.pictures / f"large {number}.jpg", quality=90)
        draw_pictures(self.more, 12)
        names = sorted(self.pictures.iterdir())
        lines = [f"{path},{number % 11}" for number, path in enumerate(names)]
        self.table.write_text("\n".join(["path,score", *lines]))

    def stage(self, name: str) -> Path:
        """A project at that stage: to be copied, never to be changed."""
        project = self.folder / "stages" / name
        if project.exists():
            return project
        if name == "old":
            project.mkdir(parents=True)
            shutil.copy(ASSETS / "store-0001.sqlite", project / "labeler.sqlite")
            return project
        before, words = STAGES[name]
        if before:
            shutil.copytree(self.stage(before), project)
        done = invoke(self.words(Command(before or "none", words), project))
        assert done.exit_code == 0, done.output
        return project

    def words(self, command: Command, project: Path) -> list[str]:
        """The command line, for the project in that folder."""
        places = {
            "project": project,
            "out": project.parent / "out",
            "pictures": self.pictures,
            "more": self.more,
            "table": self.table,
        }
        words = [word.format(**places) for word in command.words.split()]
        return words if command.stage == "none" else ["--project", str(project), *words]

    def put(self, command: Command, disk: Path) -> Path:
        """Have nothing on `disk` but the project at the command's stage; returns its folder."""
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if command.stage != "none":
            shutil.copytree(self.stage(command.stage), disk / "taste")
        return disk / "taste"


def invoke(words: Sequence[str]) -> Result:
    """The command in this process."""
    from labeler.cli.main import labeler

    return CliRunner().invoke(labeler, list(words))


def outcome(disk: Path) -> dict[str, Any]:
    """What is on the disk, as far as a run that was never disturbed would have it the same."""
    found: dict[str, Any] = {"files": files(disk)}
    if (disk / "taste" / "labeler.sqlite").exists():
        found |= stored(disk / "taste")
    return found


def files(disk: Path) -> dict[str, str]:
    """What came out, and previews; of what holds times or figures the names alone."""
    found = {}
    for path in sorted(disk.rglob("*")):
        name = path.relative_to(disk).as_posix()
        if path.is_file() and name.startswith(("out", "taste/previews", "taste/thumbnails")):
            timed = name.endswith((".md", ".json", ".safetensors", ".parquet", ".csv"))
            found[name] = "" if timed else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def stored(project: Path) -> dict[str, Any]:
    """What the store says: scores, images, embeddings, versions; and whether it is sound."""
    with closing(sqlite3.connect(project / "labeler.sqlite")) as connection:

        def rows(query: str) -> list[str]:
            return sorted(map(str, connection.execute(query).fetchall()))

        return {
            "sound": rows("PRAGMA integrity_check") + rows("PRAGMA foreign_key_check"),
            "revision": rows("SELECT version_num FROM alembic_version"),
            "images": rows("SELECT content_hash, state, hand_score FROM images"),
            "scores": rows("SELECT image_id, value, undone_at FROM hand_scores"),
            "embeddings": rows("SELECT image_id, encoder_id FROM embeddings"),
            "versions": rows("SELECT name, file FROM versions"),
        }


def without_files(project: Path) -> list[str]:
    """Versions in the store whose weights are not there."""
    with closing(sqlite3.connect(project / "labeler.sqlite")) as connection:
        named = connection.execute("SELECT name, file FROM versions").fetchall()
    return [name for name, file in named if file and not (project / "models" / file).exists()]
