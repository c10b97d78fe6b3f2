"""The token that everybody must show; which, and how guesses at it are slowed down.

It is the one in LABELER_TOKEN, else a fresh one for each start. A browser that has shown it keeps a
cookie which says so, and which is worth nothing after the app has ended.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from labeler.core.errors import LabelerError

VARIABLE = "LABELER_TOKEN"
SHORTEST = 16  # characters
# From this length on, that of a fresh one, no number of guesses comes near it. They are not counted
# then: behind a tunnel all visitors have one address, and a stranger's would keep everybody out.
UNGUESSABLE = 32
MOST_WRONG = 10  # wrong tokens from one address within
WINDOW = 60.0  # seconds
MOST_ADDRESSES = 1024  # that are remembered
# Without it nobody can turn a guess into a cookie, so that guesses are made where they are counted.
_KEY = secrets.token_bytes(32)


def chosen_token() -> str | None:
    """The token that the person has chosen; raises `LabelerError` if it is too short."""
    token = os.environ.get(VARIABLE, "").strip()
    if token and len(token) < SHORTEST:
        raise LabelerError(
            f"The token in {VARIABLE} has {len(token)} characters; give it {SHORTEST} or more, "
            "or leave it out and a fresh one is made at each start."
        )
    return token or None


def fresh_token() -> str:
    return secrets.token_urlsafe(24)


def is_token(shown: str, token: str) -> bool:
    """Compared in a time that says nothing about how much of it is right."""
    return hmac.compare_digest(_digest(shown), _digest(token))


def cookie_value(token: str, account: str = "") -> str:
    """What the cookie holds: it proves that the token was shown and doesn't tell it.

    It is good for that account of this machine which showed the token, "" for other machines.
    Browsers send a cookie to every port of a host, whoever listens there.
    """
    return f"{account}.{_digest(f'{account}.{token}').hex()}"


def account_in(shown: str, token: str) -> str | None:
    """The account for which `shown` is a pass; None if it is none."""
    account = shown.rpartition(".")[0]
    ours = cookie_value(token, account).encode("utf-8", "surrogateescape")
    is_pass = hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), ours)
    return account if is_pass else None


def _digest(text: str) -> bytes:
    return hmac.new(_KEY, text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


class GuessLimit:
    """How many wrong tokens each address has lately shown.

    One that has shown too many waits until its oldest one is forgotten; the others, and whoever is
    in already, notice nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._wrong)

    def wait(self, address: str) -> float:
        """Seconds until `address` may try again; 0 if it may now."""
        times = self._wrong.get(_household(address))
        if times is None or len(times) < MOST_WRONG:
            return 0.0
        return max(0.0, times[0] + WINDOW - self._clock())

    def note(self, address: str) -> None:
        """It has shown a wrong one."""
        household = _household(address)
        self._wrong.setdefault(household, deque(maxlen=MOST_WRONG)).append(self._clock())
        self._wrong.move_to_end(household)
        if len(self._wrong) > MOST_ADDRESSES:
            self._wrong.popitem(last=False)


def _household(address: str) -> str:
    """Whoever has an IPv6 address has some 2⁶⁴ of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    found = getattr(found, "ipv4_mapped", None) or found  # as a socket for both kinds tells IPv4
    return str(ipaddress.ip_network((found, 64), strict=False) if found.version == 6 else found)
