"""The kinds of files and folders that hand scores are imported from, and their detection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labeler.core.errors import BadInput
from labeler.core.files.csv_reader import SPREADSHEETS, spreadsheet_problem
from labeler.scoring.score_files.histories import has_histories, is_history, read_history
from labeler.scoring.score_files.imagefolder import metadata_files, read_image_folder
from labeler.scoring.score_files.label_studio import is_label_studio_table, read_label_studio
from labeler.scoring.score_files.score_folders import read_score_folders, scored_folders
from labeler.scoring.score_files.statements import ReaderNotes, ReadOptions, Statements
from labeler.scoring.score_files.tables import is_json_table, read_table

TABLES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file or folder; `description` is for people, `read` yields its statements."""

    name: str
    description: str
    read: Callable[[Path, ReadOptions, ReaderNotes], Statements]


KINDS = {
    kind.name: kind
    for kind in (
        Kind("table", "a table", read_table),
        Kind("history", "a history exported by this program", read_history),
        Kind("label-studio", "an export of Label Studio", read_label_studio),
        Kind("imagefolder", "an imagefolder with metadata", read_image_folder),
        Kind("score-folders", "folders named by their score", read_score_folders),
    )
}


def kind_of(path: Path, reading: ReadOptions) -> Kind:
    """Return the requested kind, else the one detected; raises `BadInput` where there is none."""
    if reading.kind is not None:
        if reading.kind not in KINDS:
            raise BadInput(f"There is no kind {reading.kind}; choose {', '.join(KINDS)}.")
        return KINDS[reading.kind]
    return KINDS[_name(path, reading)]


def _name(path: Path, reading: ReadOptions) -> str:
    if path.is_dir():
        if next(metadata_files(path), None):
            return "imagefolder"
        if scored_folders(path):
            return "score-folders"
        raise BadInput(
            f"{path} holds neither metadata.csv, .jsonl or .parquet nor folders named by a score, "
            "such as 07_name; name a file in it, or the folder that has them."
        )
    suffix = path.suffix.lower()
    if suffix == ".json":
        return "table" if is_json_table(path, reading) else "label-studio"
    if suffix in SPREADSHEETS:
        raise BadInput(spreadsheet_problem(path))
    if suffix not in TABLES:
        raise BadInput(
            f"What {path.name} is can't be told from its name; say it with --kind "
            f"({', '.join(KINDS)})."
        )
    if suffix in (".csv", ".tsv") and path.is_file() and is_label_studio_table(path):
        return "label-studio"
    # Options for a table mean that the file is to be read as one, even if it is a history.
    requested = (reading.score_column, reading.scorer_column, reading.scale, reading.scorer)
    if any(each is not None for each in requested) or not path.is_file():
        return "table"
    return "history" if is_history(path) or _has_nested_history(path, suffix) else "table"


def _has_nested_history(path: Path, suffix: str) -> bool:
    if suffix not in (".parquet", ".jsonl"):
        return False
    try:
        return has_histories(path)
    except BadInput:  # reading the table raises it again, with the columns that are needed
        return False
