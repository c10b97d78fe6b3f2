"""Write a model card's history: every version, and what each round of review changed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import db.scores.random_sample
import db.versions.registry
from db.records import Version
from labeler.core.project import Project
from labeler.core.text import escape_markdown, markdown_table
from labeler.versions.evaluation.figures import with_headline
from labeler.versions.evaluation.measures import BY_KEY, bounds, change_cell
from labeler.versions.evaluation.rounds import JUDGED_BY, RoundReport, round_reports

_OWN = re.compile(r"v\d+\.\d+")


def escaped_version_name(version: Version | str) -> str:
    """Return a version's name, escaped for Markdown unless this program has given it."""
    name = version if isinstance(version, str) else version.name
    return name if _OWN.fullmatch(name) else escape_markdown(name)


def version_tables(project: Project) -> list[str]:
    """Return the lines of the tables of versions and of rounds."""
    history = db.versions.registry.history(project.store)
    sample = db.scores.random_sample.random_sample(project.store)
    rows = [_version_row(with_headline(project, each, sample)) for each in history]
    head = ["version", "made", "after", "recipe", "scores", "error", "average precision", "note"]
    lines = [
        "",
        "Figures with their 95 % intervals, each by images drawn at random that the version had "
        "not seen; the error is in points of 10.",
        "",
        *markdown_table(head, rows),
    ]
    rounds = round_reports(project)
    if not rounds:
        return [*lines, "", "No predictions have been reviewed yet."]
    return [
        *lines,
        "",
        "What each round of review changed: predictions that looked wrong were shown and scored, "
        "and a correction is one that was wrong. The figures are those of both versions on the "
        "images drawn at random that neither had seen; better and worse are said of the error "
        "alone, where it can be told.",
        "",
        *markdown_table(
            ["round", "reviewed", "corrected", "hit rate", *map(_measure_name, JUDGED_BY)],
            map(_round_row, rounds),
        ),
    ]


def _measure_name(key: str) -> str:
    return BY_KEY[key].name.lower()


def _version_row(version: Version) -> list[str]:
    return [
        escaped_version_name(version) + (" (active)" if version.active else ""),
        f"{version.created_at:%Y-%m-%d}",
        escaped_version_name(version.parent) if version.parent else "–",
        escape_markdown(version.recipe),
        f"{version.scored_count:,}" if version.scored_count else "none",
        _figure_cell(version, "mae"),
        _figure_cell(version, "average_precision"),
        escape_markdown(version.note) or "–",
    ]


def _figure_cell(version: Version, key: str) -> str:
    measure = BY_KEY[key]
    value, low, high = bounds(version.metrics, measure)
    if value is None:
        return "–"
    if low is None or high is None:
        return measure.figure(value)
    return f"{measure.figure(value)} ({measure.figure(low)} to {measure.figure(high)})"


def _round_row(report: RoundReport) -> Sequence[str]:
    changes = {change.measure: change for change in report.changes}
    rate = report.hit_rate
    return [
        f"{escaped_version_name(report.of)} → {escaped_version_name(report.to)}"
        if report.to
        else f"{escaped_version_name(report.of)}, open",
        f"{report.reviewed:,}",
        f"{report.corrected:,}",
        "–"
        if rate is None
        else f"{100 * rate.value:.0f} % ({100 * rate.low:.0f} % to {100 * rate.high:.0f} %)",
        *(change_cell(changes.get(key)) for key in JUDGED_BY),
    ]
