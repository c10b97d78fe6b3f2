"""Messages of exceptions: one sentence for people, the same at every entry point."""

from __future__ import annotations

import errno
import os

from db.errors import StoreError
from db.store.regular_files import NotPlain
from labeler.core.errors import LabelerError, Stopped
from model.errors import ModelError
from model.files.bounded import TooLarge

STOPPED = "Stopped; run the same command again to go on."

_NEXT_STEP = {
    errno.ENOSPC: "make room on that disk and run the same command again",
    errno.EDQUOT: "make room in your quota and run the same command again",
    errno.EFBIG: "no larger file is allowed there; raise the limit or choose another place",
    errno.EROFS: "that disk is read-only; choose another place",
    errno.EACCES: "give yourself the right to it or choose another place",
    errno.EPERM: "give yourself the right to it or choose another place",
    errno.ENOENT: "check the path",
    errno.EMFILE: "raise the limit with ulimit -n and run the same command again",
}


def message_for(error: BaseException) -> str | None:
    """Return the message for people, None for an error that only a programmer can read."""
    if isinstance(error, (KeyboardInterrupt, Stopped)):
        return STOPPED
    if isinstance(error, (LabelerError, StoreError, ModelError)):
        return str(error)
    if isinstance(error, NotPlain):
        return error.sentence()
    if isinstance(error, OSError) and error.strerror:
        return _about_the_system(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory for this; close other programs and run it again."
    return None


def _about_the_system(error: OSError) -> str:
    if isinstance(error, TooLarge):
        return f"{error.filename} is not read, for {error.strerror}; remove it or get it again."
    step = _NEXT_STEP.get(error.errno or 0, "put that right and run the same command again")
    # Of two names the second is where it was to be written.
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
    named = (full and error.filename2) or error.filename
    where = f" ({named})" if named is not None else ""
    # Libraries put their own words around the system's.
    problem = os.strerror(error.errno) if error.errno in _NEXT_STEP else error.strerror
    return f"{problem}{where}; {step}."
