"""A way in for the person's own browser, which may stand where others read it.

What a program is started with, everybody on a machine can read, and a browser is started with an
address. So that address holds no token but a ticket: it is taken once, soon, and only from a
connection of this program's own account, which Linux tells of each connection of the machine.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from labeler.app.security.connections import Address, user_id_of

FIELD = "ticket"  # in an address
SECONDS = 300.0  # for which it is good: a browser may have to start first


class Ticket:
    """What opens the door once; `word` stands in the address."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        connections: Sequence[Path] | None = None,
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
        if user_id_of(client, server, self._connections) != os.getuid():
            return False
        self._until = -1.0
        return True
