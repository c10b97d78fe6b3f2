"""Commands that evaluate: audit, rounds, slices, and tags to slice by."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import Failure, TypedPath, opened_project
from labeler.cli.output import print_json, print_message, print_result
from labeler.core.text import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labeler.core.project import Project
    from labeler.versions.evaluation.audit import AuditReport, VersionAudit
    from labeler.versions.evaluation.compare import Change
    from labeler.versions.evaluation.rounds import RoundReport
    from labeler.versions.evaluation.slices import SliceReport
    from model.evaluation.audit import Estimate
    from model.evaluation.intervals import Bounds
    from model.evaluation.proportions import Proportion

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
NAMES = {"mae": "error", "average_precision": "average precision"}


@click.command()
@click.option(
    "--every",
    type=int,
    metavar="N",
    help="Keep that one in N images shown for scoring is drawn at random; 0: none.",
)
@AS_JSON
def audit(every: int | None, as_json: bool) -> None:
    """Say how many mistakes each version really makes.

    Judged by images that were scored at random, never chosen by a model: those of the random order
    and the random checks that are mixed into the others.
    """
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.versions.evaluation.audit import audit_report

    with opened_project() as project:
        if every is not None:
            project.set_audit_every(every)
        report = audit_report(project)
        if as_json:
            print_json(asdict(report) | {"versions": [*map(_audit_document, report.versions)]})
            return
        for line in _audit_lines(report):
            print_result(line)


def _audit_document(version_audit: VersionAudit) -> dict[str, Any]:
    return {
        "version": version_audit.version.name,
        "active": version_audit.version.active,
        "basis": version_audit.basis,
        "told": version_audit.sentence,
        **asdict(version_audit.audit),
    }


def _audit_lines(report: AuditReport) -> Iterator[str]:
    checks = f"1 in {report.audit_every} images" if report.audit_every else "none"
    yield (
        f"Drawn at random: {count_of(report.drawn, 'scored image')}. "
        f"Random checks in other orders: {checks}."
    )
    yield from report.notes()
    if not report.versions:
        yield "There is no version to judge yet; make one with: labeler train"
    for version_audit in report.versions:
        yield f"{'*' if version_audit.version.active else ' '} {version_audit.version.name}"
        counts = version_audit.audit
        yield f"    {version_audit.sentence}"
        yield f"    false positives, of what passes: {_estimate(counts.false_positives)}"
        yield f"    false negatives, of what fails: {_estimate(counts.false_negatives)}"
    if (active := report.active) is not None:
        yield from _collection_lines(active)


def _collection_lines(active: VersionAudit) -> Iterator[str]:
    """Yield how many mistakes of the active version are left, and the share that should pass."""
    if (left := active.audit.left) is not None:
        yield (
            f"Mistakes of {active.version.name} left that no hand score has shown: about "
            f"{left.value:,.0f} ({left.low:,.0f} to {left.high:,.0f})."
        )
    if (good := active.audit.good) is not None:
        yield (
            f"Of the images it had not seen {_percent_bounds(good)} should pass: the baseline, so "
            "many would be false negatives if nothing passed."
        )


def _estimate(estimate: Estimate) -> str:
    seen = f"{estimate.mistakes} of {count_of(estimate.judged, 'drawn image')}"
    if estimate.share is None or estimate.always is None:
        return f"too few to say ({seen})"
    always = f"however often you look: {_percent_bounds(estimate.always)}"
    return f"{_percent_bounds(estimate.share)}, {seen}; {always}"


@click.command()
@AS_JSON
def rounds(as_json: bool) -> None:
    """List what each round of reviewing found and changed.

    A hit is a card that was a mistake. The last line says whether another round is worth it.
    """
    from labeler.review.advice import review_advice
    from labeler.versions.evaluation.audit import audit_report
    from labeler.versions.evaluation.rounds import round_reports

    with opened_project() as project:
        reports = round_reports(project)
        advice = review_advice(project, reports, audit_report(project))
        if as_json:
            print_json({"rounds": [asdict(each) for each in reports], "advice": asdict(advice)})
            return
        for number, each in enumerate(reports, start=1):
            for line in _round_lines(number, each):
                print_result(line)
        print_result(advice.sentence)


def _round_lines(number: int, report: RoundReport) -> Iterator[str]:
    after = f" → {report.to}" if report.to else ", open"
    hits = _hits(report.corrected, report.reviewed, report.hit_rate)
    yield f"{number}. {report.of}{after}: {hits}"
    for queue in report.queues:
        yield f"    {queue.queue}: {_hits(queue.corrected, queue.reviewed, queue.hit_rate)}"
    for change in report.changes:
        yield f"    {_format_change(change)}, on {count_of(report.judged, 'image')}"


def _hits(corrected: int, reviewed: int, rate: Proportion | None) -> str:
    text = f"{corrected} mistakes in {count_of(reviewed, 'card')}"
    return text if rate is None else f"{text}, {_proportion(rate)}"


def _format_change(change: Change) -> str:
    verdict = f": {change.verdict}" if change.verdict else ""
    scale = 10 if change.measure == "mae" else 1
    figures = f"{change.old * scale:.2f} → {change.new * scale:.2f}"
    return f"{NAMES[change.measure]} {figures}{verdict}"


@click.command()
@click.option(
    "--by",
    type=click.Choice(["source", "tag"]),
    default="source",
    show_default=True,
    help="What the slices are.",
)
@AS_JSON
def slices(by: str, as_json: bool) -> None:
    """List where predictions run too high or too low.

    By source or by tag, worst first: the mean error in points of 10 with its 95 % interval, above 0
    where predictions are too high.
    """
    from labeler.versions.evaluation.slices import slice_report

    with opened_project() as project:
        report = slice_report(project, by)
        if as_json:
            print_json(asdict(report) | {"told": report.sentences()})
            return
        for line in _slice_lines(report):
            print_result(line)


def _slice_lines(report: SliceReport) -> Iterator[str]:
    for one in report.slices:
        wrong = [f"mean error {one.mae.value:.1f}"]
        for name, share in (
            ("false positives", one.false_positives),
            ("false negatives", one.false_negatives),
        ):
            if share is not None:
                wrong.append(f"{name} {share.hits} of {share.trials}")
        yield f"{_signed_bounds(one.bias)}  {one.name} (n = {one.images}): {', '.join(wrong)}"
    yield from report.sentences()


@click.command()
@click.argument("file", metavar="FILE.csv", type=TypedPath(path_type=Path, dir_okay=False))
def tag(file: Path) -> None:
    """Give images tags from a CSV file.

    It has the columns path and tags (parted by commas or semicolons), or path and tag (one a line).
    What earlier files said of the same images is replaced; tags from text files beside the images
    stay.
    """
    with opened_project() as project:
        import_tags(project, file)


def import_tags(project: Project, file: Path) -> None:
    """Import the tags in `file`; print the result and each bad line.

    Raises `Failure` if no line is usable.
    """
    from labeler.collection.tags import tag_from_table

    summary = tag_from_table(project, file)
    for bad in summary.bad:
        print_message(f"{file}, line {bad.line}: {bad.problem}")
    print_result(
        f"Tagged {count_of(summary.images, 'image')}; lines not taken: {len(summary.bad)}."
    )
    if summary.is_useless:
        raise Failure(f"Nothing in {file} could be taken; put right what is named above.")


def _proportion(share: Proportion) -> str:
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"


def _percent_bounds(bounds: Bounds) -> str:
    return f"{bounds.value:.0%} ({bounds.low:.0%} to {bounds.high:.0%})"


def _signed_bounds(bounds: Bounds) -> str:
    return f"{bounds.value:+z.1f} ({bounds.low:+z.1f} to {bounds.high:+z.1f})"
