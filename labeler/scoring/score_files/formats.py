"""The kinds of file and folder that hand scores come from, and telling them from one another."""

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
    name: str
    told: str  # what it is, for people
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
    """The kind that is asked for, else the one that the path itself shows; raises `BadInput`."""
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
    # Whoever names columns or a scorer means these, not the history beside them.
    asked = (reading.score_column, reading.scorer_column, reading.scale, reading.scorer)
    if any(each is not None for each in asked) or not path.is_file():
        return "table"
    return "history" if is_history(path) or _nests(path, suffix) else "table"


def _nests(path: Path, suffix: str) -> bool:
    if suffix not in (".parquet", ".jsonl"):
        return False
    try:
        return has_histories(path)
    except BadInput:  # said again where it is read, by the columns that are meant
        return False
