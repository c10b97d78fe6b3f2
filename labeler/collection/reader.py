"""Parallel reading of files: each is opened once, hashed and decoded; large ones get previews.

Hashing, decoding and resizing release Python's lock, so threads are as fast as processes, and
Ctrl-C leaves no process behind. A decoder that crashes ends the program; the next import knows
which files were being read (labeler.collection.crash_guard).
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
from labeler.collection.crash_guard import CrashGuard
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
# Most files, and most bytes, of the groups that threads read: one small file at a time would cost
# more for the hand-over than for the reading, and a stop waits for the groups that are being read.
# The first group is one file, and each next one up to twice as large, so that the first pictures
# are there at once.
GROUP_FILES = 16
GROUP_BYTES = 1 << 20
# Groups that are queued or finished. A finished file is a small record, so this costs little
# memory; it must suffice while a batch is recorded, else the threads are idle.
AHEAD_PER_WORKER = 16


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as the store has it since its last import."""

    source_id: int
    image_id: int
    mtime_ns: int
    size_bytes: int
    state: str
    content_hash: str | None
    pixel_hash: str | None

    def is_still(self, file: FoundFile) -> bool:
        """Return whether it was readable and its time and size are unchanged."""
        return self.state == "fine" and file.is_as_it_was(self.mtime_ns, self.size_bytes)


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reader of found files; pictures whose content is in `fine_hashes` are not decoded again."""

    project: Project
    fine_hashes: Collection[str | None]

    def files(
        self, waiting: Iterable[tuple[FoundFile, int]], workers: int | None = None
    ) -> Iterator[ImportedFile]:
        """Yield a record for each (file, source id), in order; close the generator to stop."""
        count = workers or min(os.cpu_count() or 1, MOST_WORKERS)
        groups = _groups(waiting)
        pool = ThreadPoolExecutor(count, thread_name_prefix="import")
        # Once for all files: changing the filters of warnings is slow.
        with quiet_pillow(), CrashGuard(self.project.runs_folder) as guard:
            try:
                ahead: deque[Future[list[ImportedFile]]] = deque()
                for group in islice(groups, count * AHEAD_PER_WORKER):
                    ahead.append(pool.submit(self._read_group, group, guard))
                while ahead:
                    records = ahead.popleft().result()
                    for group in islice(groups, 1):
                        ahead.append(pool.submit(self._read_group, group, guard))
                    yield from records
            finally:
                pool.shutdown(cancel_futures=True)

    def _read_group(
        self, group: list[tuple[FoundFile, int]], guard: CrashGuard
    ) -> list[ImportedFile]:
        return [self.read(file, source_id, guard) for file, source_id in group]

    def read(
        self, file: FoundFile, source_id: int, guard: CrashGuard | None = None
    ) -> ImportedFile:
        """Read one file; where that fails, the record has the reason."""
        try:
            if file.problem is not None:
                raise UnreadableImage(file.problem)
            if guard is not None:
                guard.start_reading(file.path)
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
            # Before hashing: it refuses videos and raw files, which are large.
            header = read_header(opened, path)
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
