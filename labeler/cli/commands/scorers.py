"""labeler scorers: who scored how much, how far they agree, and whose scores count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import opened_project
from labeler.cli.output import print_json, print_result
from labeler.core.text import count_of

if TYPE_CHECKING:
    from labeler.scoring.agreement import ScorerPair, ScorersReport


@click.command()
@click.option(
    "--rule",
    metavar="RULE",
    help="From now on the score that counts is: latest, mean, or person:NAME.",
)
@click.option(
    "--repeat-every",
    type=int,
    metavar="N",
    help="From now on one in N images shown for scoring is one scored a while ago; 0: none.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def scorers(rule: str | None, repeat_every: int | None, as_json: bool) -> None:
    """Say who scored, how far they agree, and whose scores count.

    Every scorer's scores are kept. Which one counts for an image is a rule of the project: the
    latest whoever gave it, the mean of each scorer's latest, or one person's. Agreement is on the
    images that both scored: rank correlation, and the mean difference in points of 10, each with
    its 95 % interval. How far a scorer agrees with themselves comes from repeats: images that they
    scored a while ago and are shown again, unannounced and without that score.
    """
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.scoring.agreement import choose_rule, scorers_report

    with opened_project() as project:
        if repeat_every is not None:
            project.set_repeat_every(repeat_every)
        changed = choose_rule(project, rule) if rule is not None else None
        report = scorers_report(project)
        if as_json:
            print_json(_document(report, changed))
            return
        if changed is not None:
            print_result(f"Changed {count_of(changed, 'hand score')} that counts.")
        for line in _lines(report):
            print_result(line)


def _document(report: ScorersReport, changed: int | None) -> dict[str, Any]:
    return {
        "rule": str(report.rule),
        "changed": changed,
        "scorers": [asdict(each) for each in report.scorers],
        "pairs": [
            {"first": each.first, "second": each.second, "images": each.images}
            | asdict(each.agreement)
            for each in report.pairs
        ],
        "pairs_left_out": report.left_out,
        "repeats": [{"scorer": name} | asdict(each) for name, each in report.repeats.items()],
    }


def _lines(report: ScorersReport) -> Iterator[str]:
    from labeler.scoring.agreement import rule_words

    yield f"What counts: {rule_words(report.rule)}  (--rule {report.rule})"
    if not report.scorers:
        yield "Nobody has scored yet."
    for each in report.scorers:
        yield f"{each.shown}: {count_of(each.images, 'image')}, mean {each.mean:.1f}"
        yield f"    {report.repeats[each.name].sentence(each.shown)}"
    for pair in report.pairs:
        yield _pair_line(pair)
    if report.left_out:
        yield f"Pairs with fewer images in common that were not compared: {report.left_out}"
    if len(report.scorers) > 1 and not report.pairs:
        yield "No two of them have scored the same image."


def _pair_line(pair: ScorerPair) -> str:
    from labeler.core.scorers import shown_name

    agreement = pair.agreement
    return (
        f"{shown_name(pair.first)} and {shown_name(pair.second)}, "
        f"{count_of(pair.images, 'image')}: rank correlation "
        f"{_figure_text(agreement.rank_correlation, '.2f')}, difference "
        f"{_figure_text(agreement.mean_difference, '+.1f')}"
    )


def _figure_text(figure: Any, form: str) -> str:
    if figure["value"] is None:
        return "–"
    text = format(figure["value"], form)
    if figure["low"] is None:
        return f"{text} (too few for an interval)"
    return f"{text} ({figure['low']:{form}} to {figure['high']:{form}})"
