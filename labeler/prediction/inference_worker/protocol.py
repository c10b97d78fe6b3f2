"""Messages between this program's processes: a line of JSON, and the bytes that follow it."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

_MAX_LINE_BYTES = 4 << 20  # bytes


def send(to: BinaryIO, message: dict[str, Any], data: bytes = b"") -> None:
    """Write a message and flush; raises `OSError` if the reader has closed the pipe."""
    line = json.dumps(message | {"bytes": len(data)}, allow_nan=False)
    to.write(line.encode("ascii") + b"\n")
    to.write(data)
    to.flush()


def receive(source: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Return the next message and its bytes; None at the end of input or for a partial message."""
    line = source.readline(_MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line)
    data = source.read(message["bytes"])
    return (message, data) if len(data) == message["bytes"] else None
