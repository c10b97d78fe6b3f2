"""Find the account of this machine that a connection comes from, and keep it with the connection.

Linux tells the account of each connection between two programs of the machine. It is kept with the
connection, never by its addresses: a port that is free again may be another program's next.
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

from labeler.app.security.hosts import is_loopback

PROC_NET_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
TABLE_READS = 3  # at a table that changes while it is read
STATE_KEY = "labeler.connection"  # in the state of a request
SOCK_DIAG, BY_FAMILY, REQUEST, ALL_STATES, LISTENS = 4, 20, 1, 0xFFFFFFFF, 10  # Linux's numbers
UNKNOWN_ACCOUNT = ""  # the account of a connection from another machine, or where nobody tells
Address = tuple[str, int]  # host and port


@dataclass
class Connection:
    """One connection; the server's protocol creates it, and a request finds it in its scope.

    `form_begins` and `form_ends` tell the protocol when a stranger's form is awaited.
    """

    account: str | None = None  # None: not asked yet
    is_authenticated: bool = False  # has shown that it may
    form_begins: Callable[[], None] = field(default=lambda: None)
    form_ends: Callable[[], None] = field(default=lambda: None)


def connection_of(scope: Scope) -> Connection:
    """Return the connection of a request; a new one under servers that keep none."""
    connection = (scope.get("state") or {}).get(STATE_KEY)
    return connection if isinstance(connection, Connection) else Connection()


def account_of(scope: Scope) -> str:
    """Return the user id that a request comes from, as text; else `UNKNOWN_ACCOUNT`."""
    connection, client, server = connection_of(scope), scope.get("client"), scope.get("server")
    if connection.account is not None:
        return connection.account
    if client is None or server is None or not can_identify_accounts():
        return UNKNOWN_ACCOUNT
    tries = TABLE_READS if is_loopback(client[0]) else 1
    account = next(
        filter(None, (_identified_account(client, server) for _ in range(tries))), UNKNOWN_ACCOUNT
    )
    if account or tries == 1:
        connection.account = account
    return account


def _identified_account(client: Address, server: Address) -> str:
    user = uid_of_connection(client, server)
    return UNKNOWN_ACCOUNT if user is None else str(user)


def can_identify_accounts() -> bool:
    """Return whether this system tells which account a connection is of."""
    return sys.platform == "linux" and PROC_NET_TABLES[0].exists()


def uid_of_connection(
    client: Address, server: Address, connections: Sequence[Path] | None = None
) -> int | None:
    """Return the user id of the client in a connection between two programs of this machine.

    None where it can't be found, as for a client on another machine. To read the tables (all of
    `connections`) takes the system some 10 ms; without them it is asked for this one connection
    first.
    """
    if connections is not None:
        return _uid_in_proc_net(client, server, connections)
    uid = _uid_by_netlink(client, server)
    return _uid_in_proc_net(client, server, PROC_NET_TABLES) if uid is None else uid


def _uid_by_netlink(client: Address, server: Address) -> int | None:
    """Ask Linux for one connection (inet_diag.h); None where it doesn't answer."""
    ends = [_packed_address(host) for host, _ in (client, server)]
    if None in ends or not hasattr(socket, "AF_NETLINK"):
        return None
    family = socket.AF_INET6 if len(ends[0] or b"") == 16 else socket.AF_INET
    ports = struct.pack("!HH", client[1], server[1])
    addresses = b"".join((end or b"").ljust(16, b"\0") for end in ends)
    any_device, any_cookie = bytes(4), b"\xff" * 8
    query = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, ALL_STATES)
    query += ports + addresses + any_device + any_cookie
    head = struct.pack("=IHHII", 16 + len(query), BY_FAMILY, REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, SOCK_DIAG) as kernel:
            kernel.settimeout(1.0)
            kernel.send(head + query)
            reply = kernel.recv(8192)
    except OSError:
        return None
    if len(reply) < 88 or struct.unpack_from("=H", reply, 4)[0] != BY_FAMILY:
        return None
    user, inode = struct.unpack_from("=II", reply, 80)
    # Where there is no such connection, a socket that listens on the client's port is told.
    matches = reply[20:24] == ports and reply[17] != LISTENS and inode != 0
    return int(user) if matches else None


def _packed_address(host: str) -> bytes | None:
    """Return the IP address as 4 or 16 bytes; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (getattr(address, "ipv4_mapped", None) or address).packed


def _uid_in_proc_net(client: Address, server: Address, connections: Sequence[Path]) -> int | None:
    """Find the connection in tables of the form of /proc/net/tcp; None if it is in none."""
    pairs = {
        (_proc_net_end(client[0], client[1], six), _proc_net_end(server[0], server[1], six))
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
            if tuple(fields[1:3]) in pairs and fields[9] != "0":
                return int(fields[7])
    return None


def _proc_net_end(host: str, port: int, ipv6: bool) -> str | None:
    """Return an end as those tables have it: words of 4 bytes in the machine's own byte order."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    packed = address.packed
    if ipv6 and address.version == 4:
        packed = bytes(10) + b"\xff\xff" + packed
    elif not ipv6 and address.version == 6:
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is None:
            return None
        packed = mapped.packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"
