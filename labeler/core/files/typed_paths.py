"""A path as people type or paste it: with quotes, blanks, `~`, or as an address of a file.

What lies there under exactly these letters is always meant. Only where nothing does is a text taken
for another way of writing a path, so that odd names stay names.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote_to_bytes

from labeler.core.errors import BadInput

_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "‘": "’", "«": "»", "`": "`", "<": ">"}
# What comes along unseen: marks of direction that Windows puts before a copied path, and the like.
_UNSEEN = "\ufeff\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_FILE = re.compile(r"file:(?://(?P<host>[^/\\]*))?(?P<path>[/\\].*)", re.IGNORECASE | re.DOTALL)
_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_DRIVE = re.compile(r"/?(?P<letter>[a-z]):(?:[\\/](?P<rest>.*))?", re.IGNORECASE | re.DOTALL)
_SHARE = re.compile(r"\\\\(?:\?\\UNC\\)?[^\\/?.]+[\\/]")
_PERCENT = re.compile(r"%[0-9a-f]{2}", re.IGNORECASE)


def typed_path(text: str) -> Path:
    """Return the path that `text` means; a relative one stays relative, and none has to exist.

    Raises `BadInput` for what is no path of this machine: an address in the network, a drive letter
    or a share of Windows, several paths at once.
    """
    if text and not text.startswith("~") and os.path.lexists(text):
        return Path(text)
    bare = _unquoted(text)
    if "\0" in bare:
        raise BadInput("A path has no character 0 in it; type it anew.")
    if "\n" in bare or "\r" in bare:
        raise BadInput("That is more than one line; give one path at a time.")
    _check_is_ours(bare)
    if address := _FILE.fullmatch(bare):
        return _of_address(bare, address)
    return _home(max(_readings(text, bare), key=_depth))


def path_within(text: str) -> str:
    """Return the path in a file URL or between quotes, of any machine; else `text`.

    For what names a picture in a file, where nothing need be there. Never raises.
    """
    bare = _unquoted(text)
    if address := _FILE.fullmatch(bare):
        path = _percent_read(address["path"])
        bare = path.removeprefix("/") if _DRIVE.fullmatch(path) else path
    return bare if bare and "\0" not in bare else text


def path_seen_from(folder: Path, text: str) -> str:
    """Return `path_within`, or `text` itself if `folder` has a file of exactly that name."""
    plain = path_within(text)
    return text if plain == text or os.path.lexists(folder / text) else plain


def _unquoted(text: str) -> str:
    bare = text.strip().strip(_UNSEEN).strip()
    while len(bare) > 1 and _QUOTES.get(bare[0]) == bare[-1]:
        bare = bare[1:-1].strip()
    return bare


def _check_is_ours(text: str) -> None:
    """Raise `BadInput` for a path of another machine or system."""
    address = _ADDRESS.match(text)
    if address and address["scheme"].lower() != "file":
        raise BadInput(
            f"{text} is an address and no path of this machine; download what is there, or mount "
            "it, and give the path where it lies then."
        )
    if os.name != "nt" and _SHARE.match(text):
        raise BadInput(
            f"{text} is a share in the network, as Windows writes it; mount it, and give the path "
            "where it is mounted."
        )
    if os.name != "nt" and (drive := _DRIVE.fullmatch(text)):
        raise BadInput(_about_drive(text, drive))


def _about_drive(text: str, drive: re.Match[str]) -> str:
    """What to do with a drive letter where there are none; in a Linux within Windows there is a
    place for each.
    """
    mounted = Path("/mnt", drive["letter"].lower(), *re.split(r"[\\/]+", drive["rest"] or ""))
    way = "give the path as this machine has it, from its first /"
    if mounted.exists():
        way = f"here it is {mounted}"
    return f"{text} has a drive letter, which Windows knows and this machine does not; {way}."


def _of_address(text: str, address: re.Match[str]) -> Path:
    """The path in a file:// address, its percent signs read."""
    host = address["host"] or ""
    if host.lower() not in ("", "localhost", "127.0.0.1", platform.node().lower()):
        raise BadInput(
            f"{text} is on the machine {host}; mount its folder, and give the path where it is "
            "mounted."
        )
    path = _percent_read(address["path"])
    if "\0" in path:
        raise BadInput("A path has no character 0 in it; type it anew.")
    if os.name != "nt" and (drive := _DRIVE.fullmatch(path)):
        raise BadInput(_about_drive(path.removeprefix("/"), drive))
    return Path(path)


def _readings(text: str, bare: str) -> Iterator[str]:
    """What `text` may mean, the likeliest first: `bare`, or that without what is left of quotes,
    with its percent signs read, or as a shell reads it.
    """
    yield bare
    yield bare.strip("\"'")
    if _PERCENT.search(bare):
        yield _percent_read(bare)
    if "\\" in text or "'" in text:
        with suppress(ValueError):  # a quote without its end
            words = shlex.split(text.strip())
            if len(words) == 1:
                yield words[0]


def _percent_read(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text.encode("utf-8", "surrogateescape")))


def _depth(text: str) -> int:
    """How many of its folders are there: of two readings the one that leads further is meant."""
    if "\0" in text:
        return -1
    path = _home(text)
    return next(
        (len(place.parts) for place in (path, *path.parents) if os.path.lexists(place)),
        0,
    )


def _home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # a person who has no account here
        name = Path(text).parts[0]
        raise BadInput(
            f"{name} stands for the home of somebody who has no account on this machine; write the "
            "path from its first /."
        ) from error
