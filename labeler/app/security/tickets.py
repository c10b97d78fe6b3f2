"""A single-use ticket for the person's own browser, which may be readable by others."""

from __future__ import annotations

import hmac
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from labeler.app.security.connections import Address, uid_of_connection

TICKET_FIELD = "ticket"  # in an address
LIFETIME_SECONDS = 300.0  # for which it is good: a browser may have to start first


class Ticket:
    """A ticket that lets in once; `value` is part of the address."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        connections: Sequence[Path] | None = None,
    ) -> None:
        self.value = secrets.token_urlsafe(16)
        self._clock, self._connections = clock, connections
        self._until = clock() + LIFETIME_SECONDS

    def redeem(self, shown: str, client: Address | None, server: Address | None) -> bool:
        """Return whether `shown`, sent over this connection, is the ticket; it is used up then."""
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), self.value.encode()):
            return False
        if self._clock() > self._until or client is None or server is None:
            return False
        if uid_of_connection(client, server, self._connections) != os.getuid():
            return False
        self._until = -1.0
        return True
