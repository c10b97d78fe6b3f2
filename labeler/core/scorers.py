"""Names of scorers, as they are stored and shown."""

from __future__ import annotations

import getpass
import unicodedata

LONGEST_NAME = 80
NAMELESS = "(nameless)"


def account_name() -> str:
    """Return the default scorer: the name of the account, cleaned."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return "somebody"


def clean_name(name: str | None) -> str | None:
    """Return a scorer's name as it is stored; None where nothing is left of it.

    Single spaces, nothing that can't be printed, composed letters, and not too long: a name typed
    twice is one person, and no name can cost a score.
    """
    if name is None:
        return None
    composed = unicodedata.normalize("NFC", name)
    shown = "".join(c if c.isprintable() else " " for c in composed)
    return " ".join(shown.split())[:LONGEST_NAME].strip() or None


def shown_name(scorer: str | None) -> str:
    """Return the name for people."""
    return NAMELESS if scorer is None else scorer
