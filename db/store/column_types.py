"""Column types: what SQLite keeps becomes a value of ours, or is refused as unreadable.

SQLite takes any value in any column, and a store may have been handed on, or a bit of it may have
flipped. So every value is checked where it is read; `db/repair/unreadable_values.py` looks for
those that fail.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, REAL, BigInteger, Boolean, Integer, LargeBinary, Text
from sqlalchemy.types import TypeDecorator

from db.errors import UnreadableValue
from db.store.json_values import Shape, anything

_UINT64 = 1 << 64
_HASH = re.compile("[0-9a-f]{64}")
_TIME_LENGTH = len("2025-03-01T12:00:00.000000+00:00")
_LONGEST = 1_000_000  # characters: what is longer is nothing that a person wrote
_LONGEST_NAME = 32_768
LONGEST_MENDED = 10_000  # what the doctor leaves of a text; of a person's name that is plenty
_NO_NAME = "\N{REPLACEMENT CHARACTER}"


class Checked(TypeDecorator[Any]):
    """`read` makes a value of ours of what SQLite gives, which is never None; or raises ValueError.

    What can't be read raises `UnreadableValue`, and is None where a column is `lenient`: there a
    card without it does less harm than no card. `place` is the table and column, for the message.
    """

    impl: Any = Text
    cache_ok = True
    place = ""
    kinds: frozenset[type] = frozenset({str})  # of the driver's values

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.cache_ok = True  # SQLAlchemy wants it of each class by itself

    def __init__(self, *, lenient: bool = False) -> None:
        super().__init__()
        self.lenient = lenient

    def read(self, value: Any) -> Any:
        raise NotImplementedError

    def is_sound(self, value: Any) -> bool:
        """Return whether this is kept as we would keep it."""
        try:
            self.read(value)
        except (ValueError, RecursionError):
            return False
        return True

    def result_processor(self, dialect: Any, coltype: Any) -> Callable[[Any], Any]:  # noqa: ARG002
        read = self.read

        def processed(value: Any) -> Any:
            if value is None:
                return None
            try:
                return read(value)
            except (ValueError, RecursionError):
                if self.lenient:
                    return None
                raise UnreadableValue(self.place, value) from None

        return processed


class BoundedInteger(Checked):
    """Integers within bounds."""

    impl = Integer
    kinds = frozenset({int})

    def __init__(
        self, low: int = -(1 << 63), high: int = (1 << 63) - 1, *, lenient: bool = False
    ) -> None:
        super().__init__(lenient=lenient)
        self.low, self.high = low, high

    def read(self, value: Any) -> int:
        if type(value) is int and self.low <= value <= self.high:
            return value
        raise ValueError


class BoundedBigInteger(BoundedInteger):
    """As `BoundedInteger`; the word for it in the schema is another."""

    impl = BigInteger


class BoundedReal(Checked):
    """Finite numbers within bounds."""

    impl = REAL
    kinds = frozenset({int, float})

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__()
        self.low, self.high = low, high

    def read(self, value: Any) -> float:
        if (type(value) is float or type(value) is int) and self.low <= value <= self.high:
            if math.isinf(value):
                raise ValueError
            return float(value)
        raise ValueError


class StrictBoolean(Checked):
    impl = Boolean
    kinds = frozenset({int})

    def read(self, value: Any) -> bool:
        if type(value) is int and 0 <= value <= 1:
            return bool(value)
        raise ValueError


class BoundedText(Checked):
    """Text that is UTF-8, of at most `longest` characters."""

    def __init__(self, longest: int = _LONGEST, *, lenient: bool = False) -> None:
        super().__init__(lenient=lenient)
        self.longest = longest

    def read(self, value: Any) -> str:
        if type(value) is not str or len(value) > self.longest:
            raise ValueError
        if not value.isascii():
            value.encode()
        return value


class Choice(Checked):
    def __init__(self, *words: str) -> None:
        super().__init__()
        self.words = words

    def read(self, value: Any) -> str:
        if type(value) is str and value in self.words:
            return value
        raise ValueError


class Sha256Hex(Checked):
    """SHA-256 in hexadecimal digits: it is a part of file names."""

    def read(self, value: Any) -> str:
        if type(value) is str and _HASH.fullmatch(value):
            return value
        raise ValueError


class JsonDocument(Checked):
    """A JSON object, or array, as a `dict` or `list`."""

    impl = JSON

    def __init__(
        self, kind: type[dict[str, Any]] | type[list[Any]] = dict, shape: Shape = anything
    ) -> None:
        super().__init__()
        self.kind, self.shape = kind, shape

    def read(self, value: Any) -> Any:
        if type(value) is not str:
            raise ValueError
        document = json.loads(value)
        if not isinstance(document, self.kind) or not self.shape(document):
            raise ValueError
        return document


class Blob(Checked):
    """Bytes; of which length and of what values is for whoever reads them
    (db/repair/invalid_values.py).
    """

    impl = LargeBinary
    kinds = frozenset({bytes})

    def read(self, value: Any) -> bytes:
        if type(value) is not bytes:
            raise ValueError
        return value


class UtcTime(Checked):
    """Aware datetimes as ISO-8601 text in UTC, of fixed width so that text order is time order."""

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> str | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def read(self, value: Any) -> datetime:
        if type(value) is not str or len(value) != _TIME_LENGTH or not value.endswith("+00:00"):
            raise ValueError
        return datetime.fromisoformat(value)


class FileNameText(Checked):
    """Text that may quote a file name whose bytes are not UTF-8.

    Python holds such bytes as lone surrogates, which SQLite's text refuses; that text is kept as a
    blob, so that the very same string comes back and finds the file. What is no text at all is read
    as something that can be shown: a name tells a picture from others, and does nothing else.
    """

    longest = _LONGEST

    def process_bind_param(self, value: str | None, _dialect: Any) -> Any:
        if value is None:
            return None
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
        return value

    def read(self, value: Any) -> str:
        if type(value) is bytes:
            try:
                value = value.decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                value = value.decode("utf-8", "surrogateescape")
        elif type(value) is not str:
            value = str(value)
        return value if len(value) <= self.longest else f"{value[: self.longest]}…"

    def shown(self, value: Any) -> str | None:
        return None if value is None else self.read(value)

    def is_sound(self, value: Any) -> bool:
        read = self.read(value)
        return type(value) in (str, bytes) and self.process_bind_param(read, None) == value


class FilePath(FileNameText):
    """A path, in which there is no NUL."""

    longest = _LONGEST_NAME

    def read(self, value: Any) -> str:
        return super().read(value).replace("\0", _NO_NAME)


class UnsignedBigInteger(Checked):
    """An unsigned 64-bit number in SQLite's signed INTEGER."""

    impl = BigInteger
    kinds = frozenset({int})

    def process_bind_param(self, value: int | None, _dialect: Any) -> int | None:
        if value is None:
            return None
        number = int(value)
        return number - _UINT64 if number >= _UINT64 >> 1 else number

    def read(self, value: Any) -> int:
        if type(value) is not int:
            raise ValueError
        return value % _UINT64
