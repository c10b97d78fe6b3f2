"""The Backup part of the Export page: backup, restore and check."""

from __future__ import annotations

import shlex

import streamlit as st

from labeler.app.routes.payloads import shown_name
from labeler.app.sections.export_targets import typed_output_path
from labeler.app.widgets import formatting, job_status
from labeler.core.jobs import runner
from labeler.core.project import Project
from labeler.maintenance.backup import default_path, last_backup


def backup_section(project: Project) -> None:
    """Show the last backup, the forms for a backup and a check, and how to restore."""
    st.markdown(
        "One file with all that can't be made again: every score and how it came about, "
        "embeddings, versions with their models, added pictures, settings. Pictures of sources "
        "stay where they are; previews are made again. Scoring may go on meanwhile."
    )
    last = last_backup(project)
    if last is None:
        st.caption("There is no backup of this project yet.")
    else:
        at = f"{last.at.astimezone():%Y-%m-%d %H:%M}"
        text = f"with {last.hand_scores:,} scored images: {shown_name(last.place)}"
        st.caption(f"The last one is of {at}, {formatting.markdown_escaped(text)}")
    write(project)
    restore_section(project)
    st.divider()
    check(project)


def write(project: Project) -> None:
    """Show the form that writes a backup."""
    place = st.text_input(
        "File",
        value=shown_name(str(default_path(project))),
        key="backup-place",
        help="Ends in .tar for the whole project, in .sqlite for the store alone. Another disk is "
        "the best place.",
    )
    replace = st.checkbox("Replace a backup that is there", key="backup-replace")
    if _started(project, "backup", "Back up", ":material/save:"):
        params = {"out": str(typed_output_path(place or "")), "force": replace}
        st.session_state["backup-run"] = runner.start_run(project, "backup", params).id
        st.rerun()
    _watched(project, "backup")


def restore_section(project: Project) -> None:
    """Show how to restore a backup; the app has the store open, so it can't restore it itself."""
    with st.expander("Restore a backup"):
        st.markdown(
            "Close the app and run this in a terminal, with the backup's file for FILE. It is "
            "checked first, and what is here now is kept beside it. Never copy a backup over "
            "labeler.sqlite while the app is open: the app stops then, and takes no scores."
        )
        st.code(f"labeler --project {shlex.quote(shown_name(str(project.folder)))} restore FILE")


def check(project: Project) -> None:
    """Show the button that starts the doctor, and its report."""
    st.markdown("The check goes through everything that the project keeps, and changes nothing.")
    if _started(project, "doctor", "Check the project", ":material/health_and_safety:"):
        st.session_state["doctor-run"] = runner.start_run(project, "doctor", {}).id
        st.rerun()
    _watched(project, "doctor")


def _started(project: Project, kind: str, label: str, icon: str) -> bool:
    return st.button(
        label, icon=icon, key=f"start-{kind}", disabled=job_status.active(project, kind)
    )


def _watched(project: Project, kind: str) -> None:
    """Show the progress and the result of this session's run."""
    if job_status.active(project, kind):
        job_status.watch(project, kind)
        return
    run = job_status.latest(project, kind)
    if run is None or run.id != st.session_state.get(f"{kind}-run"):
        return
    job_status.show_outcome(run)
    if run.state == "done":
        lines = (run.message or "").splitlines()
        st.info("  \n".join(formatting.markdown_escaped(line) for line in lines))
