"""Explore: everything by score, images like the chosen one, and the chosen one's whole story."""

from __future__ import annotations

from urllib.parse import quote

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import db.images.counts
import db.images.sources
import db.versions.registry
from db.records import Image
from labeler.app.routes.payloads import shown_name
from labeler.app.sections.contact_sheets import offer_band
from labeler.app.widgets import formatting
from labeler.app.widgets.gallery import pick, prediction_tile, tile
from labeler.app.widgets.page_errors import friendly, opened_project
from labeler.core.project import Project
from labeler.versions import browse

PER_PAGE = 60
BY_HAND = "hand scores"
ANY_SOURCE = "all sources"
HELP_BY = "The version whose predictions count here, or the scores given by hand."
SCORED = {"all": None, "scored": True, "unscored": False}
ORDERS = {"highest": True, "lowest": False}
WHY = {
    "first": "first score",
    "revision": "revised",
    "correction-false-positive": "corrected a false positive",
    "correction-false-negative": "corrected a false negative",
    "correction-hand-score": "corrected a hand score",
    "confirmation": "confirmed",
    "import": "imported",
}


def show() -> None:
    project = opened_project()
    st.title("Explore")
    band = filters(project)
    shelf = browse.browse(project, band, page=page_number(band), per_page=PER_PAGE)
    chosen: int | None = st.session_state.get("explored")
    if chosen is None:
        shelves(shelf, band)
        return
    left, right = st.columns([5, 4], gap="medium")
    with left:
        shelves(shelf, band)
    with right:
        story(project, chosen)


def filters(project: Project) -> browse.Band:
    """What to show: by the active version unless another, or the hand scores, are chosen."""
    versions = db.versions.registry.history(project.store)
    names = [version.name for version in reversed(versions)]
    active = next((version.name for version in versions if version.active), None)
    by = [*names, BY_HAND]
    sources = [ANY_SOURCE, *(source.name for source in db.images.sources.sources(project.store))]
    row = st.columns([2, 4, 2, 2, 2, 1.4], vertical_alignment="bottom")
    chosen = row[0].selectbox("By", by, by.index(active or BY_HAND), help=HELP_BY)
    version = None if chosen == BY_HAND else chosen
    low, high = band_slider(row[1], version)
    source = row[2].selectbox("Source", sources, format_func=shown_name)
    scored = scored_choice(row[3], project, version)
    order = row[4].selectbox("Order", list(ORDERS))
    top = row[5].number_input("Top", min_value=1, value=None, step=10, placeholder="all")
    return browse.Band(
        version=version,
        low=low,
        high=high,
        source=None if source == ANY_SOURCE else source,
        scored=scored,
        descending=ORDERS[order],
        top=top,
    )


def band_slider(place: DeltaGenerator, version: str | None) -> tuple[float, float]:
    """Predictions in percent, given as 0–1; hand scores as they are, 0–10."""
    if version is None:
        return place.slider("Hand score", 0.0, 10.0, (0.0, 10.0), 0.5, format="%g")
    low, high = place.slider("Prediction", 0, 100, (0, 100), 1, format="%d %%")
    return low / 100, high / 100


def scored_choice(place: DeltaGenerator, project: Project, version: str | None) -> bool | None:
    """Without predictions to go by, either the scored images or the unscored ones."""
    if version is not None:
        return SCORED[place.selectbox("Scored", list(SCORED))]
    choices = ["scored", "unscored"]
    default = 0 if db.images.counts.by_hand_score(project.store).scored else 1
    return SCORED[place.selectbox("Scored", choices, default, key="scored-by-hand")]


def page_number(band: browse.Band) -> int:
    """The page that the pager below shows; the first again when what is shown changes."""
    if st.session_state.get("explored-band") != band:
        st.session_state["explored-band"] = band
        renew_pager()
    return st.session_state.get(pager_key(), 1)


def shelves(shelf: browse.ResultPage, band: browse.Band) -> None:
    """The thumbnails of one page, with the count above and the pager below."""
    if not shelf.total:
        st.info("Nothing is in this band; widen it or choose another source.")
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(formatting.count(shelf.total, "image"), width="stretch")
    offer_band(row, band, shelf.total)
    items = [prediction_tile(each.image, each.prediction) for each in shelf.shown]
    clicked = pick(items, f"shelf-{st.session_state.get('grid-turn', 0)}")
    if clicked is not None:
        st.session_state["explored"] = clicked
        st.rerun()
    pages = -(-shelf.total // PER_PAGE)
    if pages > 1:
        st.pagination(pages, key=pager_key(), on_change=renew_grid)


def pager_key() -> str:
    return f"explored-page-{st.session_state.get('pager-turn', 0)}"


def renew_pager() -> None:
    """A new pager, which stands on the first page."""
    st.session_state["pager-turn"] = st.session_state.get("pager-turn", 0) + 1
    renew_grid()


def renew_grid() -> None:
    """A new grid with nothing chosen in it, so that any image can be clicked (again)."""
    st.session_state["grid-turn"] = st.session_state.get("grid-turn", 0) + 1


def story(project: Project, image_id: int) -> None:
    told = browse.image_details(project, image_id)
    with st.container(border=True):
        heading(told.image)
        picture(told.image)
        if told.image.state == "missing":
            st.warning(formatting.MISSING, icon=":material/hide_image:")
        facts(told)
        hand_scores(told)
        predictions(told)
        neighbours("Nearest scored", told.nearest_scored, f"nearest-{image_id}")
        alike = browse.similar(project, image_id, limit=12)
        neighbours("Most alike", alike, f"alike-{image_id}")


def heading(image: Image) -> None:
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader(f"Image {image.id}", width="stretch")
    if row.button("", icon=":material/close:", type="tertiary", help="Close", key="close-story"):
        del st.session_state["explored"]
        renew_grid()
        st.rerun()


def picture(image: Image) -> None:
    """The preview by id from the app's own route; only numbers and a hash go into the HTML."""
    query = f"?h={quote(image.content_hash)}" if image.content_hash else ""
    st.html(
        f'<a href="img/{image.id}/full{query}" target="_blank" title="Full size">'
        f'<img src="img/{image.id}/preview{query}" alt="Image {image.id}" style="display:block;'
        'max-width:100%;max-height:420px;margin:auto;border-radius:8px"></a>'
    )


def facts(told: browse.ImageDetails) -> None:
    """Where the image lies and what kind of file it is; names as text, never as markdown."""
    image = told.image
    st.caption(formatting.file_facts(image))
    for location in told.locations:
        gone = "" if location.present else "   (gone)"
        st.text(shown_name(f"{location.source}: {location.path}{gone}"))


def hand_scores(told: browse.ImageDetails) -> None:
    st.markdown(f"**Hand score** {formatting.score(told.image.hand_score)}")
    if told.history:
        rows = [
            {
                "when": each.at,
                "score": each.value,
                "why": WHY.get(each.why, each.why) + (", undone" if each.undone_at else ""),
                "who": each.scorer or "",
                "shown": formatting.percent(each.shown_prediction),
                "by": each.shown_version or "",
            }
            for each in reversed(told.history)
        ]
        small_table(rows)


def predictions(told: browse.ImageDetails) -> None:
    st.markdown("**Predictions**")
    if not told.predictions:
        st.caption("None yet.")
        return
    small_table(
        [
            {
                "version": each.version + (" (active)" if each.active else ""),
                "prediction": formatting.percent(each.prediction),
                "without having seen it": formatting.percent(each.out_of_fold),
            }
            for each in reversed(told.predictions)
        ]
    )


def small_table(rows: list[dict]) -> None:
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        column_config={
            "when": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm"),
            "score": st.column_config.NumberColumn(format="%g"),
        },
    )


def neighbours(title: str, found: list[browse.Similar], key: str) -> None:
    if not found:
        return
    st.markdown(f"**{title}**")
    items = [
        tile(each.image, formatting.score(each.image.hand_score), f"{each.similarity:.0%} alike")
        for each in found
    ]
    clicked = pick(items, key)
    if clicked is not None:
        st.session_state["explored"] = clicked
        renew_grid()
        st.rerun()


with friendly():
    show()
