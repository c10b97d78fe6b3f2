"""What became of a file's statements: counted, with the reasons why some were not taken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from labeler.collection.import_summary import ImportSummary
from labeler.scoring.score_files.statements import ReaderNotes, Refused

EXAMPLES = 5  # of each reason, and of what is taken


@dataclass(frozen=True, slots=True)
class Example:
    """One score that is taken; the image as the file names it, `before` what counted until then."""

    place: str
    image: str
    score: float
    before: float | None
    scorer: str | None


@dataclass
class LabelSummary:
    """What became of a file's statements; of a dry run, what would.

    `blank` ones have an image and no score: not scored, never 0. `bad` are all that were refused
    if all are kept, else the first few of each reason; `reasons` counts them all. `by_name` of the
    statements found their image by its file's name alone.
    """

    kind: str
    taken: int = 0
    unchanged: int = 0
    blank: int = 0
    by_name: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    bad: list[Refused] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    scorers: Counter[str] = field(default_factory=Counter)
    to_import: int = 0
    imported: ImportSummary | None = None
    told: ReaderNotes = field(default_factory=ReaderNotes)
    keeps_all: bool = False

    @property
    def refused(self) -> int:
        return self.reasons.total()

    @property
    def is_useless(self) -> bool:
        """There are statements with scores, and none could be taken."""
        return bool(self.refused) and not self.taken and not self.unchanged

    def refuse(self, refused: Refused) -> None:
        self.reasons[refused.reason] += 1
        if self.keeps_all or self.reasons[refused.reason] <= EXAMPLES:
            self.bad.append(refused)

    def notes(self) -> list[str]:
        """What a person should know beside the counts."""
        own = []
        if self.by_name:
            own.append(f"{self.by_name} found their image by its file's name alone.")
        if self.told.cancelled:
            own.append(f"Cancelled annotations that were passed over: {self.told.cancelled}.")
        return [*own, *self.told.notes]
