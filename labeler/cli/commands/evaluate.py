"""Commands that say how it is going: audit, rounds, slices, and tags to slice by."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import Failure, TypedPath, opened_project
from labeler.cli.output import print_message, print_result, show_json
from labeler.core.text import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labeler.core.project import Project
    from labeler.versions.evaluation.audit import AuditReport, VersionAudit
    from labeler.versions.evaluation.compare import Change
    from labeler.versions.evaluation.rounds import RoundReport
    from labeler.versions.evaluation.slices import SliceReport
    from model.evaluation.audit import Bounds, Estimate
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
            show_json(asdict(report) | {"versions": [*map(_audit_document, report.versions)]})
            return
        for line in _audit_lines(report):
            print_result(line)


def _audit_document(judged: VersionAudit) -> dict[str, Any]:
    return {
        "version": judged.version.name,
        "active": judged.version.active,
        "unpredicted": judged.unpredicted,
        **asdict(judged.audit),
    }


def _audit_lines(report: AuditReport) -> Iterator[str]:
    checks = f"1 in {report.audit_every} images" if report.audit_every else "none"
    yield (
        f"Random sample: {count_of(report.sampled, 'scored image')}. "
        f"Random checks in other orders: {checks}."
    )
    yield from report.notes()
    if not report.versions:
        yield "There is no version to judge yet; make one with: labeler train"
    for judged in report.versions:
        yield f"{'*' if judged.version.active else ' '} {judged.version.name}"
        found = judged.audit
        yield f"    false positives, of what passes: {_estimated(found.false_positives)}"
        yield f"    false negatives, of what fails: {_estimated(found.false_negatives)}"
    if (active := report.active) is not None:
        yield from _about_all(active)


def _about_all(active: VersionAudit) -> Iterator[str]:
    """What is left of the active version's mistakes, and the baseline beside its shares."""
    if (left := active.audit.left) is not None:
        yield (
            f"Mistakes of {active.version.name} left that no hand score has shown: about "
            f"{left.value:,.0f} ({left.low:,.0f} to {left.high:,.0f})."
        )
    if (good := active.audit.good) is not None:
        yield (
            f"Of all images {_share(good)} should pass: the baseline, so many would be false "
            "negatives if nothing passed."
        )


def _estimated(found: Estimate) -> str:
    seen = f"{found.mistakes} of {count_of(found.judged, 'sampled image')}"
    if found.share is None:
        return f"too few to say ({seen})"
    return f"{_percents(found.share)}, {seen}"


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
        found = round_reports(project)
        advised = review_advice(project, found, audit_report(project))
        if as_json:
            show_json({"rounds": [asdict(each) for each in found], "advice": asdict(advised)})
            return
        for number, each in enumerate(found, start=1):
            for line in _round_lines(number, each):
                print_result(line)
        print_result(advised.sentence)


def _round_lines(number: int, found: RoundReport) -> Iterator[str]:
    after = f" → {found.to}" if found.to else ", open"
    yield f"{number}. {found.of}{after}: {_hits(found.corrected, found.reviewed, found.hit_rate)}"
    for queue in found.queues:
        yield f"    {queue.queue}: {_hits(queue.corrected, queue.reviewed, queue.hit_rate)}"
    for change in found.changes:
        yield f"    {_changed(change)}, on {count_of(found.judged, 'image')}"


def _hits(corrected: int, reviewed: int, rate: Proportion | None) -> str:
    told = f"{corrected} mistakes in {count_of(reviewed, 'card')}"
    return told if rate is None else f"{told}, {_share(rate)}"


def _changed(change: Change) -> str:
    verdict = change.verdict or "no clear change"
    scale = 10 if change.measure == "mae" else 1
    figures = f"{change.old * scale:.2f} → {change.new * scale:.2f}"
    return f"{NAMES[change.measure]} {figures}: {verdict}"


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
            show_json(asdict(report) | {"told": report.sentences()})
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
        yield f"{_signed(one.bias)}  {one.name} (n = {one.images}): {', '.join(wrong)}"
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
        take_tags(project, file)


def take_tags(project: Project, file: Path) -> None:
    """Take the tags in `file` and say what became of it, each bad line named."""
    from labeler.collection.tags import tag_from_table

    summary = tag_from_table(project, file)
    for bad in summary.bad:
        print_message(f"{file}, line {bad.line}: {bad.problem}")
    print_result(
        f"Tagged {count_of(summary.images, 'image')}; lines not taken: {len(summary.bad)}."
    )
    if summary.is_useless:
        raise Failure(f"Nothing in {file} could be taken; put right what is named above.")


def _share(share: Proportion) -> str:
    return f"{share.value:.0%} ({share.low:.0%} to {share.high:.0%})"


def _percents(bounds: Bounds) -> str:
    return f"{bounds.value:.0%} ({bounds.low:.0%} to {bounds.high:.0%})"


def _signed(bounds: Bounds) -> str:
    return f"{bounds.value:+z.1f} ({bounds.low:+z.1f} to {bounds.high:+z.1f})"
