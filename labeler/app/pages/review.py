"""The page Review: likely mistakes of the active version, and hand scores that look wrong."""

from __future__ import annotations

import streamlit as st

import db.versions.registry
from labeler.app.project import project_id
from labeler.app.widgets import components
from labeler.app.widgets.page_errors import opened_project, show_errors
from labeler.core.project import Project

ROOMY = """<style>
[data-testid="stMainBlockContainer"] { padding: 3.9rem 1.6rem 2rem 1.6rem; max-width: none; }
</style>"""


def show() -> None:
    """Show the page Review."""
    project = opened_project()
    version = db.versions.registry.active(project.store)
    if version is None:
        st.title("Review")
        st.info(
            "Reviewing needs a version: score 20 pictures or more and train one, or use somebody "
            "else's head. Both are on the page Train.",
            icon=":material/model_training:",
        )
        return
    st.html(ROOMY)
    threshold = threshold_row(project, version.name)
    components.review(
        {"project": project_id(project), "threshold": threshold, "version": version.name}
    )


def threshold_row(project: Project, version: str) -> float:
    """Show the threshold, 0–1, and store it when it is moved; return it."""
    left, right = st.columns([3, 2], vertical_alignment="center")
    left.text(f"What {version} likely got wrong, and scores of yours that look wrong.")
    # No default value: one that follows the slider would make it a new slider at every step.
    if "threshold" not in st.session_state:
        shown = min(99, max(1, round(project.threshold * 100)))
        st.session_state["threshold"] = st.session_state["threshold-kept"] = shown
    selected = right.slider("An image passes from", 1, 99, step=1, format="%d %%", key="threshold")
    # Not by on_change: a newer run can break that off, and then nothing calls it for this value.
    if selected != st.session_state.get("threshold-kept"):
        project.set_threshold(selected / 100)
        st.session_state["threshold-kept"] = selected
    return project.threshold


with show_errors():
    show()
