"""Import a file of scores: a preview first, then the import; a part of the page Add pictures."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path, PurePath

import pandas as pd
import streamlit as st

from labeler.app.routes.payloads import shown_name
from labeler.app.widgets import formatting
from labeler.app.widgets.page_errors import show_errors
from labeler.core.files.typed_paths import typed_path
from labeler.core.project import Project
from labeler.core.scorers import account_name
from labeler.scoring.import_scores import import_scores
from labeler.scoring.score_files.formats import KINDS
from labeler.scoring.score_files.statements import ReadOptions
from labeler.scoring.score_files.summary import LabelSummary

UPLOADS = ("csv", "tsv", "parquet", "jsonl", "ndjson", "json")
GUESSED_KIND = "by its name"
_DRY_RUN_KEY = "score-file-seen"
HELP_UPLOADED = (
    "A file that is uploaded has no place on this machine: its images are found by whole paths, or "
    "by file names that are unique in the project. To use paths beside it, give its path instead."
)


def import_scores_section(project: Project) -> None:
    """Show the part of the page."""
    with st.expander("Bring in scores from a file", icon=":material/grading:"):
        uploaded = st.file_uploader("A file of scores", type=list(UPLOADS), help=HELP_UPLOADED)
        pasted = st.text_input(
            "or its path on this machine",
            placeholder="/home/me/scores.csv",
            help="A table, an export of Label Studio, a folder with metadata, or a folder of "
            "folders named by their score (07_name).",
            key="score-file",
        )
        reading, add_images = _reading_fields()
        if uploaded is not None:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / f"scores{PurePath(uploaded.name).suffix.lower()}"
                file.write_bytes(uploaded.getbuffer())
                named = f"uploaded:{uploaded.name}"
                _dry_run(project, file, replace(reading, by_name=True, identity=named), add_images)
        elif pasted and pasted.strip():
            with show_errors():
                _dry_run(project, typed_path(pasted), reading, add_images)


def _reading_fields() -> tuple[ReadOptions, bool]:
    """Show how the file is read, and whether missing images are imported; return both."""
    left, middle, right = st.columns(3)
    kind = left.selectbox(
        "What it is",
        [GUESSED_KIND, *KINDS],
        format_func=lambda name: KINDS[name].description if name in KINDS else f"told {name}",
    )
    path_column = middle.text_input("Column of paths", placeholder="path")
    score_column = right.text_input("Column of scores", placeholder="score")
    low = left.number_input("Lowest score of its scale", value=0.0, format="%g")
    high = middle.number_input("Highest score of its scale", value=10.0, format="%g")
    scorer = right.text_input("Who scored", placeholder=account_name(), max_chars=80)
    scorer_column = left.text_input("or the column that says who", placeholder="none")
    add_images = middle.checkbox("Import pictures that are missing", value=False)
    return ReadOptions(
        kind=None if kind == GUESSED_KIND else kind,
        path_column=path_column or None,
        score_column=score_column or None,
        scorer_column=scorer_column or None,
        scale=None if (low, high) == (0.0, 10.0) else (low, high),
        scorer=None if scorer_column else scorer or None,
    ), add_images


def _dry_run(project: Project, file: Path, reading: ReadOptions, add_images: bool) -> None:
    """Return a preview of the import, kept over reruns, and show a button that imports."""
    with show_errors():
        size = file.stat().st_size if file.is_file() else 0
        request = (reading.identity or str(file), size, reading, add_images)
        row = st.container(horizontal=True)
        if row.button("Look at it", icon=":material/search:"):
            seen = import_scores(project, file, reading, dry_run=True, add_images=add_images)
            st.session_state[_DRY_RUN_KEY] = (request, seen, "Would score")
        about, summary, verb = st.session_state.get(_DRY_RUN_KEY, (None, None, ""))
        if summary is None or about != request:
            return
        if verb == "Would score" and row.button(
            "Take these scores",
            type="primary",
            icon=":material/done_all:",
            disabled=not summary.taken,
        ):
            with st.spinner("Taking the scores …"):
                taken = import_scores(project, file, reading, add_images=add_images)
            st.session_state[_DRY_RUN_KEY] = (request, taken, "Scored")
            st.rerun()
        _show(summary, verb)


def _show(summary: LabelSummary, verb: str) -> None:
    kind = KINDS[summary.kind].description
    counts = (
        f"{verb} {formatting.count(summary.taken, 'image')}; unchanged {summary.unchanged:,}, "
        f"without a "
        f"score {summary.blank:,}, not taken {summary.refused:,}."
    )
    (st.success if verb == "Scored" else st.info)(f"Read as {kind}. {counts}")
    if summary.to_import:
        st.caption(f"{formatting.count(summary.to_import, 'picture')} would be imported first.")
    for note in summary.notes():
        st.caption(formatting.markdown_escaped(note))
    if summary.examples:
        # The cells of a table show names letter for letter.
        rows = [
            {
                "image": shown_name(each.image),
                "score": f"{each.score:g}",
                "by": each.scorer or "",
                "counted until then": formatting.score(each.before),
            }
            for each in summary.examples
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    if summary.bad:
        refused = [
            {"where": shown_name(each.where), "why": each.reason, "more": shown_name(each.problem)}
            for each in summary.bad
        ]
        st.caption("Not taken: the first few of each reason")
        st.dataframe(pd.DataFrame(refused), hide_index=True, width="stretch")
        st.caption(
            " · ".join(f"{reason}: {count:,}" for reason, count in summary.reasons.most_common())
        )
