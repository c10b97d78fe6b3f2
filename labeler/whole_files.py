"""Files that appear whole or not at all: written beside their place, then given their name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX, _SUFFIX = ".labeler-", ".part"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Hands out a scratch file beside `path`; what was written there replaces `path` at the end.

    Nothing is left of it if the block raises, so a full disk or Ctrl-C keeps the old file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=path.parent)
    except OSError as error:
        error.filename = str(path)  # The person knows this name, not the scratch file's.
        raise
    os.close(handle)
    scratch = Path(name)
    try:
        yield scratch
        _settle(scratch)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def remove_scratch(folder: Path) -> None:
    """Remove what killed processes left in a folder that only this one writes in."""
    for left in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        left.unlink(missing_ok=True)


def _settle(scratch: Path) -> None:
    """Usual permissions (mkstemp's are private), and the bytes on the disk before the name is."""
    mask = os.umask(0)
    os.umask(mask)
    scratch.chmod(0o666 & ~mask)
    with scratch.open("rb") as written:
        os.fsync(written.fileno())
