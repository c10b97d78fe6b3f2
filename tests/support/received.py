"""A project as somebody else might hand it over: links, pipes and folders under names of its own.

Beside it lies a person's folder that has nothing to do with it; whatever is done with the project,
that stays as it is, to the byte and the second, and nothing of it turns up anywhere else.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import stat
import struct
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from click.testing import CliRunner
from PIL import Image

from labeler.cli.main import labeler
from labeler.collection.importing import import_paths
from labeler.core.project import STORE_FILE
from labeler.versions.train import train
from tests.support.collection import draw_pictures, make_collection

ASSETS = Path(__file__).parents[1] / "assets"
LONG_AGO = 1_600_000_000
MARK = b"a person's own words, of no business to anybody"
DIGEST = "ab" * 32
MAGIC = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"
KINDS = ("link to a file", "link to a folder", "link to nothing", "pipe", "folder", "file")
Listing = dict[str, tuple[object, ...]]


@dataclass
class Sandbox:
    """`project` is what was received, `person` what nobody may touch, `out` where exports go."""

    place: Path
    project: Path = field(init=False)
    person: Path = field(init=False)
    out: Path = field(init=False)
    pictures: Path = field(init=False)

    def __post_init__(self) -> None:
        self.project, self.person = self.place / "project", self.place / "person"
        self.out, self.pictures = self.place / "out", self.place / "pictures"


def make(place: Path) -> None:
    """A trained project with large pictures in PLACE/project, for `sandbox` to copy."""
    project = make_collection(place, images=24, scored=22)
    for number in range(3):
        large = Image.new("RGB", (640, 480), (40 * number, 90, 200))
        large.save(place / "pictures" / f"large {number}.png")
    import_paths(project, [place / "pictures"], source="gradients", workers=1)
    train(project)
    project.close()


def sandbox(made: Path, place: Path) -> Sandbox:
    """A copy of what `make` made, with a person's files beside it."""
    shutil.copytree(made, place, dirs_exist_ok=True)
    box = Sandbox(place)
    box.out.mkdir()
    make_person(box.person)
    draw_pictures(place / "more", 3)
    with closing(sqlite3.connect(box.project / STORE_FILE)) as store:
        store.execute("UPDATE locations SET path = replace(path, ?, ?)", (str(made), str(place)))
        store.execute("UPDATE sources SET root = replace(root, ?, ?)", (str(made), str(place)))
        store.commit()
    return box


def make_person(folder: Path) -> None:
    """Files of every kind that the program writes, reads or removes, and some of no kind."""
    (folder / "ab").mkdir(parents=True)
    (folder / "sub").mkdir()
    for name in (
        "thesis.txt",
        "holiday.jpg",
        f"{DIGEST}.jpg",
        f"ab/{DIGEST}.jpg",
        "ab/holiday.jpg",
        "v1.0.safetensors",
        "v1.0.config.json",
        "v9.9.safetensors.part",
        "1-0-9.npy",
        "77.log",
        "77.alive",
        "reading-1-1",
        "suspects",
        ".labeler-0011223344556677.part",
        ".labeler.sqlite.77.part",
        "sub/deep.txt",
    ):
        (folder / name).write_bytes(MARK)
    Image.new("RGB", (40, 30), (9, 90, 9)).save(folder / "own.jpg", comment=MARK)
    with closing(sqlite3.connect(folder / "own.sqlite")) as store:
        store.execute("CREATE TABLE predicted (a)")
        store.execute("INSERT INTO predicted VALUES (?)", (MARK,))
        store.commit()
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (LONG_AGO, LONG_AGO))


def listing(folder: Path) -> Listing:
    """All that is in a folder and itself: kind, permissions, size, time, links, content."""
    found: Listing = {}
    for path in sorted((folder, *folder.rglob("*"))):
        told = path.lstat()
        content = ""
        if stat.S_ISREG(told.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = (
            told.st_mode, told.st_mtime_ns, told.st_ino, told.st_nlink, content
        )  # fmt: skip
    return found


def leaks(box: Sandbox) -> list[str]:
    """Files outside the person's folder that hold the person's words."""
    found = []
    for path in box.place.rglob("*"):
        inside = path.is_relative_to(box.person)
        if not inside and not path.is_symlink() and path.is_file() and MARK in path.read_bytes():
            found.append(str(path.relative_to(box.place)))
    return found


def plant(path: Path, kind: str, target: Path) -> None:
    """Put something else in the place of what is at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_folder(path):
        path.rename(path.with_name(f"{path.name} before {random.getrandbits(32):x}"))
    else:
        path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
        (path / "x.jpg").write_bytes(b"x")
    elif kind == "file":
        path.write_bytes(b"nothing that anybody could read")
    else:
        path.symlink_to(target)


def names(rng: random.Random, folder: Path) -> list[str]:
    """Names that the program writes, reads or removes below a project's folder."""
    there = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != STORE_FILE]
    version = f"models/v{rng.randint(1, 1)}.{rng.randint(0, 2)}"
    made = [
        "labeler.sqlite-wal",
        "labeler.sqlite-shm",
        "labeler.sqlite-journal",
        "labeler.sqlite.before-0004",
        "labeler.sqlite.before-0004.partial",
        "labeler.sqlite.before-0004.partial-journal",
        *("models", "previews", "thumbnails", "runs", "sketches", "added", "exports"),
        f"previews/{rng.choice('0123456789abcdef')}{rng.choice('0123456789abcdef')}",
        "previews/ab",
        f"previews/ab/{DIGEST}.jpg",
        *(f"{version}{end}" for end in (".safetensors", ".config.json", ".opinion.npz")),
        *(f"{version}{end}.part" for end in (".safetensors", ".config.json", ".opinion.npz")),
        *(f"runs/{n}{end}" for n in (1, 2, 3) for end in (".log", ".alive", ".alive-new")),
        "runs/try.log",
        "runs/predicted.sqlite",
        "runs/predicted.sqlite-wal",
        "runs/suspects",
        f"runs/reading-{os.getpid()}-1",
        "runs/reading-1-1",
        "runs/reading-list",
        "sketches/1-0-24.npy",
        "exports/list.csv",
        "exports/data",
        "exports/data/train",
        "exports/data/.labeler-export",
        "added/new.png",
        *(scratch(folder / name) for name in ("models/v1.1.safetensors", "exports/list.csv")),
    ]
    return there + made


def scratch(path: Path) -> str:
    """The name of what is written before the file at `path` is."""
    told = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    return f"{path.parent.name}/.labeler-{told}.part"


def disturb(
    rng: random.Random, box: Sandbox, count: int, kinds: Sequence[str] = KINDS, *, deep: bool
) -> list[str]:
    """Replace `count` random names; returns what was done, to be read where it went wrong.

    `deep` leaves the folders of the project, without which nothing goes on.
    """
    done = []
    for _ in range(count):
        known = names(rng, box.project)
        if deep:
            known = [name for name in known if "." in name]
        name, kind = rng.choice(known), rng.choice(kinds)
        people = [path for path in box.person.rglob("*") if path.is_file()]
        target = {
            "link to a file": rng.choice(people),
            "link to a folder": rng.choice([box.person, box.person / "ab"]),
        }.get(kind, box.person / f"new {rng.randint(0, 9)}")
        path = box.project / name
        if any(os.path.lexists(each) and not _is_folder(each) for each in path.parents):
            continue
        if kind == "file" and name.startswith("models/"):
            continue  # What a head's file says is a matter of other tests.
        plant(path, kind, target)
        done.append(f"{name}: {kind} ({target.name})")
    return done


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def journal_naming(store: Path, victim: Path) -> bytes:
    """A rollback journal for `store` after which SQLite removes `victim`."""
    pages = store.stat().st_size // 8192
    header = MAGIC + struct.pack(">IIIII", 0, 1234, pages, 512, 8192)
    name = os.fsencode(victim)
    locked = struct.pack(">I", 0x40000000 // 8192 + 1)
    return (
        header.ljust(512, b"\0") + locked + name + struct.pack(">II", len(name), sum(name)) + MAGIC
    )


def commands(box: Sandbox) -> Iterator[list[str]]:
    """Everyday commands, in the order of a day."""
    project, out = box.project, box.out
    (box.place / "scores.csv").write_text("path,score\npicture 023.png,4\n")
    yield ["status"]
    yield ["doctor"]
    yield ["import", str(box.pictures), str(box.place / "more")]
    yield ["embed"]
    yield ["label", "--from", str(box.place / "scores.csv")]
    yield ["train", "--note", "x"]
    yield ["review"]
    yield ["versions"]
    yield ["versions", "activate", "v1.0"]
    yield ["predict", str(box.pictures), "--copy-to", str(project / "exports" / "copies")]
    yield ["predict", str(box.pictures), "--link", "sym", "--copy-to", str(out / "linked")]
    yield ["export", "dataset", str(project / "exports" / "list.csv")]
    yield ["export", "imagefolder", str(project / "exports" / "data")]
    yield ["export", "imagefolder", str(out / "data")]
    yield ["export", "model", str(out / "model")]
    yield ["export", "python", str(out / "score.py")]
    yield ["export", "model-card", str(out / "card")]
    yield ["export", "contact-sheet", str(out / "sheet.png"), "--top", "9"]
    yield ["backup", str(out / "taste.tar")]
    yield ["backup", str(project / "taste.sqlite")]
    yield ["audit"]
    yield ["slices"]
    yield ["doctor", "--repair"]
    yield ["status", "--json"]


def run(box: Sandbox, words: list[str], seconds: int = 60) -> str | None:
    """What went wrong with one command: a traceback, or it hangs; None for an answer."""
    try:
        with _at_most(seconds):
            ended = CliRunner().invoke(labeler, ["--project", str(box.project), *words])
    except TimeoutError:
        return f"{words} hangs"
    if ended.exception is None or isinstance(ended.exception, SystemExit):
        return None
    if isinstance(ended.exception, TimeoutError):
        return f"{words} hangs:\n" + "".join(traceback.format_exception(*ended.exc_info)[-4:])
    return f"{words}:\n" + "".join(traceback.format_exception(*ended.exc_info)[-8:])


def in_time(what: Callable[[], object], seconds: int = 20) -> None:
    """Do it; raises `TimeoutError` where it hangs."""
    with _at_most(seconds):
        what()


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def over(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"It took more than {seconds} s.")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
