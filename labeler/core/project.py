"""A project is one folder: the store, the trained models, the previews.

Only paths and settings live here. Nothing heavy is imported before a project is opened: commands
that only look for its folder answer at once.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from db.store.regular_files import NotPlain, check_folder, make_folders
from labeler.core.cache import ProjectCache
from labeler.core.errors import BadInput, LabelerError, NoProject
from labeler.core.files.typed_paths import typed_path
from labeler.core.settings import (
    AUDIT_EVERY,
    DEFAULT_REPEAT_EVERY,
    DEFAULT_THRESHOLD,
    FEWEST_REPEAT_EVERY,
    MOST_AUDIT_EVERY,
    MOST_REPEAT_EVERY,
    REPEAT_EVERY,
    THRESHOLD,
    may_repeat_every,
)
from model.encoders.names import canonical

if TYPE_CHECKING:
    from db.store.store import Store

STORE_FILE = "labeler.sqlite"
# No program may open these but by SQLite: whoever closes one drops all locks that its process has
# on the store, and the next to come takes the store for abandoned.
STORE_FILES = frozenset(f"{STORE_FILE}{end}" for end in ("", "-wal", "-shm", "-journal"))
DEFAULT_ENCODER = "clip-l14"
FEWEST_TO_TRAIN = 20  # scored images
OF_SMALL_COPIES = ("previews", "thumbnails")  # in folders named by the first two digits
SUBFOLDERS = ("models", *OF_SMALL_COPIES, "runs")
OWN_FOLDERS = (*SUBFOLDERS, "sketches", "added")
_PRIVATE = 0o700
_SMALL_COPY = re.compile(r"([0-9a-f]{2})[0-9a-f]{62}\.jpg")


def is_small_copy(folder: str, name: str) -> bool:
    """Return whether a file in the folder of previews or thumbnails is one of ours.

    Others may lie there, where a project was made among somebody's pictures.
    """
    named = _SMALL_COPY.fullmatch(name)
    return named is not None and named[1] == folder


@dataclass(frozen=True)
class Project:
    """An open project; safe to share between threads."""

    folder: Path
    store: Store
    cache: ProjectCache = field(default_factory=ProjectCache, compare=False, repr=False)

    @classmethod
    def create(cls, folder: Path, encoder: str = DEFAULT_ENCODER) -> Project:
        """Make an empty project in `folder` (made if needed).

        Raises `LabelerError` if there is one already or the folder can't be written, `ModelError`
        for an encoder name that nobody knows.
        """
        # Imported where they are used: finding a project does without SQLAlchemy.
        from db.store.store import Store

        folder = folder.expanduser().resolve()
        identity = canonical(encoder)
        if (folder / STORE_FILE).exists():
            raise LabelerError(
                f"{folder} is a project already; use it with --project {shlex.quote(str(folder))}"
            )
        try:
            _make_private(folder)
            for name in SUBFOLDERS:
                make_folders(folder / name, folder)
        except OSError as error:
            raise LabelerError(
                f"Can't make a project in {folder}: {error.strerror}; choose a folder that you own."
            ) from error
        settings = {"encoder": identity, "threshold": str(DEFAULT_THRESHOLD)}
        return cls(folder, Store.create(folder / STORE_FILE, settings))

    @classmethod
    def open(cls, folder: Path, patience: float | None = None) -> Project:
        """Open the project in `folder`; raises `NoProject`, or `StoreError` for an unusable store.

        `patience` is how many seconds to wait for other writers, by default the store's.
        """
        from db.store.store import Store

        folder = find_folder(folder)
        check_folders(folder)
        path = folder / STORE_FILE
        return cls(folder, Store.open(path) if patience is None else Store.open(path, patience))

    @property
    def encoder(self) -> str:
        """Canonical identity of the encoder that this project's head reads."""
        return self.store.setting("encoder") or canonical(DEFAULT_ENCODER)

    @property
    def threshold(self) -> float:
        """Return the prediction, 0–1, from which an image passes."""
        return THRESHOLD.read(self.store)

    def set_threshold(self, threshold: float) -> None:
        """Set the threshold for every page and command; raises `BadInput` outside 0–1."""
        if not 0 < threshold < 1:
            raise BadInput(f"A threshold of {threshold} is not between 0 and 1; 0.5 is usual.")
        self.store.set_setting("threshold", str(threshold))

    @property
    def audit_every(self) -> int:
        """Return N, where one in N images shown for scoring is drawn at random; 0: none is."""
        return AUDIT_EVERY.read(self.store)

    def set_audit_every(self, number: int) -> None:
        """Set how often a random check is mixed in; raises `BadInput` outside 0–1000."""
        if not 0 <= number <= MOST_AUDIT_EVERY:
            raise BadInput(
                f"One random check in {number} images can't be; give 2 to {MOST_AUDIT_EVERY}, 1 "
                "for all of them or 0 for none; 10 is usual."
            )
        self.store.set_setting("audit_every", str(number))

    @property
    def repeat_every(self) -> int:
        """One in so many images shown for scoring is one scored a while ago; 0 is never."""
        return REPEAT_EVERY.read(self.store)

    def set_repeat_every(self, number: int) -> None:
        """Set how often an image is shown once more; raises `BadInput` outside 5–1000 and 0."""
        if not may_repeat_every(number):
            raise BadInput(
                f"One repeat in {number} images can't be; give {FEWEST_REPEAT_EVERY} to "
                f"{MOST_REPEAT_EVERY}, or 0 for none; {DEFAULT_REPEAT_EVERY} is usual."
            )
        self.store.set_setting("repeat_every", str(number))

    @property
    def models(self) -> Path:
        """Return the folder of the versions' files."""
        return self.folder / "models"

    @property
    def previews(self) -> Path:
        """Return the folder of the previews."""
        return self.folder / "previews"

    @property
    def thumbnails(self) -> Path:
        """Return the folder of the thumbnails."""
        return self.folder / "thumbnails"

    @property
    def sketches(self) -> Path:
        """Return the folder of quantized embeddings (labeler/embedding/quantized_index.py).

        It may be removed; it is made again.
        """
        return self.folder / "sketches"

    @property
    def runs_folder(self) -> Path:
        """Return the folder of the background jobs' logs and locks."""
        return self.folder / "runs"

    def close(self) -> None:
        """Drop what is kept in memory, and close the store."""
        self.cache.clear()
        self.store.close()


def check_folders(folder: Path) -> None:
    """Raise `LabelerError` where a folder of the project's own is a link, or no folder.

    A project may have come from somebody else, and lead anywhere: what is made, read and removed
    in these folders would be a person's own files.
    """
    try:
        for name in OWN_FOLDERS:
            check_folder(folder / name)
        for name in OF_SMALL_COPIES:
            for inner in _links_in(folder / name):
                check_folder(inner)
    except NotPlain as error:
        raise LabelerError(
            f"{error.sentence()} To keep a project on another disk, move all of its folder there."
        ) from error


def _links_in(folder: Path) -> list[Path]:
    if not check_folder(folder):
        return []
    with suppress(PermissionError), os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if entry.is_symlink()]
    return []


def open_to_others(folder: Path) -> str | None:
    """Return what other accounts may do with the project's folder: "read", "write" or None."""
    modes = [(folder / name).stat().st_mode for name in (".", STORE_FILE)]
    if modes[0] & 0o022 or (modes[0] & 0o011 and modes[1] & 0o022):
        return "write"
    return "read" if modes[0] & 0o011 and modes[1] & 0o044 else None


def _make_private(folder: Path) -> None:
    """The folder of a new project, its owner's alone unless it was there with something in it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(_PRIVATE)
    except FileExistsError:
        mode = folder.stat().st_mode
        # Whoever gave it a group's bit meant it for that group.
        if not mode & stat.S_ISGID and not any(folder.iterdir()):
            folder.chmod(stat.S_IMODE(mode) & _PRIVATE)


def is_project(folder: Path) -> bool:
    """Return whether the folder holds a project's store."""
    return (folder / STORE_FILE).is_file()


def find_folder(given: Path | None = None, *, lost: bool = False, may_be_new: bool = False) -> Path:
    """Return the project's folder: `given` (--project), else LABELER_PROJECT, else the current one.

    Raises `NoProject` if there is none; the store is not opened. A folder that was named may have
    `lost` its store; with `may_be_new` it may hold no project yet, if one can be made there.
    """
    named = given or (typed_path(env) if (env := os.environ.get("LABELER_PROJECT")) else None)
    if named is None and not is_project(Path.cwd()):
        raise NoProject(
            "The current folder is not a project; name one with --project DIR or LABELER_PROJECT, "
            "or make one with: labeler init DIR"
        )
    folder = (named or Path.cwd()).expanduser().resolve()
    if lost and named is not None:
        return folder
    if not is_project(folder):
        if (folder / f"{STORE_FILE}-wal").exists():
            raise NoProject(
                f"{folder} has lost its {STORE_FILE}, only the log of it is left; restore a backup "
                f"with: labeler restore FILE {shlex.quote(str(folder))}"
            )
        if may_be_new and named is not None:
            _check_place(folder)
            return folder
        raise NoProject(
            f"{folder} is not a project; make one with: labeler init {shlex.quote(str(folder))}"
        )
    return folder


def _check_place(folder: Path) -> None:
    """Raise `LabelerError` where no project can be made."""
    there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if not there.is_dir():
        raise LabelerError(f"{there} is a file, not a folder; name a folder with --project DIR.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise LabelerError(
            f"Can't make a project in {folder}: {there} may not be written; choose a folder that "
            "you own."
        )


def find_project(folder: Path | None = None) -> Project:
    """Open the project in the folder that `find_folder` finds; raises as `Project.open` does."""
    return Project.open(find_folder(folder))


def preview_path(project: Project, content_hash: str) -> Path:
    """Return the path of a content's preview (JPEG, at most 1024 px), whether it exists or not."""
    return project.previews / content_hash[:2] / f"{content_hash}.jpg"


def thumbnail_path(project: Project, content_hash: str) -> Path:
    """Return the path of a content's thumbnail (JPEG, 192 to 384 px), if its preview is larger."""
    return project.thumbnails / content_hash[:2] / f"{content_hash}.jpg"
