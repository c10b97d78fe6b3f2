"""A folder as a zip that is sent while it is made, without a copy on disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from labeler.core.archives.opening import open_in_memory
from labeler.core.images.originals import check_known

_BLOCK = 1 << 20


def stream_zip(folder: Path, contents: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """Yield the bytes of a zip of all files below `folder`, links followed, stored without
    compression.

    `contents` has the SHA-256 of images by their paths in `folder`. An image whose content has
    changed, or that can't be read, stops the stream before any of it is sent, so the browser
    reports a failed download.
    """
    expected_hashes = contents or {}
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            name = file.relative_to(folder).as_posix()
            entry = zipfile.ZipInfo.from_file(file, name, strict_timestamps=False)
            large = entry.file_size > zipfile.ZIP64_LIMIT // 2
            with (
                _opened(file, expected_hashes.get(name)) as source,
                archive.open(entry, "w", force_zip64=large) as target,
            ):
                while block := source.read(_BLOCK):
                    target.write(block)
                    yield sink.taken()
    yield sink.taken()


def _opened(file: Path, content_hash: str | None) -> BinaryIO:
    """Open a file; an image is checked against its hash and read into memory first."""
    if content_hash is None:
        return file.open("rb")
    opened = open_in_memory(file)
    check_known(opened, content_hash)
    return opened


class _Sink(io.RawIOBase):
    """A buffer of unsent bytes; not seekable, so that headers keep their order."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = bytearray()

    def writable(self) -> bool:
        """Return True: `zipfile` writes into it."""
        return True

    def write(self, data: object) -> int:
        """Keep a block until it is taken; return its length in bytes."""
        block = memoryview(data)  # type: ignore[arg-type]
        self._kept += block
        return block.nbytes

    def taken(self) -> bytes:
        """Return the buffered bytes and empty the buffer."""
        data, self._kept = bytes(self._kept), bytearray()
        return data
