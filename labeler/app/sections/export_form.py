"""The options of an export, and the data card with its licences."""

from __future__ import annotations

from typing import Any

import streamlit as st

import db.images.sources
from labeler.app.widgets.formatting import markdown_escaped
from labeler.core.project import Project
from labeler.exports.datasets.export import Kind
from labeler.exports.datasets.plan import Plan
from labeler.exports.datasets.rows import dataset_of
from labeler.exports.datasets.splits import USUAL
from labeler.exports.licences import ALL, LONGEST, licences, set_licence

FORMATS = {"csv": "CSV", "parquet": "Parquet", "jsonl": "JSON lines"}
LINKS = {
    "copy": "Copy them",
    "hard": "Hard links: no room taken, same disk",
    "sym": "Symbolic links: no room taken, the originals must stay",
}
SCOPES = {True: "Scored images", False: "All images"}
MOST_SOURCES = 30  # whose licences are asked for one by one


def plan_form(kind: Kind) -> Plan:
    """Show the choices that this format has; return them. Raises `BadInput` for invalid ones."""
    chosen: dict[str, Any] = {}
    left, right = st.columns(2, gap="medium")
    with left:
        if not kind.only_scored:
            chosen["scored_only"] = st.segmented_control(
                "Images",
                list(SCOPES),
                format_func=SCOPES.__getitem__,
                default=kind.scored_only,
                required=True,
                key=f"scope-{kind.name}",
            )
        if "file_format" in kind.choices:
            chosen["file_format"] = _format(kind)
        if "name" in kind.choices:
            chosen["name"] = _text("Name of the folders, after the score", "name", kind)
        if "image_url" in kind.choices:
            chosen["image_url"] = _text("Address that image paths are put behind", "url", kind)
        if "completed_by" in kind.choices:
            chosen["completed_by"] = _text(
                "Accounts there, as scorer=number or address, with commas", "accounts", kind
            )
    with right:
        chosen["split"] = st.text_input(
            "Split, train : validation : test",
            value=USUAL,
            key=f"split-{kind.name}",
            help="Near-duplicates and groups stay together; images that come later move no others.",
        )
        chosen["seed"] = int(
            st.number_input("Seed of the split", value=0, step=1, key=f"seed-{kind.name}")
        )
    if "with_images" in kind.choices:
        chosen["with_images"] = st.checkbox(
            "With the image files", help="Each once, in the folder images.", key="with-images"
        )
    if "link" in kind.choices and chosen.get("with_images", True):
        chosen["link"] = st.selectbox(
            "Image files, when written to a folder",
            list(LINKS),
            format_func=LINKS.__getitem__,
            key=f"link-{kind.name}",
        )
    return Plan(**chosen)


def _format(kind: Kind) -> str:
    of_table = "with_images" in kind.choices
    return str(
        st.segmented_control(
            "File" if of_table else "Metadata",
            list(FORMATS),
            format_func=FORMATS.__getitem__,
            default="csv" if of_table else "parquet",
            required=True,
            key=f"format-{kind.name}",
        )
    )


def _text(label: str, field: str, kind: Kind) -> str | None:
    return (st.text_input(label, key=f"{field}-{kind.name}") or "").strip() or None


def card_form(project: Project, plan: Plan) -> None:
    """Show the licences, which are stored when they change, and the card as it would be written."""
    licence_of = licences(project)
    sources = [source.name for source in db.images.sources.sources(project.store)][:MOST_SOURCES]
    with st.form("licences"):
        texts = {
            source: st.text_input(
                f"Licence of {markdown_escaped(source)}" if source else "Licence of the images",
                value=licence_of.get(source, ""),
                max_chars=LONGEST,
                key=f"licence-{number}",
            )
            for number, source in enumerate([ALL, *sources])
        }
        kept = st.form_submit_button("Keep the licences")
    if kept:
        for source, text in texts.items():
            set_licence(project, text or "", source)
        st.success("Kept; every data card from now on says them.")
    if st.button("Show the card", key="show-card"):
        # Imported where they are used: scipy comes with it, which opening the page does without.
        from labeler.exports.datasets.data_card import data_card

        st.code(data_card(dataset_of(project, plan)), language="markdown", wrap_lines=True)
