"""Reading many files at once: each is opened once, hashed and decoded; large ones are previewed.

Threads, not processes: hashing, decoding and resizing all run outside Python's lock, so two
threads are as fast as two processes, and Ctrl-C has nothing to clean up. A decoder that crashes
ends them all; the next import knows which files were in hand (labeler.collection.crash_guard).
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from db.records import ImportedFile, Pixels
from labeler.collection.crash_guard import InHand
from labeler.collection.discovery import FoundFile
from labeler.collection.previews import make_previews
from labeler.core.archives.opening import open_in_memory
from labeler.core.images.pixel_identity import pixels_of
from labeler.core.project import Project
from model.errors import UnreadableImage
from model.images.decode import quiet_pillow, read_header
from model.images.hashing import content_hash, difference_hash
from model.images.resize import is_large, small_image

MOST_WORKERS = 8
# Files are handed to the threads in groups, closed by either: a small picture takes little longer
# than handing it over, and who stops an import should not wait for a group of large ones. The first
# group is one file and each next one up to twice as large: the first pictures are there at once.
GROUP_FILES = 16
GROUP_BYTES = 1 << 20
# Groups. What was taken waits to be recorded as a few numbers, so this costs no memory; it has to
# last while a batch is recorded, else the threads stand idle.
AHEAD_PER_WORKER = 16


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a file: as it was when last imported."""

    source_id: int
    image_id: int
    mtime_ns: int
    size_bytes: int
    state: str
    content_hash: str | None
    pixel_hash: str | None

    def is_still(self, file: FoundFile) -> bool:
        """True if it was fine and seems to be what it was."""
        return self.state == "fine" and file.is_as_it_was(self.mtime_ns, self.size_bytes)


@dataclass(frozen=True, slots=True)
class Intake:
    """Turns found files into what is recorded; `fine_hashes` are of pictures already taken."""

    project: Project
    fine_hashes: Collection[str | None]

    def files(
        self, waiting: Iterable[tuple[FoundFile, int]], workers: int | None = None
    ) -> Iterator[ImportedFile]:
        """One record per (file, source id), in order; stops cleanly wherever it is left."""
        count = workers or min(os.cpu_count() or 1, MOST_WORKERS)
        groups = _groups(waiting)
        pool = ThreadPoolExecutor(count, thread_name_prefix="import")
        # Pillow is quieted once for the run: changing the warnings' filters is dear.
        with quiet_pillow(), InHand(self.project.runs_folder) as hand:
            try:
                ahead: deque[Future[list[ImportedFile]]] = deque()
                for group in islice(groups, count * AHEAD_PER_WORKER):
                    ahead.append(pool.submit(self._take_all, group, hand))
                while ahead:
                    taken = ahead.popleft().result()
                    for group in islice(groups, 1):
                        ahead.append(pool.submit(self._take_all, group, hand))
                    yield from taken
            finally:
                pool.shutdown(cancel_futures=True)

    def _take_all(self, group: list[tuple[FoundFile, int]], hand: InHand) -> list[ImportedFile]:
        return [self.take(file, source_id, hand) for file, source_id in group]

    def take(self, file: FoundFile, source_id: int, hand: InHand | None = None) -> ImportedFile:
        """Read one file; whatever is wrong with it becomes the record's reason."""
        try:
            if file.problem is not None:
                raise UnreadableImage(file.problem)
            if hand is not None:
                hand.take(file.path)
            return self._read(file, source_id)
        except UnreadableImage as error:
            return _record(file, source_id, reason=str(error))
        except OSError as error:
            reason = f"The file can't be read ({error.strerror}); check the disk and import again."
            return _record(file, source_id, reason=reason)

    def _read(self, file: FoundFile, source_id: int) -> ImportedFile:
        path = Path(file.path)
        with open_in_memory(path) as opened:
            if isinstance(opened, io.BytesIO):
                file = replace(file, size_bytes=len(opened.getbuffer()))
            header = read_header(opened, path)  # before hashing: films and raw files are large
            digest = content_hash(opened)
            if digest in self.fine_hashes:
                return _record(file, source_id, content_hash=digest)
            if is_large(header):
                picture = make_previews(self.project, digest, header, opened)
            else:
                picture = small_image(header, opened)
            pixels = pixels_of(header, picture)
        return _record(
            file,
            source_id,
            content_hash=digest,
            fingerprint=difference_hash(picture.image),
            format=picture.format,
            width=picture.width,
            height=picture.height,
            pixels=pixels,
        )


def _groups(
    waiting: Iterable[tuple[FoundFile, int]],
) -> Iterator[list[tuple[FoundFile, int]]]:
    group: list[tuple[FoundFile, int]] = []
    size, most = 0, 1
    for file, source_id in waiting:
        group.append((file, source_id))
        size += max(file.size_bytes, 0)
        if len(group) >= most or size >= GROUP_BYTES:
            yield group
            group, size, most = [], 0, min(2 * most, GROUP_FILES)
    if group:
        yield group


def _record(
    file: FoundFile, source_id: int, **described: str | int | Pixels | None
) -> ImportedFile:
    return ImportedFile(
        path=file.path,
        source_id=source_id,
        mtime_ns=file.mtime_ns,
        size_bytes=max(file.size_bytes, 0),
        **described,  # type: ignore[arg-type]
    )
