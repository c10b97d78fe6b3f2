"""The measures of a version as people read them: names, figures with their intervals, verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from db.records import Version
from labeler.versions.evaluation.compare import Change, Comparison


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


def judged(version: Version) -> int:
    """On how many images its figures rest: it had a hand score of each, or was made elsewhere."""
    return _number(version.metrics.get("judged")) if version.is_foreign else version.scored_count


def _number(found: Any) -> int:
    return int(found) if isinstance(found, int | float) else 0


def rows(version: Version, parent: Version | None) -> list[dict[str, str]]:
    """One row per measure, beside the parent's and that of always predicting the mean."""
    told = []
    for measure in MEASURES:
        row = {"measure": measure.name, version.name: written(version.metrics, measure)}
        if parent is not None:
            row[parent.name] = written(parent.metrics, measure)
        row["baseline"] = written(figures_named(version.metrics, "baseline"), measure)
        told.append(row | {"meaning": measure.meaning})
    return told


def verdict(comparison: Comparison, parent: Version) -> str:
    """One or two sentences; better and worse only where the interval leaves no change out."""
    if not comparison.changes:
        return f"Too few images were judged by both to say how this differs from {parent.name}."
    images = f"{comparison.shared:,} image{'' if comparison.shared == 1 else 's'}"
    on = f"on the {images} that both were judged on without seeing them"
    known = {measure.key: measure for measure in MEASURES}
    clear = [each for each in comparison.changes if each.verdict is not None]
    if not clear:
        return f"No clear difference from {parent.name} {on}."
    said = "; ".join(_said(change, known[change.measure]) for change in clear)
    rest = "" if len(clear) == len(comparison.changes) else "; no clear change in the rest"
    return f"Compared with {parent.name} {on}: {said}{rest}."


def _said(change: Change, measure: Measure) -> str:
    old, new = (measure.figure(value * measure.scale) for value in (change.old, change.new))
    return f"**{change.verdict}** {measure.name.lower()} ({old} → {new})"
