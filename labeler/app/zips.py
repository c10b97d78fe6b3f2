"""A folder as a zip, sent while it is made: nobody waits for it, and no disk has to hold it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

_BLOCK = 1 << 20


def zipped(folder: Path) -> Iterator[bytes]:
    """The bytes of a zip of all files below `folder`, links followed; stored, as images don't
    shrink. A file that can't be read any more breaks it off, so nobody takes a part for the whole.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            entry = zipfile.ZipInfo.from_file(
                file, file.relative_to(folder).as_posix(), strict_timestamps=False
            )
            large = entry.file_size > zipfile.ZIP64_LIMIT // 2
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=large) as target:
                while block := source.read(_BLOCK):
                    target.write(block)
                    yield sink.taken()
    yield sink.taken()


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
