"""What is known of a connection while it lasts: above all which account of the machine it is of.

Linux tells that of each connection between two programs of the machine. What stands here is kept
with the connection, never by its addresses: a port that is free again may be somebody else's next.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import Scope

from labeler.app.security.hosts import is_private

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LOOKS = 3  # at a table that changes while it is read
KEY = "labeler.connection"  # in the state of a request
SOCK_DIAG, BY_FAMILY, REQUEST, ALL_STATES, LISTENS = 4, 20, 1, 0xFFFFFFFF, 10  # Linux's numbers
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
    if client is None or server is None or not can_tell_accounts():
        return ELSEWHERE
    looks = LOOKS if is_private(client[0]) else 1
    found = next(filter(None, (_told(client, server) for _ in range(looks))), ELSEWHERE)
    if found or looks == 1:
        connection.account = found
    return found


def _told(client: Address, server: Address) -> str:
    user = user_id_of(client, server)
    return ELSEWHERE if user is None else str(user)


def can_tell_accounts() -> bool:
    """Whether it can be told here whose a connection is."""
    return sys.platform == "linux" and TABLES[0].exists()


def user_id_of(
    client: Address, server: Address, connections: Sequence[Path] | None = None
) -> int | None:
    """The user id behind the client's end of a connection between two programs of this machine.

    None where it can't be told, as for a client elsewhere. The tables of all `connections` take the
    system some 10 ms; without them it is asked for this one first.
    """
    if connections is not None:
        return _in_tables(client, server, connections)
    found = _asked(client, server)
    return _in_tables(client, server, TABLES) if found is None else found


def _asked(client: Address, server: Address) -> int | None:
    """By the message of Linux for one connection (inet_diag.h); None where it isn't answered."""
    ends = [_plain(host) for host, _ in (client, server)]
    if None in ends or not hasattr(socket, "AF_NETLINK"):
        return None
    family = socket.AF_INET6 if len(ends[0] or b"") == 16 else socket.AF_INET
    ports = struct.pack("!HH", client[1], server[1])
    addresses = b"".join((end or b"").ljust(16, b"\0") for end in ends)
    any_device, any_cookie = bytes(4), b"\xff" * 8
    asked = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, ALL_STATES)
    asked += ports + addresses + any_device + any_cookie
    head = struct.pack("=IHHII", 16 + len(asked), BY_FAMILY, REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, SOCK_DIAG) as kernel:
            kernel.settimeout(1.0)
            kernel.send(head + asked)
            told = kernel.recv(8192)
    except OSError:
        return None
    if len(told) < 88 or struct.unpack_from("=H", told, 4)[0] != BY_FAMILY:
        return None
    user, inode = struct.unpack_from("=II", told, 80)
    # Where there is no such connection, a socket that listens on the client's port is told.
    is_it = told[20:24] == ports and told[17] != LISTENS and inode != 0
    return int(user) if is_it else None


def _plain(host: str) -> bytes | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (getattr(address, "ipv4_mapped", None) or address).packed


def _in_tables(client: Address, server: Address, connections: Sequence[Path]) -> int | None:
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
