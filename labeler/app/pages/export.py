"""Export: the dataset and the model, each with a look at what it will hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

import db.versions
from db.records import Version
from labeler import exporting
from labeler.app import measures, words
from labeler.app.folders import given_path
from labeler.app.items import shown_name
from labeler.app.shell import friendly, opened_project
from labeler.errors import BadInput
from labeler.project import Project

FORMATS = {"csv": "CSV", "parquet": "Parquet"}
DOWNLOAD = """
<style>
a.download {
  display: inline-block; padding: 0.4rem 0.9rem; border-radius: 0.5rem; text-decoration: none;
  background: var(--st-primary-color, #2a6f6b); color: #fff; font-size: 0.95rem;
}
a.download:hover { filter: brightness(1.1); }
</style>
"""


def show() -> None:
    project = opened_project()
    st.title("Export")
    data, model = st.tabs(["Dataset", "Model"])
    with data, friendly():
        dataset(project)
    with model, friendly():
        model_pair(project)


def dataset(project: Project) -> None:
    preview = exporting.preview_dataset(project)
    rows = [
        words.count(preview.images, "image"),
        f"{preview.scored:,} scored",
        f"{preview.predicted:,} predicted by {preview.version}" if preview.version else "",
    ]
    st.caption(" · ".join(row for row in rows if row))
    table = preview.sample
    st.dataframe(
        text_frame(table.rows, list(table.kinds)),
        hide_index=True,
        width="stretch",
        placeholder="",
        column_config={
            "path": st.column_config.TextColumn(width="medium"),
            "hash": st.column_config.TextColumn(width="small"),
        },
    )
    chosen = st.segmented_control(
        "Format", list(FORMATS), format_func=FORMATS.__getitem__, default="csv", required=True
    )
    download("Download", f"/api/download/dataset?format={chosen}")
    with st.expander("Write to a folder instead, with the images if you like"):
        dataset_to_folder(project, str(chosen))


def dataset_to_folder(project: Project, chosen: str) -> None:
    folder = folder_field(project, "dataset")
    with_images = st.checkbox("Copy the images, too", help="Each image once, named by its content.")
    if not st.button("Write", icon=":material/save:", key="write-dataset"):
        return
    bar = st.progress(0.0)

    def progress(done: int, total: int, what: str) -> None:
        bar.progress(done / max(1, total), text=f"{what}: {done:,} of {total:,}")

    target = checked(folder)
    target.mkdir(parents=True, exist_ok=True)
    done = exporting.export_dataset(
        project, target, chosen, with_images=with_images, progress=progress
    )
    bar.empty()
    told = f"Wrote {words.count(done.images, 'row')} to {done.file}"
    st.success(words.plain(told + (f" and {done.copied:,} images." if with_images else ".")))
    if done.not_copied:
        st.warning(f"{words.count(len(done.not_copied), 'image')} could not be copied.")
        st.dataframe(text_frame(done.not_copied, ["image", "reason"]), hide_index=True)


def text_frame(rows: Sequence[Sequence[Any]], columns: list[str]) -> pd.DataFrame:
    """Rows as they can be sent to the browser: a name may be no UTF-8."""
    cells = [[shown_name(c) if isinstance(c, str) else c for c in row] for row in rows]
    return pd.DataFrame(cells, columns=columns)


def model_pair(project: Project) -> None:
    version = db.versions.active(project.store)
    if version is None:
        st.info("There is no model yet; score some images and train on the page Train.")
        return
    st.caption(
        f"Version {version.name}, trained on {words.count(version.scored_count, 'image')}: "
        "the weights as safetensors and the config beside them, zipped."
    )
    details(project, version)
    download("Download", "/api/download/model")
    with st.expander("Write to a folder instead"):
        folder = folder_field(project, "model")
        if st.button("Write", icon=":material/save:", key="write-model"):
            exporting.export_model(project, checked(folder))
            st.success(words.plain(f"Wrote the model to {folder}."))


def details(project: Project, version: Version) -> None:
    config, metrics = st.columns(2, gap="large")
    config.markdown("**Config**")
    config.json(config_of(project, version))
    metrics.markdown("**Metrics**")
    rows = pd.DataFrame(measures.rows(version, None)).drop(columns="meaning")
    metrics.dataframe(rows, hide_index=True, width="stretch")


def config_of(project: Project, version: Version) -> dict[str, Any]:
    """What the exported config says, and what it was made with."""
    made_with = {"encoder": version.encoder, "recipe": version.recipe}
    for source, _ in exporting.model_files(project, Path("model")):
        if source.suffix == ".json" and source.is_file():
            return json.loads(source.read_text(encoding="utf-8")) | made_with
    return made_with


def folder_field(project: Project, name: str) -> str:
    default = str(project.folder / "exports" / name)
    return st.text_input("Folder", value=default, key=f"folder-{name}") or ""


def checked(text: str) -> Path:
    folder = given_path(text)
    if not text.strip() or not folder.is_absolute():
        raise BadInput(f"{text or 'Nothing'} is not a whole path; write it from its first /.")
    return folder


def download(label: str, url: str) -> None:
    """A link that looks like a button: the file is made when it is clicked and sent from disk."""
    st.html(f'{DOWNLOAD}<a class="download" href="{url}" download>{label}</a>')


with friendly():
    show()
