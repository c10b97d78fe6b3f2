"""The measures of a version as people read them: names, figures with their intervals, verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labeler.versions.evaluation.compare import LOOKS, PRIMARY, Change, Comparison
from labeler.versions.evaluation.random_draws import FEWEST_DRAWS


@dataclass(frozen=True, slots=True)
class Measure:
    """One entry of a version's metrics, and how it is written."""

    key: str
    name: str
    figure: Callable[[float], str]  # of the value times `scale`
    meaning: str
    scale: float = 1
    axis: str = ".2f"  # how a chart writes it (d3)


def _share(value: float) -> str:
    return f"{value * 100:.0f} %"


MEASURES = [
    Measure(
        key="mae",
        name="Error",
        figure=lambda points: f"{points:.2f}",
        scale=10,
        meaning="points of 10 from your score, on average",
    ),
    Measure(
        key="rank_correlation",
        name="Rank correlation",
        figure=lambda value: f"{value:.2f}",
        meaning="1: the same order as yours",
    ),
    Measure(
        key="precision",
        name="Precision",
        figure=_share,
        axis=".0%",
        meaning="of what passes, the share that should",
    ),
    Measure(
        key="recall",
        name="Recall",
        figure=_share,
        axis=".0%",
        meaning="of what should pass, the share that does",
    ),
    Measure(
        key="false_positives",
        name="False positives",
        figure=lambda count: f"{count:.0f}",
        axis=".0f",
        meaning="pass and should not",
    ),
    Measure(
        key="average_precision",
        name="Average precision",
        figure=_share,
        axis=".0%",
        meaning="precision over all thresholds",
    ),
]


BY_KEY = {measure.key: measure for measure in MEASURES}
ALSO_TOLD = ("average_precision",)  # beside the measure that decides
_LARGEST = 1e12  # of a figure; a project of somebody else's may hold anything


def figures_named(metrics: dict[str, Any], name: str) -> dict[str, Any]:
    """The figures of that name, none where there is but a number."""
    found = metrics.get(name)
    return found if isinstance(found, dict) else {}


def points(curve: list[Any]) -> list[dict[str, Any]]:
    """The points of a loss curve that say after which step they are."""
    return [point for point in curve if isinstance(point, dict) and point.get("step") is not None]


Bounds = tuple[float | None, float | None, float | None]


def number(value: Any) -> float | None:
    """A figure as a project keeps it; None for what is no number, not finite or absurdly large."""
    fine = type(value) in (int, float) and abs(value) <= _LARGEST
    return float(value) if fine else None


def bounds(metrics: Any, measure: Measure) -> Bounds:
    """Value, low and high end of its interval, in the measure's scale; None where there is none."""
    entry = metrics.get(measure.key) if isinstance(metrics, dict) else None
    known = entry if isinstance(entry, dict) else {}
    value, low, high = (
        None if (found := number(known.get(part))) is None else found * measure.scale
        for part in ("value", "low", "high")
    )
    return value, low, high


def written(metrics: Any, measure: Measure) -> str:
    """`82 %  (75 % – 88 %)`; a dash where there is nothing."""
    value, low, high = bounds(metrics, measure)
    if value is None:
        return "–"
    if low is None or high is None:
        return measure.figure(value)
    return f"{measure.figure(value)}  ({measure.figure(low)} – {measure.figure(high)})"


def rows(by_version: dict[str, dict[str, Any]], first: dict[str, Any]) -> list[dict[str, str]]:
    """Return one row per measure: those of each version by its name, and, of the metrics `first`,
    that of always predicting the mean."""
    return [
        {"measure": measure.name}
        | {name: written(metrics, measure) for name, metrics in by_version.items()}
        | {"baseline": written(figures_named(first, "baseline"), measure)}
        | {"meaning": measure.meaning}
        for measure in MEASURES
    ]


def verdict(comparison: Comparison, version: str, parent: str) -> str:
    """Return whether `version` is better than `parent`, or what is missing to tell it."""
    draws = f"{comparison.draws:,} image{'' if comparison.draws == 1 else 's'}"
    if not comparison.changes:
        missing = FEWEST_DRAWS - comparison.draws
        return (
            f"Whether {version} is better than {parent} can't be told yet: score {missing} more "
            f"image{'' if missing == 1 else 's'} in the order Random. Only what was drawn and "
            "taught neither can tell it; what you scored before taught them, or was chosen."
        )
    on = f"on {draws} drawn at random that neither had seen"
    by_key = {change.measure: change for change in comparison.changes}
    primary = by_key.get(PRIMARY)
    rest = [by_key[key] for key in ALSO_TOLD if key in by_key]
    also = f" {'; '.join(_changed(each) for each in rest)}." if rest else ""
    seen = f": {_changed(primary)}." if primary else "."
    if comparison.verdict is not None:
        told = f"{version} is **{comparison.verdict}** than {parent}"
        if comparison.told_at == comparison.draws:
            return f"{told} {on}{seen}{also}"
        return f"{told}, told at {comparison.told_at} draws. Now, {on}{seen}{also}"
    return (
        f"Whether {version} is better than {parent} can't be told yet {on}{seen}{also}"
        f"{_what_would_tell(comparison)}"
    )


def change_cell(change: Change | None) -> str:
    """Return `1.31 → 1.18, better`, the verdict only where it is told; a dash without a change."""
    if change is None:
        return "–"
    verdict = f", {change.verdict}" if change.verdict else ""
    return f"{_old_and_new(BY_KEY[change.measure], change)}{verdict}"


def _old_and_new(measure: Measure, change: Change) -> str:
    old, new = (measure.figure(value * measure.scale) for value in (change.old, change.new))
    return f"{old} → {new}"


def _what_would_tell(comparison: Comparison) -> str:
    look, needed = comparison.next_look, comparison.needed
    if look is None:
        return f" It was not told at {max(LOOKS)} draws; no further look is made."
    if needed is None:
        return f" It is looked for next at {look} draws; so small a difference needs more than all."
    more = needed - comparison.draws
    return f" {more:,} more draws would probably tell a difference of this size."


def _changed(change: Change) -> str:
    """Return `error 1.31 → 1.18 (−0.21 to −0.05)`."""
    measure = BY_KEY[change.measure]
    between = ""
    if change.low is not None and change.high is not None:
        low, high = (_signed(measure, end) for end in (change.low, change.high))
        between = f" (for one look {low} to {high})"
    return f"{measure.name.lower()} {_old_and_new(measure, change)}{between}"


def _signed(measure: Measure, difference: float) -> str:
    value = difference * measure.scale
    if measure.figure is _share:
        return f"{100 * value:+.0f} points".replace("-", "−")
    return f"{value:+.2f}".replace("-", "−")
