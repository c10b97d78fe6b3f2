"""What is known of a connection while it lasts: above all which account of the machine it is of.

Linux tells that of each connection between two programs of the machine. What stands here is kept
with the connection, never by its addresses: a port that is free again may be somebody else's next.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import Scope

from labeler.app.hosts import is_private

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LOOKS = 3  # at a table that changes while it is read
KEY = "labeler.connection"  # in the state of a request
ELSEWHERE = ""  # the account of a connection from another machine, or where nobody tells
Address = tuple[str, int]  # host and port


@dataclass
class Connection:
    """One connection; the server's protocol makes it, and a request finds it in its scope."""

    account: str | None = None  # None: not asked yet
    is_in: bool = False  # has shown that it may
    # A stranger's form is awaited from now on, and no longer.
    waits: Callable[[], None] = field(default=lambda: None)
    ends: Callable[[], None] = field(default=lambda: None)


def connection_of(scope: Scope) -> Connection:
    """That of a request; a new one under servers that keep none."""
    found = (scope.get("state") or {}).get(KEY)
    return found if isinstance(found, Connection) else Connection()


def account_of(scope: Scope) -> str:
    """The account that a request comes from, as a number; `ELSEWHERE` where it can't be told."""
    connection, client, server = connection_of(scope), scope.get("client"), scope.get("server")
    if connection.account is not None:
        return connection.account
    if client is None or server is None or not are_told():
        return ELSEWHERE
    looks = LOOKS if is_private(client[0]) else 1
    found = next(filter(None, (_told(client, server) for _ in range(looks))), ELSEWHERE)
    if found or looks == 1:
        connection.account = found
    return found


def _told(client: Address, server: Address) -> str:
    user = owner(client, server)
    return ELSEWHERE if user is None else str(user)


def are_told() -> bool:
    """Whether it can be told here whose a connection is."""
    return sys.platform == "linux" and TABLES[0].exists()


def owner(client: Address, server: Address, connections: Sequence[Path] = TABLES) -> int | None:
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
            # number, own end, other end, state, queues, timer, retransmissions, user id,
            # timeout, inode, …
            fields = line.split()
            # One whose program has closed it already has no inode, and is told as root's.
            if tuple(fields[1:3]) in wanted and fields[9] != "0":
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
