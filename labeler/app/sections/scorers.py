"""The part of the Progress page about the scorers: counts, agreement, and whose scores count."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from db.scores.aggregation import read_rule
from labeler.app.widgets import formatting
from labeler.core.project import Project
from labeler.core.scorers import shown_name
from labeler.scoring.agreement import (
    ScorerPair,
    ScorersReport,
    SelfAgreement,
    choose_rule,
    rule_words,
    scorers_report,
)
from model.evaluation.metrics import Figure

HELP_RULE = (
    "Every scorer's scores are kept. This decides which one counts for an image, everywhere: in "
    "training, review and export. Changing it loses nothing."
)


def scorers_section(project: Project) -> None:
    """Show the scorers and their agreement."""
    report = scorers_report(project)
    if not report.scorers:
        return
    row = st.container(horizontal=True, vertical_alignment="bottom")
    row.subheader("Scorers", width="stretch")
    rules = report.rules()
    chosen = row.selectbox(
        "What counts",
        rules,
        index=rules.index(str(report.rule)),
        format_func=lambda rule: rule_words(read_rule(rule)),
        help=HELP_RULE,
        width=320,
    )
    if chosen != str(report.rule):
        changed = choose_rule(project, chosen)
        st.toast(f"{formatting.count(changed, 'hand score')} changed.")
        st.rerun()
    people = [
        {
            "scorer": each.shown,
            "images": each.images,
            "mean": f"{each.mean:.1f}",
            "agrees with themselves to within": _repeated(report.repeats[each.name]),
        }
        for each in report.scorers
    ]
    st.dataframe(pd.DataFrame(people), hide_index=True, width="stretch")
    if report.pairs:
        rows = [pair_row(each) for each in report.pairs]
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    st.caption(_caption(report))


def _repeated(own: SelfAgreement) -> str:
    if own.found is None:
        return f"–  (too few: {formatting.count(own.repeats, 'repeat')})"
    error = own.found.error
    return f"{error.value:.2f}  ({error.low:.2f} to {error.high:.2f}; {own.repeats} repeats)"


def pair_row(pair: ScorerPair) -> dict[str, object]:
    """Return a pair's row of the table."""
    agreement = pair.agreement
    return {
        "scorers": f"{shown_name(pair.first)} and {shown_name(pair.second)}",
        "scored by both": pair.images,
        "rank correlation": _figure_text(agreement.rank_correlation, ".2f"),
        "first scores higher by": _figure_text(agreement.mean_difference, "+.1f"),
    }


def _figure_text(figure: Figure, form: str) -> str:
    if figure["value"] is None:
        return "–"
    text = format(figure["value"], form)
    if figure["low"] is None or figure["high"] is None:
        return f"{text}  (too few for an interval)"
    return f"{text}  ({figure['low']:{form}} to {figure['high']:{form}})"


def _caption(report: ScorersReport) -> str:
    if len(report.scorers) < 2:
        return (
            "One person so far. Whoever else scores says so on the Score page, below the picture; "
            "the order “Scored by others, not by you” there shows what can be compared."
        )
    text = (
        "Agreement is on the images that both scored; differences are in points of 10, intervals "
        "are 95 %."
    )
    left_out = report.left_out
    return text + (
        f" {left_out} pairs with fewer images in common are left out." if left_out else ""
    )
