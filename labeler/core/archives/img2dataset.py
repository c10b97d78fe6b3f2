"""Read which downloads have failed, from img2dataset's table beside a folder."""

from __future__ import annotations

from pathlib import Path

SUCCESS = "success"


def failed_keys(table: Path) -> frozenset[str]:
    """Return the keys of the failed downloads in a table.

    Empty where it is another kind of table, or can't be read: the pictures themselves then tell.
    """
    # Imported where they are used: pyarrow takes long to load, and most imports read
    # no table.
    import pyarrow
    from pyarrow import compute

    from labeler.core.files.parquet import check_columns, open_texts, plain

    try:
        with open_texts(table) as file:
            if not {"key", "status"} <= set(file.schema_arrow.names):
                return frozenset()
            check_columns(file, table, ["key", "status"])
            noted = file.read(["key", "status"])
        failed = compute.not_equal(plain(noted.column("status")).cast(pyarrow.string()), SUCCESS)
        keys = plain(noted.column("key")).filter(compute.fill_null(failed, True))
        return frozenset(str(key) for key in keys.to_pylist())
    except (pyarrow.ArrowException, OSError, ValueError):
        return frozenset()
