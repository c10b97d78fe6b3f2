"""Column types whose Python values differ from what SQLite keeps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Text
from sqlalchemy.types import TypeDecorator

_UINT64 = 1 << 64


class UtcTime(TypeDecorator[datetime]):
    """Aware datetimes as ISO-8601 text in UTC, of fixed width so that text order is time order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> str | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, _dialect: Any) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class FileText(TypeDecorator[str]):
    """Text that may quote a file name whose bytes are not UTF-8.

    Python holds such bytes as lone surrogates, which SQLite's text refuses; that text is kept as a
    blob, so that the very same string comes back and finds the file.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Any) -> Any:
        if value is None:
            return None
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
        return value

    def process_result_value(self, value: Any, _dialect: Any) -> str | None:
        return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


class Fingerprint(TypeDecorator[int]):
    """An unsigned 64-bit number in SQLite's signed INTEGER."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, _dialect: Any) -> int | None:
        if value is None:
            return None
        number = int(value)
        return number - _UINT64 if number >= _UINT64 >> 1 else number

    def process_result_value(self, value: int | None, _dialect: Any) -> int | None:
        return None if value is None else value % _UINT64
