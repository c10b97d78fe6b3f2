"""The host names that the app answers to; an unknown one in the Host header is an attack."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from labeler.app.security.refusals import refuse
from labeler.core.errors import LabelerError

MAX_NAME_LENGTH = 253  # characters, by RFC 1035
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")


def is_loopback(host: str | None) -> bool:
    """Return whether only this machine can reach a server on `host`; None is every interface."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def split_host(host: str) -> tuple[str, str] | None:
    """Return the normalized name and the port (or "") of a Host header; None if it is no host."""
    match = _HOST.fullmatch(host.strip().lower())
    if match is None:
        return None
    return _canonical(match[1].removesuffix(".").strip("[]")), match[2] or ""


def _canonical(name: str) -> str:
    """Return the canonical spelling of an IPv6 address."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def is_ip_address(name: str) -> bool:
    """Return whether `name` is an IP address."""
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return False


class HostPatterns:
    """Names of hosts; `*.example.org` stands for all names below example.org, and `*` for any."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {_canonical(name.strip().lower().strip("[]")) for name in names}

    def __contains__(self, name: str) -> bool:
        below = (f"*{name[at:]}" for at, letter in enumerate(name) if letter == ".")
        return not self._names.isdisjoint({name, "*", *below})

    def contains_exactly(self, name: str) -> bool:
        """Return whether `name` itself is listed, not only matched by a `*`."""
        return name in self._names


class TrustedHosts:
    """Middleware that refuses requests under other names than `names`.

    Where the app can be reached at `any_ip`, any IP address is accepted as well: no attacker
    can redefine one, and a machine doesn't know all the addresses it is reached by.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str], any_ip: bool) -> None:
        self.app = app
        self.names = HostPatterns(names)
        self.any_ip = any_ip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._known(scope):
            await self.app(scope, receive, send)
            return
        await refuse(scope, receive, send, 400, _refusal_message(scope))

    def _known(self, scope: Scope) -> bool:
        hosts = Headers(scope=scope).getlist("host")
        host = split_host(hosts[0]) if len(hosts) == 1 else None
        # A whole address in place of the path names another host beside the header's.
        if host is None or not scope["path"].startswith("/"):
            return False
        return (self.any_ip and is_ip_address(host[0])) or host[0] in self.names


def _refusal_message(scope: Scope) -> str:
    hosts = Headers(scope=scope).getlist("host")
    host = split_host(hosts[0]) if len(hosts) == 1 else None
    if host is None or len(host[0]) > MAX_NAME_LENGTH:
        return "The app doesn't answer under this host."
    return (
        f"The app doesn't answer under the name {host[0]}. If that is a name of yours for it, "
        f"start it with: labeler app --allow-host {host[0]}"
    )


def parse_allowed_host(text: str) -> str:
    """Return the host of an --allow-host option: a name, or an address that contains it.

    Raises `LabelerError` where there is none.
    """
    host = text.strip().lower()
    host = host.partition("://")[2] or host
    host = host.partition("/")[0]
    wildcard = "*." if host.startswith("*.") else ""
    parts = split_host(host.removeprefix(wildcard))
    if host == "*":
        return host
    if parts is None:
        raise LabelerError(f"--allow-host {text} is no host; write a name such as nas.local.")
    return wildcard + parts[0]
