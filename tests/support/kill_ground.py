"""What killed commands start from: pictures that stay where they are, and projects to copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

import db.images.locations
import db.scores.events
from db.records import Event
from labeler.core.project import Project
from tests.support.killing import Commands
from tests.support.shades import draw_shades
from tests.support.store_rows import later


@dataclass(frozen=True)
class Ground:
    """The folders of a test: pictures that stay where they are, and projects to start from."""

    folder: Path
    commands: Commands

    def pictures(self, name: str, count: int) -> Path:
        folder = self.folder / "pictures" / name
        if not folder.exists():
            draw_shades(folder, count, seed=len(list(folder.parent.glob("*"))))
            for path in sorted(folder.iterdir())[:: count // 10]:  # some that get previews at once
                with Image.open(path) as small:
                    small.resize((800, 600)).save(path.with_suffix(".jpg"), quality=80)
                path.unlink()
        return folder

    def made(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder with a project `name`, made by `make` when it is first asked for."""
        folder = self.folder / "made" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            make(folder)
        return folder

    def run(self, folder: Path, *words: object) -> None:
        """A command that nobody disturbs."""
        ended = self.commands(folder / "project", [str(word) for word in words])
        assert ended.code == 0, ended.said

    def empty(self) -> Path:
        def make(folder: Path) -> None:
            Project.create(folder / "project", encoder="lite").close()

        return self.made("empty", make)

    def scored(self, count: int = 30) -> Path:
        """A project with `count` pictures, all scored."""

        def make(folder: Path) -> None:
            shutil.copytree(self.empty(), folder, dirs_exist_ok=True)
            self.run(folder, "import", self.pictures("scored", count))
            project = Project.open(folder / "project")
            give_all(project)
            project.close()

        return self.made(f"scored {count}", make)

    def trained(self, count: int = 30) -> Path:
        """The same with embeddings and a first version."""

        def make(folder: Path) -> None:
            shutil.copytree(self.scored(count), folder, dirs_exist_ok=True)
            self.run(folder, "train")

        return self.made(f"trained {count}", make)


def give_all(project: Project) -> None:
    """A score for every picture: the brighter, the better."""
    by_path = sorted(db.images.locations.ids_by_path(project.store).items())
    events = [
        Event(
            event_id=f"given-{number}",
            kind="score",
            image_id=image_id,
            at=later(number),
            value=round(10 * number / len(by_path), 1),
            scorer="ann",
        )
        for number, (_, image_id) in enumerate(by_path)
    ]
    assert all(receipt.accepted for receipt in db.scores.events.record(project.store, events))
