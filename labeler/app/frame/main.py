"""The frame around every page: navigation, and the project at a glance in the sidebar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

import db.images.counts
import db.versions.registry
import labeler.app
from labeler.app.project import current_project
from labeler.app.routes.payloads import shown_name
from labeler.app.server.preload import preload_review
from labeler.app.widgets.formatting import count, markdown_escaped
from labeler.app.widgets.navigation import page_file
from labeler.app.widgets.page_errors import show_errors
from labeler.core.project import Project

# Streamlit would write the tables' cells as they are, and a name may be a formula: the files of the
# Export page are written so that no table program runs what is in them.
NO_RAW_TABLES = """<style>
[data-testid=stElementToolbar] [aria-label="Download as CSV"] { display: none; }
</style>"""
ICON = Path(labeler.app.__file__).parent / "assets" / "icon.svg"


def frame() -> None:
    """Run the selected page inside the frame."""
    # A file of ours: Streamlit fetches named icons for the tab from another site.
    st.set_page_config(page_title="Taste labeler", page_icon=str(ICON), layout="wide")
    st.html(NO_RAW_TABLES)
    with show_errors():
        project = current_project()
        started = project is not None and has_images(project)
        start = page("add_images", "Add pictures", "add_photo_alternate", address="start")
        chosen = st.navigation(
            {"": loop_pages(), "Project": [start]},
            position="sidebar" if started else "hidden",
        )
        if not started and chosen != start:
            st.switch_page(start)
        if project is not None and started:
            sidebar_counts(project)
        chosen.run()


def loop_pages() -> list[Any]:
    """Return the pages in the order of the loop; Score opens first."""
    return [
        page("score", "Score", "touch_app", first=True),
        page("review", "Review", "fact_check"),
        page("train", "Train", "model_training"),
        page("progress", "Progress", "trending_up"),
        page("explore", "Explore", "image_search"),
        page("try_it", "Try", "center_focus_strong", address="try"),
        page("export", "Export", "ios_share"),
    ]


def page(
    name: str, title: str, icon: str, *, first: bool = False, address: str | None = None
) -> Any:
    """Return the navigation entry of a page."""
    return st.Page(
        page_file(name),
        title=title,
        icon=f":material/{icon}:",
        default=first,
        url_path=address,
    )


def has_images(project: Project) -> bool:
    """Return whether the project has any image."""
    return sum(db.images.counts.by_state(project.store).values()) > 0


def sidebar_counts(project: Project) -> None:
    """Show the project's counts in the sidebar."""
    images = db.images.counts.by_state(project.store).get("fine", 0)
    version = db.versions.registry.active(project.store)
    if version is not None:
        preload_review(project, version.id)
    with st.sidebar:
        st.space("small")
        # A folder's name is shown as it is, never as markdown.
        st.text(shown_name(project.folder.name))
        st.caption(
            f"{db.images.counts.by_hand_score(project.store).scored:,} of {count(images, 'image')} "
            f"scored"
        )
        st.caption(f"Version {markdown_escaped(version.name)}" if version else "No version yet")


frame()
