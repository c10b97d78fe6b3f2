"""Protects collections that img2dataset itself has downloaded, in each format that it writes.

A server of ours hands out the eight pictures; one address leads nowhere. What it wrote is imported
in place, its captions are tags, and its failures are told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

import db.images.locations
import db.images.tags
from labeler.collection.importing import import_paths
from labeler.core.project import Project
from tests.interop.environments import Peer
from tests.support.peer_files import NAMES, draw

CAPTIONS = ("cat, sleeping", "1girl, long_hair", "ünï, 日本", *[f"number {n}" for n in range(5)])


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[Path]:
    """A table of addresses on a server of ours, the last of which has nothing."""
    handler = partial(_Quiet, directory=str(draw(tmp_path)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    start = f"http://127.0.0.1:{server.server_port}/"
    lines = ["url,caption"]
    lines += [
        f'{start}{quote(name)},"{caption}"' for name, caption in zip(NAMES, CAPTIONS, strict=True)
    ]
    lines += [f"{start}nowhere.jpg,nothing"]
    (tmp_path / "addresses.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    yield tmp_path / "addresses.csv"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("written", ["files", "webdataset", "parquet"])
def test_its_downloads_come_in(
    peer: Callable[..., Peer],
    note: Callable[..., None],
    keep: Callable[..., None],
    addresses: Path,
    tmp_path: Path,
    written: str,
) -> None:
    img2dataset = peer("img2dataset")
    folder = tmp_path / written
    img2dataset.script("download.py", addresses, folder, written)
    project = Project.create(tmp_path / "project", encoder="lite")
    summary = import_paths(project, [folder], workers=1)
    paths = db.images.locations.ids_by_path(project.store)
    tags = db.images.tags.of_images(project.store, sorted(paths.values()))
    assert (summary.new, summary.unreadable) == (len(NAMES), [])
    ids = [paths[path] for path in sorted(paths)]
    assert tags[ids[0]] == ["cat", "sleeping"]
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            keep(file, f"img2dataset/{file.relative_to(tmp_path)}", tmp_path)
    note(
        f"img2dataset {img2dataset.version('img2dataset')}, `{written}`",
        f"{len(NAMES)} addresses with captions, and one that leads nowhere",
        f"{summary.new} images, captions as tags",
        "by it: names are keys, pictures are encoded anew; by us: nothing",
    )
    project.close()
