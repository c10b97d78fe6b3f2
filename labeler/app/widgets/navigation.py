"""The pages by name, and how to go from one to another."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import streamlit as st

PAGES = Path(__file__).parents[1] / "pages"


def page_file(name: str) -> Path:
    """Return the path of a page's script."""
    return PAGES / f"{name}.py"


def go_to(name: str) -> NoReturn:
    """Show another page from its beginning; it must be one that the frame offers."""
    st.switch_page(page_file(name))
