"""A model card's history: every version, and what each round of review changed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import db.versions.registry
from db.records import Version
from labeler.core.project import Project
from labeler.core.text import escape_markdown, markdown_table
from labeler.versions.evaluation.compare import Change
from labeler.versions.evaluation.figures import with_figures
from labeler.versions.evaluation.measures import BY_KEY, bounds
from labeler.versions.evaluation.rounds import JUDGED_BY, RoundReport, round_reports

_OWN = re.compile(r"v\d+\.\d+")


def version_in_markdown(version: Version | str) -> str:
    """A version's name in Markdown; those that came from elsewhere are named by others."""
    name = version if isinstance(version, str) else version.name
    return name if _OWN.fullmatch(name) else escape_markdown(name)


def versions(project: Project) -> list[str]:
    """The lines of the two tables."""
    known = db.versions.registry.history(project.store)
    rows = [_version(with_figures(project, each)) for each in known]
    head = ["version", "made", "after", "recipe", "scores", "error", "average precision", "note"]
    told = [
        "",
        "Figures with their 95 % intervals, each on images that the version had not seen; the "
        "error is in points of 10.",
        "",
        *markdown_table(head, rows),
    ]
    rounds = round_reports(project)
    if not rounds:
        return [*told, "", "No predictions have been reviewed yet."]
    return [
        *told,
        "",
        "What each round of review changed: predictions that looked wrong were shown and scored, "
        "and a correction is one that was wrong. The figures are those of both versions on the "
        "images that neither had seen; better and worse are said only where the 95 % interval of "
        "the difference leaves no change out.",
        "",
        *markdown_table(
            ["round", "reviewed", "corrected", "hit rate", *map(_name, JUDGED_BY)],
            map(_round, rounds),
        ),
    ]


def _name(key: str) -> str:
    return BY_KEY[key].name.lower()


def _version(version: Version) -> list[str]:
    return [
        version_in_markdown(version) + (" (active)" if version.active else ""),
        f"{version.created_at:%Y-%m-%d}",
        version_in_markdown(version.parent) if version.parent else "–",
        escape_markdown(version.recipe),
        f"{version.scored_count:,}" if version.scored_count else "none",
        _figure(version, "mae"),
        _figure(version, "average_precision"),
        escape_markdown(version.note) or "–",
    ]


def _figure(version: Version, key: str) -> str:
    measure = BY_KEY[key]
    value, low, high = bounds(version.metrics, measure)
    if value is None:
        return "–"
    if low is None or high is None:
        return measure.figure(value)
    return f"{measure.figure(value)} ({measure.figure(low)} to {measure.figure(high)})"


def _round(report: RoundReport) -> Sequence[str]:
    changes = {change.measure: change for change in report.changes}
    rate = report.hit_rate
    return [
        f"{version_in_markdown(report.of)} → {version_in_markdown(report.to)}"
        if report.to
        else f"{version_in_markdown(report.of)}, open",
        f"{report.reviewed:,}",
        f"{report.corrected:,}",
        "–"
        if rate is None
        else f"{100 * rate.value:.0f} % ({100 * rate.low:.0f} % to {100 * rate.high:.0f} %)",
        *(_changed(changes.get(key)) for key in JUDGED_BY),
    ]


def _changed(change: Change | None) -> str:
    """`1.31 → 1.18, better`; a dash without a change that could be judged."""
    if change is None:
        return "–"
    measure = BY_KEY[change.measure]
    old, new = (measure.figure(value * measure.scale) for value in (change.old, change.new))
    return f"{old} → {new}" + (f", {change.verdict}" if change.verdict else "")
