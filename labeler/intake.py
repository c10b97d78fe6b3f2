"""Reading many files at once: each is opened once, hashed, decoded and previewed.

Threads, not processes: hashing, decoding and resizing all run outside Python's lock, so two
threads are as fast as two processes, and Ctrl-C has nothing to clean up.
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
from typing import BinaryIO

from db.records import ImportedFile
from labeler.errors import UnreadableImage
from labeler.finding import FoundFile
from labeler.fingerprints import content_hash, look
from labeler.pictures import open_regular, quiet_pillow, read_header
from labeler.previews import has_preview, make_previews
from labeler.project import Project

MOST_WORKERS = 8
# Files are handed to the threads in groups, closed by either: a small picture takes little longer
# than handing it over, and who stops an import should not wait for a group of large ones.
GROUP_FILES = 16
GROUP_BYTES = 1 << 20
# Groups. What was taken waits to be recorded as a few numbers, so this costs no memory; it has to
# last while a batch is recorded, else the threads stand idle.
AHEAD_PER_WORKER = 16
# A file up to this size is read once, into memory, to be hashed and decoded from there.
IN_MEMORY = 16 << 20


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a file: as it was when last imported."""

    source_id: int
    mtime_ns: int
    size_bytes: int
    state: str
    content_hash: str | None

    def is_still(self, file: FoundFile) -> bool:
        """True if the file need not be opened; one that could not be read is always tried again."""
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
        with quiet_pillow():  # once for the run: changing the warnings' filters is dear
            try:
                ahead: deque[Future[list[ImportedFile]]] = deque()
                for group in islice(groups, count * AHEAD_PER_WORKER):
                    ahead.append(pool.submit(self._take_all, group))
                while ahead:
                    taken = ahead.popleft().result()
                    for group in islice(groups, 1):
                        ahead.append(pool.submit(self._take_all, group))
                    yield from taken
            finally:
                pool.shutdown(cancel_futures=True)

    def _take_all(self, group: list[tuple[FoundFile, int]]) -> list[ImportedFile]:
        return [self.take(file, source_id) for file, source_id in group]

    def take(self, file: FoundFile, source_id: int) -> ImportedFile:
        """Read one file; whatever is wrong with it becomes the record's reason."""
        try:
            if file.problem is not None:
                raise UnreadableImage(file.problem)
            return self._read(file, source_id)
        except UnreadableImage as error:
            return _record(file, source_id, reason=str(error))
        except OSError as error:
            reason = f"The file can't be read ({error.strerror}); check the disk and import again."
            return _record(file, source_id, reason=reason)

    def _read(self, file: FoundFile, source_id: int) -> ImportedFile:
        path = Path(file.path)
        with _opened(path, file.size_bytes) as opened:
            if isinstance(opened, io.BytesIO):
                file = replace(file, size_bytes=len(opened.getbuffer()))
            header = read_header(opened, path)  # before hashing: films and raw files are large
            digest = content_hash(opened)
            if digest in self.fine_hashes and has_preview(self.project, digest):
                return _record(file, source_id, content_hash=digest)
            data = opened.getvalue() if isinstance(opened, io.BytesIO) else b""
            picture = make_previews(self.project, digest, header, data)
        return _record(
            file,
            source_id,
            content_hash=digest,
            fingerprint=look(picture.image),
            format=picture.format,
            width=picture.width,
            height=picture.height,
        )


def _groups(
    waiting: Iterable[tuple[FoundFile, int]],
) -> Iterator[list[tuple[FoundFile, int]]]:
    group: list[tuple[FoundFile, int]] = []
    size = 0
    for file, source_id in waiting:
        group.append((file, source_id))
        size += max(file.size_bytes, 0)
        if len(group) >= GROUP_FILES or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _opened(path: Path, size_bytes: int) -> BinaryIO:
    """The file open for reading, by way of memory unless it is large; the caller closes it."""
    opened = open_regular(path)
    if size_bytes > IN_MEMORY or isinstance(opened, io.BytesIO):
        return opened
    with opened:
        # Not simply the most there may be: memory for all of that would be set aside each time.
        return io.BytesIO(opened.read(size_bytes + 1))


def _record(file: FoundFile, source_id: int, **described: str | int | None) -> ImportedFile:
    return ImportedFile(
        path=file.path,
        source_id=source_id,
        mtime_ns=file.mtime_ns,
        size_bytes=max(file.size_bytes, 0),
        **described,  # type: ignore[arg-type]
    )
