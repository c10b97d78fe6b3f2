"""A collection that is handed to other programs, and what these wrote of it.

The pictures are drawn the same way each time, so that what a peer wrote once (tests/assets/peers,
kept by `make interop PYTEST_ARGS=--keep`) speaks of pictures that a fast test can draw again.
"""

from __future__ import annotations

import io
import tarfile
from collections import defaultdict
from pathlib import Path

import db.images.locations
import db.images.tags
import db.scores.hand_scores
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from tests.support.collection import add_version
from tests.support.exported import FORMULA, UNICODE, embed, image_ids, score
from tests.support.pictures import make_jpeg

ASSETS = Path(__file__).parents[1] / "assets" / "peers"
PLACEHOLDER = "ROOT-OF-THE-RUN"  # in kept texts, for its folder without the first /

NAMES = ("a.jpg", "b c.jpg", UNICODE, FORMULA, "a[b]*?%20#.jpg", "k (1).jpg", "+x.jpg", "z.jpg")
LONG_NAME = f"{'long ' * 30}.jpg"  # longer than a server keeps it
SCORES = {
    "ann": {"a.jpg": 0, "b c.jpg": 10, UNICODE: 4.5, FORMULA: 7, "a[b]*?%20#.jpg": 3},
    "ben": {"a.jpg": 1, "b c.jpg": 10, "k (1).jpg": 2},
}


def draw(folder: Path) -> Path:
    """The eight pictures, in `folder`/pictures."""
    for number, name in enumerate(NAMES):
        make_jpeg(folder / "pictures" / name, number)
    return folder / "pictures"


def pack_shard(pictures: Path, folder: Path) -> Path:
    """`folder` with one shard of the pictures as webdataset has them, by number."""
    folder.mkdir()
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number, name in enumerate(NAMES):
            tar.add(pictures / name, f"{number:09}.jpg")
            told = tarfile.TarInfo(f"{number:09}.json")
            told.size = len(b"{}")
            tar.addfile(told, io.BytesIO(b"{}"))
    return folder


def make_unscored(folder: Path) -> Project:
    """A project in `folder`/project that knows the pictures and nothing else."""
    project = Project.create(folder / "project", encoder="lite")
    import_paths(project, [folder / "pictures"], source="=mine", workers=1)
    return project


def make_handed_over(folder: Path) -> Project:
    """The pictures, two people's scores, one taken back, tags, embeddings, a version."""
    draw(folder)
    project = make_unscored(folder)
    ids = {Path(path).name: i for path, i in db.images.locations.ids_by_path(project.store).items()}
    embed(project, image_ids(project))
    for scorer, given in SCORES.items():
        score(project, [(ids[name], value) for name, value in given.items()], scorer)
    db.images.tags.put(project.store, db.images.tags.TABLE, {ids["a.jpg"]: ["@home", "cat"]})
    add_version(project, noise=0.05, note="first")
    return project


def given_by(project: Project) -> dict[str, dict[str, float]]:
    """By scorer and file name the latest scores."""
    names = {
        image_id: Path(path).name
        for path, image_id in db.images.locations.ids_by_path(project.store).items()
    }
    given: dict[str, dict[str, float]] = defaultdict(dict)
    for scorer, (ids, values) in db.scores.hand_scores.by_scorer(project.store).items():
        for image_id, value in zip(ids.tolist(), values.tolist(), strict=True):
            given[scorer or ""][names[image_id]] = value
    return dict(given)


def kept(name: str, root: Path, folder: Path) -> Path:
    """What a peer wrote, below `folder`, as though it had run on the pictures in `root`."""
    to = folder / "kept" / name
    to.parent.mkdir(parents=True, exist_ok=True)
    held = (ASSETS / name).read_bytes()
    to.write_bytes(held.replace(PLACEHOLDER.encode(), str(root).lstrip("/").encode()))
    return to
