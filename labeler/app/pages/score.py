"""Score: one picture, one key, the next picture."""

from __future__ import annotations

from dataclasses import asdict

import streamlit as st

import db.images
from labeler.app import components
from labeler.app.items import shown_name
from labeler.app.project import project_id
from labeler.app.shell import friendly, opened_project
from labeler.project import Project
from labeler.scoring import BRACKETS, ORDERS

# The picture gets the room that Streamlit leaves around a page's text.
ROOMY = """<style>
[data-testid="stMainBlockContainer"] { padding: 3.9rem 1.6rem 0 1.6rem; max-width: none; }
</style>"""


def show() -> None:
    project = opened_project()
    if not db.images.count_by_state(project.store).get("fine"):
        st.title("Score")
        st.info("There is no picture to score yet.", icon=":material/photo_library:")
        return
    st.html(ROOMY)
    components.score(page_data(project))


def page_data(project: Project) -> dict[str, object]:
    """What the component needs before it asks for the first image."""
    return {
        "project": project_id(project),
        "brackets": [asdict(bracket) for bracket in BRACKETS],
        "orders": [list(order) for order in ORDERS],
        "sources": [
            [source.id, shown_name(source.name)] for source in db.images.sources(project.store)
        ],
    }


with friendly():
    show()
