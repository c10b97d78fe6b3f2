"""The part of the Train page that adopts a published head."""

from __future__ import annotations

from typing import Any

import streamlit as st

import db.versions.registry
from db.records import Version
from labeler.app.widgets import formatting, job_status
from labeler.app.widgets.path_input import PathPreview, preview_path
from labeler.core.jobs import runner
from labeler.core.project import Project
from labeler.versions.adopt import LONGEST_NAME, name_of

WHAT = (
    "A head that somebody else has published orders your first images, and is reviewed and "
    "compared like a version of your own. Known are files of CityAesthetics (.safetensors, its "
    ".config.json beside it), of LAION's aesthetic predictors, aesthetic-predictor-v2.5 and "
    "waifu-scorer (.pth), also within a whole checkpoint. They are read without running anything "
    "that is in them."
)
HELP_SCALE = (
    "What of its own scale is 0 here, and what 10. Left empty it is 1 and 10, and 0 and 1 for "
    "CityAesthetics; waifu-scorer's differ, so it must be said."
)


def adopt_section(project: Project) -> None:
    """Show the form; while a head is being adopted, its progress."""
    if job_status.active(project, "adopt"):
        job_status.watch(project, "adopt")
        return
    job_status.show_outcome(
        job_status.latest(project, "adopt"), job_status.already_trained(project)
    )
    with st.expander("Use somebody else's head", icon=":material/group_add:"):
        form(project)


def form(project: Project) -> None:
    """Show the form by which a published head is adopted."""
    st.caption(WHAT)
    pasted = st.text_input(
        "File", placeholder="/home/me/Downloads/sac+logos+ava1-l14-linearMSE.pth", key="head-file"
    )
    seen = preview_path(pasted) if pasted and pasted.strip() else None
    problem = _problem(seen)
    if problem:
        st.warning(formatting.markdown_escaped(problem), icon=":material/folder_off:")
    arguments = fields(project, seen)
    half = arguments["scale"] is not None and None in arguments["scale"]
    if half:
        st.warning("Give both ends of its scale, or none of them.")
    ready = seen is not None and problem is None and not half
    if st.button("Add the head", icon=":material/add:", disabled=not ready) and seen is not None:
        runner.start_run(project, "adopt", {"path": str(seen.path), **arguments})
        st.rerun()


def fields(project: Project, seen: PathPreview | None) -> dict[str, Any]:
    """Show the other fields of a head; return them as `labeler.versions.adopt.adopt` takes them."""
    row = st.columns([3, 2, 2, 3])
    name = row[0].text_input(
        "Name", placeholder=name_of(seen.path) if seen else "as the file", max_chars=LONGEST_NAME
    )
    low = row[1].number_input("Worst", value=None, placeholder="1", help=HELP_SCALE)
    high = row[2].number_input("Best", value=None, placeholder="10", help=HELP_SCALE)
    label = row[3].text_input(
        "Class", placeholder="none: it gives a score", help="Whose share is the score, if it has."
    )
    own = st.checkbox(
        "It was trained on embeddings of this project's encoder, whatever its file implies",
        help=formatting.markdown_escaped(project.encoder),
    )
    active = st.checkbox("Make it active", value=db.versions.registry.active(project.store) is None)
    return {
        "name": (name or "").strip() or None,
        "scale": None if low is None and high is None else [low, high],
        "label": (label or "").strip() or None,
        "encoder": project.encoder if own else None,
        "activate": active,
    }


def evaluation_sentence(version: Version) -> str:
    """Return what an adopted version is judged by, as a sentence."""
    return f"{version.name} was made elsewhere and trained on none of your scores."


def _problem(seen: PathPreview | None) -> str | None:
    if seen is None or seen.problem:
        return seen.problem if seen else None
    return f"{seen.path} is a folder; paste the path of the file." if seen.path.is_dir() else None
