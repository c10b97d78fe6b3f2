"""The part of the page Add pictures about scored pictures whose files were replaced."""

from __future__ import annotations

import streamlit as st

from labeler.app.widgets import formatting
from labeler.app.widgets.components import grid
from labeler.app.widgets.gallery import tile
from labeler.collection.carry_over import CarryOver, carry_over, carry_overs
from labeler.core.project import Project

MOST_SHOWN = 12


def carry_over_section(project: Project) -> None:
    """Show old and new pictures side by side, and a button that carries the scores over."""
    offers = carry_overs(project)
    if not offers:
        return
    near = [offer for offer in offers if offer.near]
    with st.container(border=True):
        st.markdown(
            f"**{formatting.count(len(offers), 'scored picture')} with another in its place**"
        )
        st.caption(
            "The files were compressed anew, resized, touched up or replaced. The scores are kept "
            "with the old pictures, which are missing now."
        )
        shown = offers[:MOST_SHOWN]
        grid([each for offer in shown for each in _pair(offer)], key="replaced")
        if len(offers) > len(shown):
            st.caption(f"… and {formatting.count(len(offers) - len(shown), 'more', 'more')}.")
        left, right = st.columns(2)
        if near and left.button(
            f"Carry over {formatting.count(len(near), 'score')} of those that look the same",
            type="primary",
            key="carry-near",
        ):
            _carry(project, near)
        if len(near) < len(offers) and right.button(
            f"Carry over all {len(offers)}, also to quite other pictures", key="carry-all"
        ):
            _carry(project, offers)


def _carry(project: Project, offers: list[CarryOver]) -> None:
    carry_over(project, offers)
    st.rerun()


def _pair(offer: CarryOver) -> list[dict[str, object]]:
    score = "scored" if offer.old.hand_score is None else f"scored {offer.old.hand_score:g}"
    now = "looks the same" if offer.near else "another picture"
    return [tile(offer.old, score, offer.old.path), tile(offer.new, f"now: {now}", offer.new.path)]
