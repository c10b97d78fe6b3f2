"""Reading many files at once: each is opened once, hashed, decoded and previewed.

Threads, not processes: hashing, decoding and resizing all run outside Python's lock, so two
threads are as fast as two processes, and Ctrl-C has nothing to clean up.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from db.records import ImportedFile
from labeler.errors import UnreadableImage
from labeler.finding import FoundFile
from labeler.fingerprints import content_hash, look
from labeler.pictures import decode, open_regular, quiet_pillow, read_header
from labeler.previews import (
    PREVIEW_LEAST,
    THUMBNAIL_LEAST,
    have_previews,
    own_preview,
    write_previews,
)
from labeler.project import Project

MOST_WORKERS = 8
# Decoded pictures wait for their turn to be recorded as a few numbers, so this bounds threads'
# work in progress rather than memory.
AHEAD_PER_WORKER = 8
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
        same = (self.mtime_ns, self.size_bytes) == (file.mtime_ns, file.size_bytes)
        return same and self.state == "fine"


@dataclass(frozen=True, slots=True)
class Intake:
    """Turns found files into what is recorded; `fine_hashes` are of pictures already taken."""

    project: Project
    known: Mapping[str, Known]
    fine_hashes: Collection[str | None]

    def files(
        self, waiting: Iterable[tuple[FoundFile, int]], workers: int | None = None
    ) -> Iterator[ImportedFile]:
        """One record per (file, source id), in order; stops cleanly wherever it is left."""
        count = workers or min(os.cpu_count() or 1, MOST_WORKERS)
        source = iter(waiting)
        pool = ThreadPoolExecutor(count, thread_name_prefix="import")
        with quiet_pillow():  # once for the run: changing the warnings' filters is dear
            try:
                ahead: deque[Future[ImportedFile]] = deque()
                for file, source_id in islice(source, count * AHEAD_PER_WORKER):
                    ahead.append(pool.submit(self.take, file, source_id))
                while ahead:
                    taken = ahead.popleft().result()
                    for file, source_id in islice(source, 1):
                        ahead.append(pool.submit(self.take, file, source_id))
                    yield taken
            finally:
                pool.shutdown(cancel_futures=True)

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
            header = read_header(opened, path)  # before hashing: films and raw files are large
            digest = content_hash(opened)
            if digest in self.fine_hashes and have_previews(self.project, digest):
                return _record(file, source_id, content_hash=digest)
            data = opened.getvalue() if isinstance(opened, io.BytesIO) else b""
            own = own_preview(header, data)
            picture = decode(header, longer=THUMBNAIL_LEAST if own else PREVIEW_LEAST)
        thumbnail = write_previews(self.project, digest, picture, own)
        return _record(
            file,
            source_id,
            content_hash=digest,
            fingerprint=look(thumbnail),
            format=picture.format,
            width=picture.width,
            height=picture.height,
        )


def _opened(path: Path, size_bytes: int) -> BinaryIO:
    """The file open for reading, by way of memory unless it is large; the caller closes it."""
    opened = open_regular(path)
    if size_bytes > IN_MEMORY:
        return opened
    with opened:
        # Not simply the most there may be: memory for all of that would be set aside each time.
        return io.BytesIO(opened.read(size_bytes + 1))


def _record(file: FoundFile, source_id: int, **described: str | int | None) -> ImportedFile:
    return ImportedFile(
        path=file.path,
        source_id=source_id,
        mtime_ns=file.mtime_ns,
        size_bytes=file.size_bytes,
        **described,  # type: ignore[arg-type]
    )
