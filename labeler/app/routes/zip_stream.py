"""A folder as a zip, sent while it is made: nobody waits for it, and no disk has to hold it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from labeler.core.archives.opening import open_in_memory
from labeler.core.images.originals import check_known

_BLOCK = 1 << 20


def zipped(folder: Path, contents: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """The bytes of a zip of all files below `folder`, links followed; stored, as images don't
    shrink.

    `contents` has the SHA-256 of images by their places in `folder`. What is another by now, or
    can't be read any more, breaks it off before any of it is sent, so nobody takes a part for the
    whole.
    """
    known = contents or {}
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            name = file.relative_to(folder).as_posix()
            entry = zipfile.ZipInfo.from_file(file, name, strict_timestamps=False)
            large = entry.file_size > zipfile.ZIP64_LIMIT // 2
            with (
                _opened(file, known.get(name)) as source,
                archive.open(entry, "w", force_zip64=large) as target,
            ):
                while block := source.read(_BLOCK):
                    target.write(block)
                    yield sink.taken()
    yield sink.taken()


def _opened(file: Path, content_hash: str | None) -> BinaryIO:
    """A small image is in memory by then: what was looked at is what is sent."""
    if content_hash is None:
        return file.open("rb")
    opened = open_in_memory(file)
    check_known(opened, content_hash)
    return opened


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken; can't be sought, so that headers come in order."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        block = memoryview(data)  # type: ignore[arg-type]
        self._kept += block
        return block.nbytes

    def taken(self) -> bytes:
        kept, self._kept = bytes(self._kept), bytearray()
        return kept
