"""Thumbnails on a page: their captions, and selecting one by click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from db.records import Image
from labeler.app.routes.payloads import shown_name
from labeler.app.widgets.components import grid
from labeler.app.widgets.formatting import percent, scored


def tile(image: Image, title: str, caption: str = "") -> dict[str, Any]:
    """Return one thumbnail for the grid; the texts are shown as plain text, never as Markdown."""
    gone = "missing · " if image.state == "missing" else ""
    caption = gone + shown_name(caption)
    return {"id": image.id, "hash": image.content_hash, "title": title, "caption": caption}


def prediction_tile(image: Image, prediction: float | None) -> dict[str, Any]:
    """Return a thumbnail with the prediction in percent and the hand score, or the hand score
    alone.
    """
    by_hand = scored(image.hand_score)
    if prediction is None:
        return tile(image, by_hand, image.source)
    return tile(image, percent(prediction), f"{by_hand} · {image.source}")


def pick(items: Sequence[dict[str, Any]], key: str) -> int | None:
    """Show `items`; return the image id clicked since the last run of the page, else None."""
    chosen = grid(items, key=key)
    last = f"{key}:last"
    new = chosen if chosen != st.session_state.get(last) else None
    st.session_state[last] = chosen
    return new
