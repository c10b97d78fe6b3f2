"""Links to contact sheets beside what the sheets show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from urllib.parse import urlencode

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from labeler.app.routes.contact_sheets import MAX_IMAGES
from labeler.versions.browse import Band
from labeler.versions.evaluation.rounds import RoundReport

_LINK = '<a href="{}" download style="color:var(--st-primary-color);font-size:0.9rem">{}</a>'
_LAST = 6  # rounds whose corrections are offered


def offer_band(place: DeltaGenerator, band: Band, total: int) -> None:
    """Show a link to the contact sheet of `band`."""
    most = f" of the first {MAX_IMAGES:,}" if total > MAX_IMAGES else ""
    link = _LINK.format(escape(band_address(band)), f"Contact sheet{most}")
    place.html(link, width="content")


def offer_corrections(rounds: Sequence[RoundReport]) -> None:
    """Show links to contact sheets of the corrections of the last rounds."""
    links = [
        _LINK.format(f"api/sheet?round={number}", escape(f"{each.of}, {each.corrected}"))
        for number, each in enumerate(rounds, start=1)
        if each.corrected
    ]
    if links:
        st.html("Contact sheets of the corrections: " + " · ".join(links[-_LAST:][::-1]))


def band_address(band: Band) -> str:
    """Return the address of the contact sheet of `band`."""
    values = {
        name: int(value) if isinstance(value, bool) else value
        for name, value in asdict(band).items()
        if value is not None
    }
    return f"api/sheet?{urlencode(values)}"
