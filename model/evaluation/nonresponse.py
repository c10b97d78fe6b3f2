"""The interval of a share where some of the random draws were skipped.

Who skips an image may do so because it is hard to judge: the draws that were judged are then no
random sample. Nothing is assumed of the skipped ones. The share lies between what it is if none of
them is a hit and what it is if all are (Manski 1989, "Anatomy of the selection problem"); the
interval reaches from the lower bound of the one worst case to the upper bound of the other. (Imbens
& Manski 2004 take bounds of a lower level, 5 to 10 % narrower; in simulations with rare mistakes
and few draws these cover .88 where the ones here cover .92 or more.)
"""

from __future__ import annotations

from dataclasses import dataclass

from model.evaluation.proportions import LEVEL, exact_count, wilson


@dataclass(frozen=True, slots=True)
class ShareWithSkips:
    """`hits` of `judged` draws, besides which others were `skipped`.

    The share (0–1) of hits among all draws is `least` if none of the skipped ones is a hit, and
    `most` if all are; `low` and `high` are the interval of the share in the population.
    """

    hits: int
    judged: int
    skipped: int
    least: float
    most: float
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The share of the judged draws, as if skipping had nothing to do with it."""
        return self.hits / self.judged if self.judged else None

    def sentence(self, hits: str = "mistakes") -> str:
        """Say what the skipped draws can change; `hits` is their name. Empty without skips."""
        if not self.skipped:
            return ""
        draws = self.judged + self.skipped
        count = "1 draw" if draws == 1 else f"{draws:,} draws"
        return (
            f"Of {count} {self.skipped:,} "
            f"{'was' if self.skipped == 1 else 'were'} skipped; the sample has {self.least:.0%} "
            f"{hits} if nothing skipped is one, and {self.most:.0%} if everything skipped is."
        )


def share_with_skips(
    hits: int, judged: int, skipped: int, *, population: int | None = None, level: float = LEVEL
) -> ShareWithSkips | None:
    """Return the share of hits when `skipped` random draws were skipped; `None` without draws.

    Bounds are Wilson's, or with the size of a finite `population` those of `exact_count`; without
    skips they are just these.
    """
    draws, possible = judged + skipped, hits + skipped
    if not draws:
        return None
    if population is None:
        low = wilson(hits / draws, draws, level)[0]
        high = wilson(possible / draws, draws, level)[1]
    else:
        population = max(population, draws)
        low = exact_count(hits, draws, population, level)[0] / population
        high = exact_count(possible, draws, population, level)[1] / population
    return ShareWithSkips(hits, judged, skipped, hits / draws, possible / draws, low, high)
