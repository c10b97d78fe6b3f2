"""What is asked of an export, and what became of it."""

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
    """How a dataset is to leave; plain values, so that a run's row can hold them.

    `scored_only`: only images with a hand score, all, or (None) what is usual for the format.
    `split` and `seed` decide the splits; `link` how image files come to be there. `file_format`
    and `with_images` are of tables (csv, parquet, jsonl), `file_format` also of an imagefolder's
    metadata. `name` is what folders of scores are called after their number, `image_url` what an
    image's path is put behind in Label Studio, `completed_by` which accounts its scorers have
    there (`ann=3, ben@example.org`). Raises `BadInput` for what can't be.
    """

    scored_only: bool | None = None
    split: str = USUAL
    seed: int = 0
    link: str = "copy"
    file_format: str | None = None
    with_images: bool = False
    name: str | None = None
    image_url: str | None = None
    completed_by: str | None = None

    def __post_init__(self) -> None:
        read_shares(self.split)
        if self.link not in LINKS:
            raise BadInput(f"There is no link {self.link}; choose one of {', '.join(LINKS)}.")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Plan:
        """A plan from `as_values`, as a run or an address holds it."""
        return cls(**{name: values[name] for name in cls.__slots__ if name in values})

    def as_values(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Exported:
    """What an export wrote.

    `place` is its folder, or the file of a table; `images` is how many it holds. `made` files of
    images came now, `there` ones lay there from an earlier time; `removed` files of an earlier
    export are no part of it any more. `left_out` are (path, reason); `notes` sentences to know.
    `contents` has the SHA-256 of image files by their places.
    """

    place: Path
    images: int = 0
    made: int = 0
    there: int = 0
    removed: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    contents: dict[str, str] = field(default_factory=dict)

    def sentences(self, most: int = 20) -> str:
        """What became of it, as lines of text; of what was left out the first few."""
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
