"""A way in for the person's own browser, which may stand where others read it.

What a program is started with, everybody on a machine can read, and a browser is started with an
address. So that address holds no token but a ticket: it is taken once, soon, and only from a
connection of this program's own account, which Linux tells of each connection of the machine.
"""

from __future__ import annotations

import hmac
import ipaddress
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

FIELD = "ticket"  # in an address
SECONDS = 300.0  # for which it is good: a browser may have to start first
CONNECTIONS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
Address = tuple[str, int]  # host and port


class Ticket:
    """What opens the door once; `word` stands in the address."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        connections: Sequence[Path] = CONNECTIONS,
    ) -> None:
        self.word = secrets.token_urlsafe(16)
        self._clock, self._connections = clock, connections
        self._until = clock() + SECONDS

    def opens(self, shown: str, client: Address | None, server: Address | None) -> bool:
        """Whether `shown`, which came over this connection, is the ticket; it is used up then."""
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), self.word.encode()):
            return False
        if self._clock() > self._until or client is None or server is None:
            return False
        if owner(client, server, self._connections) != os.getuid():
            return False
        self._until = -1.0
        return True


def are_checked() -> bool:
    """Whether it can be told here whose a connection is."""
    return sys.platform == "linux" and CONNECTIONS[0].exists()


def owner(
    client: Address, server: Address, connections: Sequence[Path] = CONNECTIONS
) -> int | None:
    """The user id behind the client's end of a connection between two programs of this machine.

    None where it can't be told, as for a client elsewhere.
    """
    wanted = {
        (_written(client[0], client[1], six), _written(server[0], server[1], six))
        for six in (False, True)
    }
    for table in connections:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except (OSError, ValueError):
            continue
        for line in lines:
            # number, own end, other end, state, queues, timer, retransmissions, user id, …
            fields = line.split()
            if tuple(fields[1:3]) in wanted:
                return int(fields[7])
    return None


def _written(host: str, port: int, six: bool) -> str | None:
    """An end as the tables of the kernel have it: words of 4 bytes in the machine's own order."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    packed = address.packed
    if six and address.version == 4:
        packed = bytes(10) + b"\xff\xff" + packed
    elif not six and address.version == 6:
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is None:
            return None
        packed = mapped.packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"
