"""Messages between this program's processes: a line of JSON, and the bytes that follow it."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

_LONGEST_LINE = 4 << 20  # bytes


def send(to: BinaryIO, message: dict[str, Any], data: bytes = b"") -> None:
    """Write a message at once; raises `OSError` where nobody reads any more."""
    line = json.dumps(message | {"bytes": len(data)}, allow_nan=False)
    to.write(line.encode("ascii") + b"\n")
    to.write(data)
    to.flush()


def receive(source: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """The next message and its bytes; None at the end, also where that is in the middle of one."""
    line = source.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line)
    data = source.read(message["bytes"])
    return (message, data) if len(data) == message["bytes"] else None
