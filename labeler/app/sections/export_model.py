"""The Model part of the Export page: the active version in each of its forms, and its card."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import streamlit as st

import db.versions.registry
from db.records import Version
from labeler.app.routes.payloads import shown_name
from labeler.app.sections.export_targets import (
    download,
    folder_field,
    replace_field,
    typed_output_path,
)
from labeler.app.widgets import formatting
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.exports.models.card_sections import (
    MAX_CHARACTERS,
    SECTIONS,
    set_section,
    written_sections,
)
from labeler.exports.models.export import MODEL_KINDS, export_in_subprocess, model_kind
from labeler.exports.models.model_card import model_card
from labeler.exports.models.safetensors_pair import version_files
from labeler.versions.evaluation import measures
from labeler.versions.evaluation.figures import Headline, headline
from model.files.bounded_json import parse_json

_LARGEST = 1 << 20  # characters of a config


def export_model_section(project: Project) -> None:
    """Show the Model part."""
    version = db.versions.registry.active(project.store)
    if version is None:
        st.info("There is no model yet; score some images and train on the page Train.")
        return
    origin = f"trained on {formatting.count(version.scored_count, 'image')}"
    if version.is_foreign:
        origin = "made elsewhere"
    st.caption(f"Version {formatting.markdown_escaped(version.name)}, {origin}.")
    name = st.segmented_control(
        "Form",
        list(MODEL_KINDS),
        format_func=lambda name: MODEL_KINDS[name].label,
        default=next(iter(MODEL_KINDS)),
        required=True,
        key="model-kind",
    )
    kind = model_kind(str(name))
    st.markdown(kind.purpose)
    download("Download", f"api/download/{kind.name}")
    with st.expander("Write to a folder instead"):
        export_to_folder(project, kind.name)
    if kind.name == "model-card":
        card(project)
    else:
        details(project, version, headline(project, version))


def export_to_folder(project: Project, name: str) -> None:
    """Show the form that exports the model to a folder."""
    folder = folder_field(project, name)
    replace = replace_field(name)
    if st.button("Write", icon=":material/save:", key="write-model"):
        with st.spinner("Writing"):
            export_in_subprocess(project, name, typed_output_path(folder), force=replace)
        st.success(formatting.markdown_escaped(f"Wrote the {MODEL_KINDS[name].label} to {folder}."))


def details(project: Project, version: Version, judged: Headline) -> None:
    """Show the version's config, and its metrics by random draws."""
    config, metrics = st.columns(2, gap="large")
    config.markdown("**Config**")
    config.json(_legible(config_of(project, version)))
    metrics.markdown("**Metrics**")
    table = measures.rows({version.name: judged.metrics}, judged.metrics)
    rows = pd.DataFrame(table).drop(columns="meaning")
    metrics.dataframe(rows, hide_index=True, width="stretch")
    metrics.caption(formatting.markdown_escaped(judged.sentence))


def config_of(project: Project, version: Version) -> dict[str, Any]:
    """Return the exported config and the settings of the training."""
    made_with = {"encoder": version.encoder, "recipe": version.recipe}
    _, config = version_files(project)
    try:
        with config.open(encoding="utf-8") as file:
            content = parse_json(file.read(_LARGEST))
        return dict(content) | made_with
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{config} can't be read as the config of a head; put it back from a backup, or train "
            "again with: labeler train"
        ) from error


def _legible(value: Any) -> Any:
    """Return the value with all texts made legible: a note may hold any characters."""
    if isinstance(value, dict):
        return {shown_name(str(name)): _legible(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_legible(part) for part in value]
    return "\n".join(map(shown_name, value.splitlines())) if isinstance(value, str) else value


def card(project: Project) -> None:
    """Show the form of the person's own texts, and the card as it would be written."""
    write, read = st.tabs(["Your own words", "Preview"])
    with write:
        card_sections_form(project)
    with read:
        # Whose words these are is not known: what a card shows of the web is not fetched here.
        st.markdown(re.sub(r"!(?=\[)", r"\\!", model_card(project)))


def card_sections_form(project: Project) -> None:
    """Show the form for the sections of the model card that a person writes."""
    written = written_sections(project)
    st.caption(
        "Markdown, kept for the cards of all versions. What is left empty says what the grey text "
        "says; all figures and tables come from the project."
    )
    with st.form("card-prose"):
        texts = {
            name: st.text_area(
                section.title,
                value=written[name],
                max_chars=MAX_CHARACTERS,
                placeholder=section.default_text or section.description,
                help=section.description,
                key=f"prose-{name}",
            )
            for name, section in SECTIONS.items()
        }
        kept = st.form_submit_button("Keep", icon=":material/save:")
    if kept:
        for name, text in texts.items():
            if (text or "").strip() != written[name]:
                set_section(project, name, text or "")
        st.success("Kept; the card says it from now on.")
