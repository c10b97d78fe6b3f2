"""The rows of the tables on the Progress page."""

from __future__ import annotations

from labeler.app.routes.payloads import shown_name
from labeler.app.widgets import formatting
from labeler.versions.evaluation import measures
from labeler.versions.evaluation.audit import VersionAudit
from labeler.versions.evaluation.rounds import JUDGED_BY, RoundReport
from model.evaluation.audit import Estimate
from model.evaluation.intervals import Bounds
from model.evaluation.proportions import Proportion
from model.evaluation.slices import Slice

QUEUES = {
    "false-positive": "false positives",
    "false-negative": "false negatives",
    "hand-score": "hand scores",
}


def audit_row(judged: VersionAudit) -> dict[str, object]:
    """Return a version's row of the audit table."""
    counts = judged.audit
    return {
        "version": judged.version.name + (" · active" if judged.version.active else ""),
        "judged": counts.judged,
        "false positives, of what passes": _estimate_cell(counts.false_positives),
        "false negatives, of what fails": _estimate_cell(counts.false_negatives),
    }


def _estimate_cell(estimate: Estimate) -> str:
    if estimate.share is None:
        return f"too few to say ({estimate.mistakes} of {estimate.judged})"
    return (
        f"{formatting.share(estimate.share.value)}  ({formatting.percents(estimate.share)}; "
        f"{estimate.mistakes} of {estimate.judged})"
    )


def round_row(report: RoundReport) -> dict[str, object]:
    """Return a round's row of the table."""
    hits = {each.queue: f"{each.corrected} of {each.reviewed}" for each in report.queues}
    changes = {change.measure: change for change in report.changes}
    return {
        "round": f"{report.of} → {report.to}" if report.to else f"{report.of}, open",
        "reviewed": report.reviewed,
        "corrected": report.corrected,
        "hit rate": _rate_cell(report.hit_rate, counted=False),
        **{name: hits.get(queue, "–") for queue, name in QUEUES.items()},
        **{
            measures.BY_KEY[key].name.lower(): measures.change_cell(changes.get(key))
            for key in JUDGED_BY
        },
    }


def slice_row(kind: str, one: Slice) -> dict[str, object]:
    """Return a slice's row of the table."""
    return {
        kind: shown_name(one.name),
        "images": one.images,
        "runs too high by": _signed_cell(one.bias),
        "mean error": f"{one.mae.value:.1f}  ({max(one.mae.low, 0):.1f} to {one.mae.high:.1f})",
        "false positives": _rate_cell(one.false_positives),
        "false negatives": _rate_cell(one.false_negatives),
        "stands out": "yes" if one.stands_out else "",
    }


def _signed_cell(bounds: Bounds) -> str:
    return f"{bounds.value:+z.1f}  ({bounds.low:+z.1f} to {bounds.high:+z.1f})"


def _rate_cell(share: Proportion | None, *, counted: bool = True) -> str:
    """Return `7 % (2–23 %; 2 of 28)`; a dash without trials."""
    if share is None:
        return "–"
    between = formatting.percents(Bounds(share.value, share.low, share.high))
    counts = f"; {share.hits} of {share.trials}" if counted else ""
    return f"{formatting.share(share.value)}  ({between}{counts})"
