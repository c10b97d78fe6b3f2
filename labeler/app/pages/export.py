"""The page Export: the dataset in a selected format, the model, and a backup of the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from labeler.app.routes.export_urls import plan_address
from labeler.app.routes.payloads import shown_name
from labeler.app.sections.backup import backup_section
from labeler.app.sections.export_form import card_form, plan_form
from labeler.app.sections.export_model import export_model_section
from labeler.app.sections.export_targets import (
    download,
    folder_field,
    replace_field,
    typed_output_path,
)
from labeler.app.widgets import formatting, job_status
from labeler.app.widgets.page_errors import opened_project, show_errors
from labeler.core.jobs import runner
from labeler.core.project import Project
from labeler.exports.datasets.export import DATASET, KINDS, Kind
from labeler.exports.datasets.plan import Plan
from labeler.exports.datasets.preview import preview


def show() -> None:
    """Show the page Export."""
    project = opened_project()
    st.title("Export")
    data, model, backup = st.tabs(["Dataset", "Model", "Backup"])
    with data, show_errors():
        dataset(project)
    with model, show_errors():
        export_model_section(project)
    with backup, show_errors():
        backup_section(project)


def dataset(project: Project) -> None:
    """Show the form and the downloads of the dataset."""
    name = st.selectbox(
        "Format", list(KINDS), format_func=lambda name: KINDS[name].label, key="export-kind"
    )
    kind = KINDS[name]
    st.markdown(kind.purpose)
    plan = plan_form(kind)
    dataset_preview(project, kind, plan)
    if kind.name == DATASET:
        download("Download", f"{plan_address(kind, plan)}&format={plan.file_format or 'csv'}")
    download("Download all as a zip", plan_address(kind, plan))
    with st.expander("Write to a folder instead"):
        export_to_folder(project, kind, plan)
    with st.expander("Data card: what is in it and how it came about"):
        card_form(project, plan)


def dataset_preview(project: Project, kind: Kind, plan: Plan) -> None:
    """Show the size of the export, its first rows and its notes."""
    summary = preview(project, kind, plan)
    parts = [
        formatting.count(summary.images, "image"),
        f"{summary.scored:,} scored",
        f"{summary.predicted:,} predicted by {formatting.markdown_escaped(summary.version)}"
        if summary.version
        else "",
        f"{summary.missing:,} without a file at present" if summary.missing else "",
        f"split {plan.split}",
    ]
    st.caption(" · ".join(part for part in parts if part))
    st.dataframe(
        text_frame(summary.sample.rows, summary.sample.columns),
        hide_index=True,
        width="stretch",
        placeholder="",
        column_config={
            "path": st.column_config.TextColumn(width="medium"),
            "hash": st.column_config.TextColumn(width="small"),
        },
    )
    for note in summary.notes:
        st.info(formatting.markdown_escaped(note), icon=":material/info:")


def export_to_folder(project: Project, kind: Kind, plan: Plan) -> None:
    """Start the export as a run, or show its progress and result."""
    folder = folder_field(project, kind.name)
    replace = replace_field(kind.name)
    busy = job_status.active(project, "export")
    if st.button("Write", icon=":material/save:", key="write-dataset", disabled=busy):
        target = typed_output_path(folder)
        params = {
            "kind": kind.name,
            "out": str(target),
            "plan": plan.as_values(),
            "force": replace,
        }
        if kind.name == DATASET:
            target.mkdir(parents=True, exist_ok=True)
        st.session_state["export-run"] = runner.start_run(project, "export", params).id
        st.rerun()
    if busy:
        job_status.watch(project, "export")
        return
    run = job_status.latest(project, "export")
    if run is None or run.id != st.session_state.get("export-run"):
        return
    job_status.show_outcome(run)
    if run.state == "done":
        lines = (run.message or "").splitlines()
        st.success("  \n".join(formatting.markdown_escaped(line) for line in lines))


def text_frame(rows: Sequence[Sequence[Any]], columns: list[str]) -> pd.DataFrame:
    """Return rows as a table that can be sent to the browser: names may be invalid UTF-8."""
    return pd.DataFrame([[_shown(cell) for cell in row] for row in rows], columns=columns)


def _shown(cell: Any) -> Any:
    if isinstance(cell, list):
        cell = ", ".join(cell)
    return shown_name(cell) if isinstance(cell, str) else cell


with show_errors():
    show()
