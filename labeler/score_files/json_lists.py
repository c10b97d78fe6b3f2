"""A JSON list read one element after the other, however long the file is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from labeler.errors import BadInput
from model.bounded_files import open_plain_text

_CHUNK = 1 << 20
_LONGEST = 1 << 26  # characters of one element


def read_list(file: Path) -> Iterator[Any]:
    """The elements of the list in a JSON file (a lone object counts as a list of one).

    Raises `BadInput` where the file is no such list, at the element where that shows.
    """
    try:
        with open_plain_text(file) as text:
            yield from _elements(text)
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not UTF-8 text; export it again.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{file} is not a JSON list that can be read ({error}); export it again."
        ) from error
    except OSError as error:
        raise BadInput(f"Can't read {file}: {error.strerror}; check the path.") from error


class _Window:
    """What has been read of a text and not yet been understood."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.rest = ""
        self.more()

    def more(self) -> bool:
        read = self._text.read(max(_CHUNK, len(self.rest)))
        self.rest += read
        return bool(read)

    def next(self) -> str:
        """The next character that is no space, empty at the end; it stays."""
        self.rest = self.rest.lstrip()
        while not self.rest and self.more():
            self.rest = self.rest.lstrip()
        return self.rest[:1]

    def skip(self) -> None:
        self.rest = self.rest[1:]


def _elements(text: TextIO) -> Iterator[Any]:
    window = _Window(text)
    if window.next() == "{":
        yield _value(window)
        return
    if window.next() != "[":
        raise ValueError("it begins with no [")
    window.skip()
    if window.next() == "]":
        return
    while True:
        window.next()
        yield _value(window)
        mark = window.next()
        window.skip()
        if mark == "]":
            return
        if mark != ",":
            raise ValueError("it breaks off" if not mark else f"there is {mark!r} for a comma")


def _value(window: _Window) -> Any:
    """The value that the window begins with; more is read until it is whole."""
    while True:
        try:
            value, end = json.JSONDecoder().raw_decode(window.rest)
        except ValueError:
            if len(window.rest) > _LONGEST or not window.more():
                raise
            continue
        window.rest = window.rest[end:]
        return value
