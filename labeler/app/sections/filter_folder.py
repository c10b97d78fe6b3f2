"""Filter a folder by predicted score in a run: the form, its progress and result."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from labeler.app.sections.export_targets import replace_field, typed_output_path
from labeler.app.widgets import formatting, job_status
from labeler.app.widgets.path_input import preview_path
from labeler.core.errors import BadInput
from labeler.core.files.tables import FORMATS
from labeler.core.jobs import runner
from labeler.core.project import Project
from labeler.prediction.copy_images import Destination
from labeler.prediction.filter import Filter

PUT = {
    "copy": "Copy them",
    "hard": "Hard links: no room taken, same disk",
    "sym": "Symbolic links: no room taken, the originals must stay",
    "none": "Leave them where they are: only the list",
}
SIDECARS = {None: "none", "json": "NAME.prediction.json", "txt": "NAME.prediction.txt"}


def filter_section(project: Project, version: str) -> None:
    """Show the form that filters a folder by the predictions of `version`, and start the run."""
    st.markdown(
        "Take the images that pass out of any folder. The folder stays as it is, and nothing of "
        "it is imported."
    )
    typed = st.text_input("Folder with pictures", key="filter-folder") or ""
    low, high = st.slider(
        "Prediction", 0, 100, (round(100 * project.threshold), 100), format="%d %%"
    )
    left, right = st.columns(2, gap="medium")
    with left:
        top = st.number_input("Only the highest", min_value=1, value=None, placeholder="all")
        usual = str(project.folder / "exports" / "filtered")
        target = st.text_input("Write to", value=usual, key="filter-target") or ""
        replace = replace_field("filter")
        form = str(st.selectbox("List", FORMATS, format_func=lambda each: f"predictions.{each}"))
    with right:
        put = str(st.selectbox("Image files", list(PUT), format_func=PUT.__getitem__))
        flat = st.checkbox("All in one folder", help="Else in the folders that they are in.")
        follow = st.checkbox("Follow links", help="Also those that lead out of the folder.")
        sidecar = st.selectbox(
            "Prediction as a file", list(SIDECARS), format_func=SIDECARS.__getitem__
        )
    busy = job_status.active(project, "predict")
    if st.button("Filter", icon=":material/filter_alt:", key="filter", disabled=busy):
        source, folder = _folder_preview(typed), typed_output_path(target)
        where = None if put == "none" else Destination(folder, put, flat, sidecar)
        out = folder / f"predictions.{form}"
        image_filter = Filter(low / 100, high / 100, top, version, where, out, follow, replace)
        params = {"paths": [str(source)], "filter": image_filter.as_values()}
        st.session_state["filter-run"] = runner.start_run(project, "predict", params).id
        st.rerun()
    _outcome(project, busy=busy)


def _folder_preview(text: str) -> Path:
    seen = preview_path(text)
    if seen.problem:
        raise BadInput(seen.problem)
    return seen.path


def _outcome(project: Project, *, busy: bool) -> None:
    if busy:
        job_status.watch(project, "predict")
        return
    run = job_status.latest(project, "predict")
    if run is None or run.id != st.session_state.get("filter-run"):
        return
    job_status.show_outcome(run)
    if run.state == "done" and run.message:
        st.success(formatting.markdown_escaped(run.message), icon=":material/check_circle:")
