"""Discovery of files with embeddings.

Supported are the folders of clip-retrieval, .npy arrays with or without a list of paths, folders
with a .npy file for each image, and Parquet files with a column of vectors. No code in a file is
executed, and files are read in blocks, so they may be larger than memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labeler.core.errors import BadInput
from labeler.core.files.names import LEADS_OUT, leads_inside, readable_name
from labeler.embedding.files.block import NPY, TABLE, Columns, EmbeddingFile, Unusable
from labeler.embedding.files.npy import array_file, is_trial, read_header, vector_folder
from labeler.embedding.files.row_names import check_names
from model.images.formats import image_extensions

if TYPE_CHECKING:
    from labeler.embedding.files.npy import Header

_ARRAY = re.compile(r"img_emb_(\d+)\.npy")
_FOLDERS_LOOKED_AT = 20


@dataclass
class EmbeddingFiles:
    """Files with embeddings at a path, and (file, reason) of the `unusable` ones."""

    files: list[EmbeddingFile] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        """Return the number of embeddings in all files."""
        return sum(file.rows for file in self.files)


def holds_embeddings(path: Path) -> bool:
    """Return whether `path` is a .npy file, a Parquet file with vectors, or a folder of these.

    A folder with images is none. Only names and the headers of Parquet files are read.
    """
    if path.is_dir():
        return bool(_arrays(path)) or _is_folder_of_vectors(path)
    if path.suffix.lower() == TABLE:
        # Imported where they are used: pyarrow takes long to load, and .npy files do without it.
        from labeler.embedding.files.parquet import has_vectors

        return has_vectors(path)
    return path.suffix.lower() == NPY


def find_embeddings(path: Path, columns: Columns = Columns()) -> EmbeddingFiles:  # noqa: B008
    """Return the files at a path, in the order of their numbers or names.

    Raises `BadInput` if `path` does not exist.
    """
    if not path.exists():
        raise BadInput(f"{readable_name(path)} is not there; check the path.")
    result = EmbeddingFiles()
    if not path.is_dir():
        _add(result, path, columns)
        return result
    arrays = _arrays(path)
    for file in arrays:
        if not _leads_out(result, file, path):
            _add(result, file, columns)
    if not arrays:
        _add_loose(result, path, columns)
    return result


def _add(result: EmbeddingFiles, path: Path, columns: Columns) -> None:
    try:
        result.files.append(_checked(path, columns))
    except Unusable as problem:
        result.unusable.append((readable_name(path), str(problem)))


def _checked(path: Path, columns: Columns) -> EmbeddingFile:
    if path.suffix.lower() == TABLE:
        from labeler.embedding.files.parquet import vector_table

        return vector_table(path, columns)
    header = read_header(path)
    if header.is_single and columns.paths is None and not _ARRAY.fullmatch(path.name):
        return vector_folder(path.parent, {path: header})[0]
    return array_file(path, header, _names(path, header, columns))


def _names(path: Path, header: Header, columns: Columns) -> tuple[Path, str | None] | None:
    """Return the table that names an array's rows, and its column; None if there is no table."""
    number = _ARRAY.fullmatch(path.name)
    table = columns.paths
    if table is None and number is not None:
        beside = path.resolve().parent.parent / "metadata" / f"metadata_{number[1]}.parquet"
        table = beside if beside.is_file() else None
    return None if table is None else check_names(table, header.rows, columns)


def _add_loose(result: EmbeddingFiles, folder: Path, columns: Columns) -> None:
    """Add the arrays, single vectors and tables anywhere under a folder."""
    singles: dict[Path, Header] = {}
    for path in _under(folder):
        if path.suffix.lower() in (NPY, TABLE) and _leads_out(result, path, folder):
            continue
        suffix = path.suffix.lower()
        if suffix == TABLE and holds_embeddings(path):
            _add(result, path, columns)
        if suffix != NPY or is_trial(path):
            continue
        try:
            header = read_header(path)
        except Unusable as problem:
            result.unusable.append((readable_name(path), str(problem)))
            continue
        if header.is_single:
            singles[path] = header
        else:
            _add(result, path, columns)
    result.files += vector_folder(folder, singles)


def _leads_out(result: EmbeddingFiles, path: Path, folder: Path) -> bool:
    """Return whether it is a link to a file outside the folder; such a one becomes `unusable`."""
    if not path.is_symlink() or leads_inside(path, folder):
        return False
    result.unusable.append((readable_name(path), LEADS_OUT))
    return True


def _under(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = (Path(place, name) for name in sorted(names))
        yield from (path for path in inside if not _is_pipe(path))


def _is_folder_of_vectors(folder: Path) -> bool:
    """Return whether the folder or one directly in it has .npy files and no images."""
    listed = _listed(folder)
    below = sorted(path for path in listed if path.is_dir())[:_FOLDERS_LOOKED_AT]
    for place in (listed, *map(_listed, below)):
        suffixes = {path.suffix.lower() for path in place}
        if NPY in suffixes:
            return not suffixes & image_extensions()
    return False


def _arrays(folder: Path) -> list[Path]:
    """Return the arrays in a folder of clip-retrieval, or in its folder img_emb."""
    for place in (folder / "img_emb", folder):
        named = {file: found for file in _listed(place) if (found := _ARRAY.fullmatch(file.name))}
        if named:
            return sorted(named, key=lambda file: (int(named[file][1]), file.name))
    return []


def _listed(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not _is_pipe(path)] if folder.is_dir() else []
    except OSError:
        return []


def _is_pipe(path: Path) -> bool:
    """Return whether it is named as such a file but is none: reading a pipe would never end."""
    if path.suffix.lower() not in (NPY, TABLE) or path.is_file():
        return False
    return path.exists() and not path.is_dir()
