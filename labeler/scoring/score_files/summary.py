"""Summary of an import of hand scores: counts of statements, and reasons of refusals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from labeler.collection.import_summary import ImportSummary
from labeler.scoring.score_files.statements import ReaderNotes, Refused

EXAMPLES = 5  # of each reason, and of what is taken


@dataclass(frozen=True, slots=True)
class Example:
    """A score (0–10) that is recorded; `image` as in the file, `before` the score until then."""

    place: str
    image: str
    score: float
    before: float | None
    scorer: str | None


@dataclass
class LabelSummary:
    """Counts of a file's statements; of a dry run, what they would be.

    `taken` were recorded, `unchanged` known already. `blank` name an image without a score: it
    stays unscored. `reasons` counts the refused ones; `bad` lists the first EXAMPLES of each
    reason, all of them with `keeps_all`. `by_name` matched their image by its file name alone.
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
        """Return the number of refused statements."""
        return self.reasons.total()

    @property
    def is_useless(self) -> bool:
        """Return whether statements were refused, and none was recorded or known."""
        return bool(self.refused) and not self.taken and not self.unchanged

    def refuse(self, refused: Refused) -> None:
        """Count a refused statement, and list it if there is room."""
        self.reasons[refused.reason] += 1
        if self.keeps_all or self.reasons[refused.reason] <= EXAMPLES:
            self.bad.append(refused)

    def notes(self) -> list[str]:
        """Return sentences about the statements besides the counts."""
        own = []
        if self.by_name:
            own.append(f"{self.by_name} found their image by its file's name alone.")
        if self.told.cancelled:
            own.append(f"Cancelled annotations that were passed over: {self.told.cancelled}.")
        return [*own, *self.told.notes]
