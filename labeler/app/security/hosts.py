"""The host names that the app answers to; an unknown one in the Host header is an attack."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from labeler.app.security.refusals import refuse
from labeler.core.errors import LabelerError

LONGEST_NAME = 253  # characters, by RFC 1035
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")


def is_private(host: str | None) -> bool:
    """Return whether only this machine can reach a server on `host`; None is every interface."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def name_and_port(host: str) -> tuple[str, str] | None:
    """Return the normalized name and the port (or "") of a Host header; None if it is no host."""
    found = _HOST.fullmatch(host.strip().lower())
    if found is None:
        return None
    return _same_form(found[1].removesuffix(".").strip("[]")), found[2] or ""


def _same_form(name: str) -> str:
    """Return the canonical spelling of an IPv6 address."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def is_number(name: str) -> bool:
    """Return whether `name` is an IP address."""
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        return False


class HostNames:
    """Names of hosts; `*.example.org` stands for all names below example.org, and `*` for any."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {_same_form(name.strip().lower().strip("[]")) for name in names}

    def __contains__(self, name: str) -> bool:
        below = (f"*{name[at:]}" for at, letter in enumerate(name) if letter == ".")
        return not self._names.isdisjoint({name, "*", *below})

    def has_in_full(self, name: str) -> bool:
        """Return whether `name` itself is listed, not only matched by a `*`."""
        return name in self._names


class KnownHosts:
    """Middleware that refuses requests under other names than `names`.

    Where the app can be reached from `everywhere`, any IP address is accepted as well: no attacker
    can redefine one, and a machine doesn't know all the addresses it is reached by.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str], everywhere: bool) -> None:
        self.app = app
        self.names = HostNames(names)
        self.everywhere = everywhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._known(scope):
            await self.app(scope, receive, send)
            return
        await refuse(scope, receive, send, 400, _unknown(scope))

    def _known(self, scope: Scope) -> bool:
        said = Headers(scope=scope).getlist("host")
        named = name_and_port(said[0]) if len(said) == 1 else None
        # A whole address in place of the path names another host beside the header's.
        if named is None or not scope["path"].startswith("/"):
            return False
        return (self.everywhere and is_number(named[0])) or named[0] in self.names


def _unknown(scope: Scope) -> str:
    said = Headers(scope=scope).getlist("host")
    named = name_and_port(said[0]) if len(said) == 1 else None
    if named is None or len(named[0]) > LONGEST_NAME:
        return "The app doesn't answer under this host."
    return (
        f"The app doesn't answer under the name {named[0]}. If that is a name of yours for it, "
        f"start it with: labeler app --allow-host {named[0]}"
    )


def as_name(text: str) -> str:
    """Return the host of an --allow-host option: a name, or an address that contains it.

    Raises `LabelerError` where there is none.
    """
    host = text.strip().lower()
    host = host.partition("://")[2] or host
    host = host.partition("/")[0]
    below = "*." if host.startswith("*.") else ""
    named = name_and_port(host.removeprefix(below))
    if host == "*":
        return host
    if named is None:
        raise LabelerError(f"--allow-host {text} is no host; write a name such as nas.local.")
    return below + named[0]
