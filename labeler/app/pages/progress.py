"""The page Progress: advice, the audit on the random sample, the rounds, and errors by slice."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import db.scores.random_sample
import db.versions.registry
from db.records import Version
from labeler.app.sections.contact_sheets import offer_corrections
from labeler.app.sections.progress_tables import audit_row, round_row, slice_row
from labeler.app.sections.scorers import scorers_section
from labeler.app.widgets import charts, formatting
from labeler.app.widgets.navigation import go_to
from labeler.app.widgets.page_errors import opened_project, show_errors
from labeler.core.project import Project
from labeler.review.advice import review_advice
from labeler.scoring.agreement import self_agreement
from labeler.versions.evaluation import measures
from labeler.versions.evaluation.audit import AuditReport, audit_report
from labeler.versions.evaluation.figures import with_headline
from labeler.versions.evaluation.rounds import RoundReport, round_reports
from labeler.versions.evaluation.slices import slice_report
from model.evaluation.audit import FEWEST, Estimate
from model.evaluation.intervals import Bounds

SMALL = 170  # height of the charts of the rounds
MOST_SHOWN = 15  # slices in the picture; the table has all
ICONS = {"yes": ":material/forward:", "no": ":material/done_all:", "unclear": ":material/help:"}
BY = {"Source": "source", "Tag": "tag"}
HELP_LEFT = (
    "False positives and false negatives in the whole collection by the random sample, less those "
    "that a hand score has shown already."
)


def show() -> None:
    """Show the page Progress."""
    project = opened_project()
    st.title("Progress")
    sample = db.scores.random_sample.random_sample(project.store)
    versions = [
        with_headline(project, each, sample) for each in db.versions.registry.history(project.store)
    ]
    if not versions:
        st.info(
            "There is no version to judge yet: score 20 pictures or more, then train one.",
            icon=":material/model_training:",
        )
        if st.button("Train", type="primary", icon=":material/model_training:"):
            go_to("train")
        with show_errors():
            scorers_section(project)
        return
    rounds, audit = round_reports(project), audit_report(project)
    advice = review_advice(project, rounds, audit)
    st.info(formatting.markdown_escaped(advice.sentence), icon=ICONS[advice.answer])
    audit_part(audit)
    st.divider()
    with show_errors():
        rounds_part(versions, rounds)
        st.caption(self_agreement(project).sentence())
    st.divider()
    with show_errors():
        slices_part(project)
    st.divider()
    with show_errors():
        scorers_section(project)


def audit_part(report: AuditReport) -> None:
    """Show the active version's errors on the random sample, with the earlier versions below."""
    active = report.active
    name = formatting.markdown_escaped(active.version.name) if active else "No active version"
    judged = active.audit.judged if active else 0
    st.subheader(f"{name} by {formatting.count(judged, 'image')} drawn at random")
    if active is not None and judged:
        tiles = st.columns(4)
        estimates = active.audit
        share_tile(tiles[0], "False positives", "of what passes", estimates.false_positives)
        share_tile(tiles[1], "False negatives", "of what fails", estimates.false_negatives)
        left_tile(tiles[2], estimates.left)
        if estimates.good is not None:
            good = estimates.good
            tile(
                tiles[3],
                "Should pass",
                formatting.share(good.value),
                f"{formatting.percents(good)} of the images it had not seen: the baseline. So many "
                "would be false negatives if nothing passed.",
            )
    if active is not None:
        st.caption(formatting.markdown_escaped(active.sentence))
    for note in report.notes():
        st.caption(note)
    if len(report.versions) > 1 and report.drawn:
        rows = [audit_row(each) for each in reversed(report.versions)]
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    st.caption(
        "Only images that were drawn at random speak for those that nobody has scored; each is "
        "predicted by a head that had not seen it. Intervals are 95 %. Whoever looks again and "
        "again while scoring should go by the wider one, which holds however often one looks."
    )


def share_tile(place: DeltaGenerator, name: str, of: str, estimate: Estimate) -> None:
    """Show one error rate with its interval."""
    counts = f"{estimate.mistakes} of {estimate.judged}"
    if estimate.share is None or estimate.always is None:
        tile(place, name, "–", f"{of}: {counts} drawn images; {FEWEST} are needed to say.")
    else:
        value = formatting.share(estimate.share.value)
        tile(
            place,
            name,
            value,
            f"{formatting.percents(estimate.share)} {of}; {counts} drawn images. However often "
            f"you look: {formatting.percents(estimate.always)}.",
        )


def left_tile(place: DeltaGenerator, mistakes_left: Bounds | None) -> None:
    """Show how many mistakes are left."""
    if mistakes_left is None:
        tile(place, "Mistakes left", "–", "The random sample is too small to say.", HELP_LEFT)
    else:
        low, high = mistakes_left.low, mistakes_left.high
        range_text = f"{low:,.0f} to {high:,.0f} that no hand score has shown yet."
        tile(place, "Mistakes left", f"about {mistakes_left.value:,.0f}", range_text, HELP_LEFT)


def tile(place: DeltaGenerator, name: str, value: str, below: str, more: str | None = None) -> None:
    """Show a figure with a caption."""
    with place.container(border=True, height="stretch"):
        st.metric(name, value, help=more)
        st.caption(below)


def rounds_part(versions: list[Version], rounds: list[RoundReport]) -> None:
    """Show the charts and the table of the rounds."""
    st.subheader("Rounds")
    names = [version.name for version in versions]
    top, bottom = st.columns(2, gap="medium"), st.columns(2, gap="medium")
    if rounds:
        hit_rates(top[0], names, rounds)
        outcomes(top[1], names, rounds)
    else:
        st.caption("Nothing has been reviewed yet. The Review page shows the likely mistakes.")
    for place, key in zip(bottom, ("mae", "average_precision"), strict=True):
        metric_chart(place, versions, key)
    if rounds:
        rows = [round_row(each) for each in reversed(rounds)]
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
        offer_corrections(rounds)


def hit_rates(place: DeltaGenerator, names: list[str], rounds: Sequence[RoundReport]) -> None:
    """Draw the hit rate of each version's last round."""
    rate_of = {each.of: each.hit_rate for each in rounds if each.hit_rate is not None}
    rates = [rate_of.get(name) for name in names]
    place.markdown("**Hit rate**: cards that were mistakes")
    place.altair_chart(
        charts.version_history(
            names,
            [rate.value if rate else None for rate in rates],
            [rate.low if rate else None for rate in rates],
            [rate.high if rate else None for rate in rates],
            figure=".0%",
            height=SMALL,
        ),
        width="stretch",
    )


def outcomes(place: DeltaGenerator, names: list[str], rounds: Sequence[RoundReport]) -> None:
    """Draw how many cards were corrected and confirmed."""
    place.markdown("**Cards**: what became of them")
    last_rounds = [
        next((each for each in reversed(rounds) if each.of == name), None) for name in names
    ]
    counts = {
        "corrected": [each.corrected if each else 0 for each in last_rounds],
        "confirmed": [each.reviewed - each.corrected if each else 0 for each in last_rounds],
    }
    place.altair_chart(charts.outcomes(names, counts, height=SMALL), width="stretch")


def metric_chart(place: DeltaGenerator, versions: list[Version], key: str) -> None:
    """Draw one figure by random draws over the versions."""
    measure = next(each for each in measures.MEASURES if each.key == key)
    bounds = [measures.bounds(each.metrics, measure) for each in versions]
    values, lows, highs = (list(column) for column in zip(*bounds, strict=True))
    if all(value is None for value in values):
        return
    place.markdown(f"**{measure.name}**: {measure.meaning}")
    names = [version.name for version in versions]
    chart = charts.version_history(names, values, lows, highs, figure=measure.axis, height=SMALL)
    place.altair_chart(chart, width="stretch")


def slices_part(project: Project) -> None:
    """Show the errors by source or tag."""
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader("Slices", width="stretch")
    by = row.segmented_control(
        "Slices by", list(BY), default="Source", required=True, label_visibility="collapsed"
    )
    report = slice_report(project, BY[str(by)])
    for sentence in report.sentences():
        st.markdown(formatting.markdown_escaped(sentence))
    if not report.slices:
        if report.kind == "tag":
            st.caption(
                "Tags come from text files beside the images when they are imported, or from a "
                "table with: labeler tag FILE.csv"
            )
        return
    shown = report.slices[:MOST_SHOWN]
    overall = report.overall.value if report.overall else None
    st.altair_chart(charts.biases(shown, overall), width="stretch")
    st.dataframe(
        pd.DataFrame([slice_row(report.kind, one) for one in report.slices]),
        hide_index=True,
        width="stretch",
    )
    st.caption(
        "Errors in points of 10, above 0 where "
        f"{formatting.markdown_escaped(report.version)} predicts too high, of "
        f"{formatting.count(report.judged, 'image')} judged by a head that had not seen them. "
        "Images that a review showed count for more here than in the collection."
    )


with show_errors():
    show()
