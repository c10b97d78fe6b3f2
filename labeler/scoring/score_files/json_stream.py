"""Incremental reading of a JSON list of any length, element by element."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TextIO

from labeler.core.errors import BadInput
from model.files.bounded import open_plain_text
from model.files.bounded_json import check_size

_CHUNK = 1 << 20
_NO_SPACE = re.compile(r"\S")
_DECODER = json.JSONDecoder()


def read_list(file: Path) -> Generator[Any, None, None]:
    """Yield the elements of the list in a JSON file; a single object counts as a list of one.

    Raises `BadInput` at the first element that can't be read.
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
    """A part of a text in memory; parsing continues at index `at` of `read`."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.read, self.at = "", 0
        self.more()

    def more(self) -> bool:
        """Read a chunk and drop the parsed part; returns False at the end of the text.

        Raises `ValueError` if the unparsed part is too large.
        """
        check_size(self.read[self.at :])
        more = self._text.read(_CHUNK)
        self.read, self.at = self.read[self.at :] + more, 0
        return bool(more)

    def next(self) -> str:
        """Return the next character that is no space, without passing it; empty at the end."""
        while True:
            match = _NO_SPACE.search(self.read, self.at)
            self.at = match.start() if match else len(self.read)
            if match or not self.more():
                return self.read[self.at : self.at + 1]

    def skip(self) -> None:
        self.at += 1


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
    """Return the value at the window's position; reads on until it is complete."""
    while True:
        try:
            value, end = _DECODER.raw_decode(window.read, window.at)
        except ValueError:
            if not window.more():
                raise
            continue
        check_size(window.read[window.at : end])
        length = end - window.at
        # A number at the end of the window may continue in the next chunk.
        if end == len(window.read) and window.more():
            continue
        window.at += length
        return value
