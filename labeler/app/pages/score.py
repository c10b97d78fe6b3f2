"""The page Score: one picture, one key, the next picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import streamlit as st

import db.images.counts
import db.images.sources
import db.scores.hand_scores
from labeler.app.project import project_id
from labeler.app.routes.payloads import shown_name
from labeler.app.widgets import components
from labeler.app.widgets.page_errors import opened_project, show_errors
from labeler.core.project import Project
from labeler.core.scale import BRACKETS
from labeler.core.scorers import account_name
from labeler.scoring.queue import ORDERS

CHECKS = (0, 5, 10, 20)
REPEATS = (0, 20, 30, 50)
HELP_CHECKS = (
    "How many of the images shown in any order but the random one are drawn at random. Only these "
    "say how good a version really is: its figures on Train and Progress count these."
)
HELP_REPEATS = (
    "How many of the images shown are ones that you scored a while ago. They come unannounced and "
    "without that score: how far you agree with yourself is what a model can reach at best. See "
    "the Progress page."
)
# The picture gets the room that Streamlit leaves around a page's text.
ROOMY = """<style>
[data-testid="stMainBlockContainer"] { padding: 3.9rem 1.6rem 0 1.6rem; max-width: none; }
</style>"""


def show() -> None:
    """Show the page Score."""
    project = opened_project()
    if not db.images.counts.by_state(project.store).get("fine"):
        st.title("Score")
        st.info("There is no picture to score yet.", icon=":material/photo_library:")
        return
    st.html(ROOMY)
    with st.sidebar:
        st.space("small")
        checks, repeats = project.audit_every, project.repeat_every
        share_setting("Random checks", HELP_CHECKS, CHECKS, checks, project.set_audit_every)
        share_setting("Repeats", HELP_REPEATS, REPEATS, repeats, project.set_repeat_every)
    components.score(page_data(project))


def share_setting(
    label: str, more: str, offered: tuple[int, ...], stored: int, keep: Callable[[int], None]
) -> None:
    """Show how often something is mixed in; a change is stored at once."""
    # No default that follows the choice: it would make this a new control after every choice.
    key = label.lower()
    if key not in st.session_state:
        st.session_state[key] = st.session_state[f"{key}-kept"] = stored
        st.session_state[f"{key}-offered"] = sorted({stored, *offered})
    options = st.session_state[f"{key}-offered"]
    chosen = st.selectbox(label, options, format_func=share_label, help=more, key=key)
    if chosen != st.session_state[f"{key}-kept"]:
        keep(chosen)
        st.session_state[f"{key}-kept"] = chosen


def share_label(every: int) -> str:
    """Return the label of how often something is mixed in."""
    if every == 0:
        return "none"
    return "every image" if every == 1 else f"1 in {every} images"


def page_data(project: Project) -> dict[str, object]:
    """Return what the component needs before its first request."""
    return {
        "project": project_id(project),
        "brackets": [asdict(bracket) for bracket in BRACKETS],
        "checks": project.audit_every,
        "repeats": project.repeat_every,
        "scorer": account_name(),
        "scorers": [name for name in db.scores.hand_scores.scorers(project.store) if name],
        "orders": [list(order) for order in ORDERS],
        "sources": [
            [source.id, shown_name(source.name)]
            for source in db.images.sources.sources(project.store)
        ],
    }


with show_errors():
    show()
