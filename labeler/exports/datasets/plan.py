"""The settings of an export of a dataset, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from labeler.core.errors import BadInput
from labeler.core.files.links import LINKS
from labeler.exports.datasets.splits import USUAL, read_shares


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of an export, as values that JSON can store.

    Raises `BadInput` for an invalid `split` or `link`.
    """

    scored_only: bool | None = None  # only images with a hand score; None: the format's default
    split: str = USUAL  # shares of train, validation and test
    seed: int = 0  # of the splits
    link: str = "copy"  # how image files are placed: copy, hard or sym
    file_format: str | None = (
        None  # csv, parquet or jsonl: of a table, of an imagefolder's metadata
    )
    with_images: bool = False  # copy the images beside a table
    name: str | None = None  # of folders by score, after the number
    image_url: str | None = None  # Label Studio: the address before an image's path
    completed_by: str | None = None  # Label Studio: scorers' accounts, `ann=3, ben@example.org`

    def __post_init__(self) -> None:
        read_shares(self.split)
        if self.link not in LINKS:
            raise BadInput(f"There is no link {self.link}; choose one of {', '.join(LINKS)}.")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Plan:
        """Return the plan that `as_values` made `values` of."""
        return cls(**{name: values[name] for name in cls.__slots__ if name in values})

    def as_values(self) -> dict[str, Any]:
        """Return values that JSON can store, for `params` of a job's row."""
        return asdict(self)


@dataclass
class Exported:
    """The result of an export."""

    place: Path  # its folder, or the file of a table
    images: int = 0
    made: int = 0  # files written by this export
    there: int = 0  # files that existed already
    removed: int = 0  # files of earlier exports that are no longer part of it
    left_out: list[tuple[str, str]] = field(default_factory=list)  # (path, reason)
    notes: list[str] = field(default_factory=list)  # sentences for the user
    contents: dict[str, str] = field(default_factory=dict)  # {relative path: SHA-256} of images

    def sentences(self, most: int = 20) -> str:
        """Return the result as lines of text, with the first `most` images that were left out."""
        lines = [f"Wrote {self.images:,} image{'' if self.images == 1 else 's'} to {self.place}"]
        if self.made or self.there:
            lines.append(f"Files: {self.made:,} written, {self.there:,} there already.")
        if self.removed:
            lines.append(f"Removed {self.removed:,} files of an earlier export.")
        lines += self.notes
        if self.left_out:
            lines.append(f"Left out {len(self.left_out):,} images:")
            lines += [f"{path}: {reason}" for path, reason in self.left_out[:most]]
        if len(self.left_out) > most:
            lines.append(f"… and {len(self.left_out) - most:,} more.")
        return "\n".join(lines)
