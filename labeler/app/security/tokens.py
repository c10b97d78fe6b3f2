"""Choose the token that every visitor must send, and limit how often it can be guessed.

It is the one in LABELER_TOKEN, else a random one for each start. A browser that has sent it keeps a
cookie that proves so, and that is worth nothing after the app has ended.
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

TOKEN_VARIABLE = "LABELER_TOKEN"
MIN_LENGTH = 16  # characters
# From this length on, that of a random token, guessing has no chance, and wrong tokens are not
# counted: behind a tunnel all visitors have one address, and one of them would lock out the others.
UNGUESSABLE_LENGTH = 32
MAX_WRONG = 10  # wrong tokens from one address within
WINDOW_SECONDS = 60.0
MAX_ADDRESSES = 1024  # that are remembered
# Without this key a guess can't become a cookie: guesses are made where they are counted.
_COOKIE_KEY = secrets.token_bytes(32)


def token_from_environment() -> str | None:
    """Return the token that the person has set; raise `LabelerError` if it is too short."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if token and len(token) < MIN_LENGTH:
        raise LabelerError(
            f"The token in {TOKEN_VARIABLE} has {len(token)} characters; give it {MIN_LENGTH} or "
            "more, or leave it out and a fresh one is made at each start."
        )
    return token or None


def random_token() -> str:
    """Return a new token of `UNGUESSABLE_LENGTH` characters."""
    return secrets.token_urlsafe(24)


def token_matches(shown: str, token: str) -> bool:
    """Return whether `shown` is the token; the time doesn't depend on how much of it is right."""
    return hmac.compare_digest(_digest(shown), _digest(token))


def cookie_value(token: str, account: str = "") -> str:
    """Return a value that proves that the token was sent, and doesn't contain it.

    It is valid for that account of this machine which sent the token, "" for other machines.
    Browsers send a cookie to every port of a host, whatever program listens there.
    """
    return f"{account}.{_digest(f'{account}.{token}').hex()}"


def account_in_cookie(shown: str, token: str) -> str | None:
    """Return the account for which the cookie's value `shown` is valid; None if it is invalid."""
    account = shown.rpartition(".")[0]
    expected = cookie_value(token, account).encode("utf-8", "surrogateescape")
    is_valid = hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), expected)
    return account if is_valid else None


def _digest(text: str) -> bytes:
    return hmac.new(_COOKIE_KEY, text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


class GuessRateLimit:
    """Count the wrong tokens of each address, and make it wait after `MAX_WRONG` of them.

    It waits until its oldest one is `WINDOW_SECONDS` old; other addresses, and visitors who have a
    cookie already, notice nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._wrong)

    def wait(self, address: str) -> float:
        """Return the seconds until `address` may try again; 0 if it may now."""
        times = self._wrong.get(_network_of(address))
        if times is None or len(times) < MAX_WRONG:
            return 0.0
        return max(0.0, times[0] + WINDOW_SECONDS - self._clock())

    def record_failure(self, address: str) -> None:
        """Record that `address` has sent a wrong token."""
        network = _network_of(address)
        self._wrong.setdefault(network, deque(maxlen=MAX_WRONG)).append(self._clock())
        self._wrong.move_to_end(network)
        if len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)


def _network_of(address: str) -> str:
    """Return the address, or its /64 network: who has an IPv6 address has some 2⁶⁴ of them."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    ip = getattr(ip, "ipv4_mapped", None) or ip  # as a socket for both kinds tells IPv4
    return str(ipaddress.ip_network((ip, 64), strict=False) if ip.version == 6 else ip)
