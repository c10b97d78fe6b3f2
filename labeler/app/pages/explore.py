"""The page Explore: all images by score, and the selected image's details and similar images."""

from __future__ import annotations

from urllib.parse import quote

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import db.images.counts
import db.images.sources
import db.versions.registry
from db.records import HandScore, Image
from labeler.app.routes.payloads import shown_name
from labeler.app.sections.contact_sheets import offer_band
from labeler.app.widgets import formatting
from labeler.app.widgets.gallery import pick, prediction_tile, tile
from labeler.app.widgets.page_errors import opened_project, show_errors
from labeler.core.project import Project
from labeler.core.scale import bounds_words
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
    """Show the page Explore."""
    project = opened_project()
    st.title("Explore")
    band = filters(project)
    results = browse.browse(project, band, page=page_number(band), per_page=PER_PAGE)
    chosen: int | None = st.session_state.get("explored")
    if chosen is None:
        image_grid(results, band)
        return
    left, right = st.columns([5, 4], gap="medium")
    with left:
        image_grid(results, band)
    with right:
        image_details_panel(project, chosen)


def filters(project: Project) -> browse.Band:
    """Show the filters; return what to show, by default by the active version."""
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
    """Show the slider and return its bounds: predictions 0–1 (in percent on the page), hand scores
    0–10.
    """
    if version is None:
        return place.slider("Hand score", 0.0, 10.0, (0.0, 10.0), 0.5, format="%g")
    low, high = place.slider("Prediction", 0, 100, (0, 100), 1, format="%d %%")
    return low / 100, high / 100


def scored_choice(place: DeltaGenerator, project: Project, version: str | None) -> bool | None:
    """Show the filter by scored images; without predictions, either the scored or the unscored
    ones.
    """
    if version is not None:
        return SCORED[place.selectbox("Scored", list(SCORED))]
    choices = ["scored", "unscored"]
    default = 0 if db.images.counts.by_hand_score(project.store).scored else 1
    return SCORED[place.selectbox("Scored", choices, default, key="scored-by-hand")]


def page_number(band: browse.Band) -> int:
    """Return the page that the pager shows; the first page again when the filter changes."""
    if st.session_state.get("explored-band") != band:
        st.session_state["explored-band"] = band
        reset_page_number()
    return st.session_state.get(page_number_key(), 1)


def image_grid(results: browse.ResultPage, band: browse.Band) -> None:
    """Show the thumbnails of one page, with the count above and the pager below."""
    if not results.total:
        st.info("Nothing is in this band; widen it or choose another source.")
        return
    row = st.container(horizontal=True, vertical_alignment="center")
    row.caption(formatting.count(results.total, "image"), width="stretch")
    offer_band(row, band, results.total)
    items = [prediction_tile(each.image, each.prediction) for each in results.shown]
    clicked = pick(items, f"shelf-{st.session_state.get('grid-turn', 0)}")
    if clicked is not None:
        st.session_state["explored"] = clicked
        st.rerun()
    pages = -(-results.total // PER_PAGE)
    if pages > 1:
        st.pagination(pages, key=page_number_key(), on_change=reset_grid)


def page_number_key() -> str:
    """Return the session-state key of the present pager."""
    return f"explored-page-{st.session_state.get('pager-turn', 0)}"


def reset_page_number() -> None:
    """Replace the pager by a new one, on the first page."""
    st.session_state["pager-turn"] = st.session_state.get("pager-turn", 0) + 1
    reset_grid()


def reset_grid() -> None:
    """Replace the grid by a new one without a selection, so that any image can be clicked again."""
    st.session_state["grid-turn"] = st.session_state.get("grid-turn", 0) + 1


def image_details_panel(project: Project, image_id: int) -> None:
    """Show the details of one image."""
    details = browse.image_details(project, image_id)
    with st.container(border=True):
        heading(details.image)
        picture(details.image)
        if details.image.state == "missing":
            st.warning(formatting.MISSING, icon=":material/hide_image:")
        facts(details)
        hand_scores(details)
        predictions(details)
        show_similar("Nearest scored", details.nearest_scored, f"nearest-{image_id}")
        similar_images = browse.similar(project, image_id, limit=12)
        show_similar("Most alike", similar_images, f"alike-{image_id}")


def heading(image: Image) -> None:
    """Show the image's number and a button that closes the details."""
    row = st.container(horizontal=True, vertical_alignment="center")
    row.subheader(f"Image {image.id}", width="stretch")
    if row.button("", icon=":material/close:", type="tertiary", help="Close", key="close-story"):
        del st.session_state["explored"]
        reset_grid()
        st.rerun()


def picture(image: Image) -> None:
    """Show the preview from the app's own route; only numbers and a hash go into the HTML."""
    query = f"?h={quote(image.content_hash)}" if image.content_hash else ""
    st.html(
        f'<a href="img/{image.id}/full{query}" target="_blank" title="Full size">'
        f'<img src="img/{image.id}/preview{query}" alt="Image {image.id}" style="display:block;'
        'max-width:100%;max-height:420px;margin:auto;border-radius:8px"></a>'
    )


def facts(details: browse.ImageDetails) -> None:
    """Show where the image lies and what kind of file it is; names as text, never as Markdown."""
    image = details.image
    st.caption(formatting.file_facts(image))
    for location in details.locations:
        gone = "" if location.present else "   (gone)"
        st.text(shown_name(f"{location.source}: {location.path}{gone}"))


def hand_scores(details: browse.ImageDetails) -> None:
    """Show the hand score and its history."""
    said = f" (confirmed: {details.confirmed})" if details.confirmed else ""
    st.markdown(f"**Hand score** {formatting.score(details.image.hand_score)}{said}")
    if details.history:
        rows = [
            {
                "when": each.at,
                "score": each.value,
                "why": why_words(each) + (", undone" if each.undone_at else ""),
                "who": each.scorer or "",
                "shown": formatting.percent(each.shown_prediction),
                "by": each.shown_version or "",
            }
            for each in reversed(details.history)
        ]
        small_table(rows)


def why_words(one: HandScore) -> str:
    """Say why a score was given, and of a confirmation what it says."""
    why = WHY.get(one.why, one.why)
    return f"{why}: {bounds_words(one.at_least, one.below)}" if one.is_interval else why


def predictions(details: browse.ImageDetails) -> None:
    """Show each version's prediction."""
    st.markdown("**Predictions**")
    if not details.predictions:
        st.caption("None yet.")
        return
    small_table(
        [
            {
                "version": each.version + (" (active)" if each.active else ""),
                "prediction": formatting.percent(each.prediction),
                "without having seen it": formatting.percent(each.out_of_fold),
            }
            for each in reversed(details.predictions)
        ]
    )


def small_table(rows: list[dict]) -> None:
    """Show rows as a table with dates and scores formatted."""
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        width="stretch",
        column_config={
            "when": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm"),
            "score": st.column_config.NumberColumn(format="%g"),
        },
    )


def show_similar(title: str, images: list[browse.Similar], key: str) -> None:
    """Show similar images; a click opens one."""
    if not images:
        return
    st.markdown(f"**{title}**")
    items = [
        tile(each.image, formatting.score(each.image.hand_score), f"{each.similarity:.0%} alike")
        for each in images
    ]
    clicked = pick(items, key)
    if clicked is not None:
        st.session_state["explored"] = clicked
        reset_grid()
        st.rerun()


with show_errors():
    show()
