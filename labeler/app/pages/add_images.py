"""The page Add pictures: the first page of a new project, and where more pictures are added.

Select a folder, watch it being imported and embedded, start scoring.
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import streamlit as st

import db.images.counts
import db.images.embeddings
from labeler.app.project import current_project
from labeler.app.routes.payloads import shown_name
from labeler.app.sections.carry_over import carry_over_section
from labeler.app.sections.import_scores import import_scores_section
from labeler.app.widgets import components, formatting, job_status
from labeler.app.widgets.job_status import LONG_WORK
from labeler.app.widgets.navigation import go_to
from labeler.app.widgets.page_errors import show_errors
from labeler.app.widgets.path_input import PathPreview, preview_path
from labeler.core.errors import BadInput
from labeler.core.files.typed_paths import typed_path
from labeler.core.jobs import runner
from labeler.core.project import Project
from labeler.core.status import Status, read_status
from model.encoders.names import canonical

FORM_WIDTH = 820
POLL_MILLISECONDS = 2000  # milliseconds

# What each choice means: what it costs once, and how well it tells pictures apart.
ENCODERS = {
    "clip-l14": "**CLIP L/14** · downloads 1.7 GB once · knows content and style; the usual choice",
    "clip-l14-336": "**CLIP L/14, 336 px** · downloads 1.7 GB once · sees finer detail, "
    "takes twice the time; what published CityAesthetics files expect",
    "clip-b32": "**CLIP B/32** · downloads 0.6 GB once · many times faster, a little coarser",
    "lite": "**Lite** · nothing to download · fast on any machine; good for a try, "
    "weaker on style and taste",
}


def show() -> None:
    """Show the page Add pictures."""
    project = current_project()
    images = sum(db.images.counts.by_state(project.store).values()) if project else 0
    busy = project is not None and any(job_status.active(project, kind) for kind in LONG_WORK)
    if images or busy:
        st.title("Add pictures")
    else:
        welcome()
    if project is not None and busy:
        # Scoring needs no embeddings: whoever is in a hurry starts with what is imported.
        offers = [job_status.watch(project, kind, "Start scoring meanwhile") for kind in LONG_WORK]
        if any(offers):
            go_to("score")
        return
    follow_running_job(project)
    if project is not None:
        import_outcome(project)
        carry_over_section(project)
    choose_source(project, images)
    if project is not None and images:
        import_scores_section(project)
        unreadable_images(read_status(project))


def follow_running_job(project: Project | None) -> None:
    """Rerun the page when an import begins in another tab or by a command."""
    newest = job_status.newest(project, LONG_WORK) if project else None
    query = {"after": newest.id if newest else 0}
    components.watch("begun", query, "watch-begun", every=POLL_MILLISECONDS)


def welcome() -> None:
    """Show the introduction of a new project."""
    st.title("Teach a model your taste")
    st.markdown(
        "Score pictures from 0 to 10, train, correct what the model got wrong, train again. "
        "Pictures stay where they are; nothing leaves this machine."
    )


def choose_source(project: Project | None, images: int) -> None:
    """Show the form that starts an import."""
    with st.container(border=True, width=FORM_WIDTH):
        pasted = st.text_input(
            "Folder with pictures",
            placeholder="/home/me/Pictures",
            help="Its folders are searched too. A single file works as well, and so does a tar, "
            "zip or Parquet file of pictures.",
            key="pictures",
        )
        seen = preview_path(pasted) if pasted and pasted.strip() else None
        show_preview(seen)
        source, expect = source_fields(seen)
        follow = st.checkbox(
            "Follow links",
            help="Also take what links in the folder lead to elsewhere, as in the cache of Hugging "
            "Face. What this program linked is taken in any case.",
            key="follow-links",
        )
        folder = None if project else project_field()
        encoder = encoder_field(project) if not images else None
        ready = seen is not None and seen.problem is None and (project or folder)
        pressed = st.button(
            "Import", type="primary", icon=":material/download:", disabled=not ready
        )
        if pressed and seen is not None:
            start_import(
                project=project,
                folder=folder,
                encoder=encoder,
                seen=seen,
                source=source,
                expect=expect,
                follow_links=follow,
            )


def show_preview(seen: PathPreview | None) -> None:
    """Show what was found at the typed path."""
    if seen is None:
        return
    if seen.problem:
        st.warning(formatting.markdown_escaped(seen.problem), icon=":material/folder_off:")
    else:
        more = "more than " if seen.more else ""
        st.caption(f":material/check: Found {more}{formatting.count(seen.files, 'file')}.")


def source_fields(seen: PathPreview | None) -> tuple[str, tuple[float, float] | None]:
    """Show the fields of the source; return its name and its expected scores, 0–10."""
    left, right = st.columns([2, 3], gap="medium")
    name = left.text_input(
        "Name of this source",
        value=seen.path.name if seen and not seen.problem else "",
        max_chars=80,
        help="Groups these pictures: you can score, filter and compare by source.",
    )
    with right:
        expects_band = st.toggle(
            "I know about how good these are",
            help="A prediction far outside the band you expect is shown first in Review: "
            "a folder of snapshots expects 0–3, say.",
        )
        band = None
        if expects_band:
            band = st.slider("Expected scores", 0.0, 10.0, (0.0, 3.0), 0.5, format="%g")
    return name or "", band


def project_field() -> Path | None:
    """Show the field of the project's folder; return an absolute path, None if it is none."""
    default = os.environ.get("LABELER_PROJECT") or str(Path.cwd() / "taste")
    text = st.text_input(
        "Project folder",
        value=default,
        help="Scores, embeddings, models and previews are kept here. It is made if needed.",
        key="project-folder",
    )
    try:
        folder = typed_path(text or "")
    except BadInput as error:
        st.warning(formatting.markdown_escaped(str(error)), icon=":material/folder_off:")
        return None
    return folder if text and folder.is_absolute() else None


def encoder_field(project: Project | None) -> str:
    """Show the choice of the encoder while there are no images; return its name."""
    names = list(ENCODERS)
    present = project.encoder if project else canonical(names[0])
    encoders = [canonical(name) for name in names]
    if present not in encoders:
        st.text(f"Encoder: {present}")
        return present
    return st.radio(
        "Encoder",
        names,
        index=encoders.index(present),
        format_func=ENCODERS.__getitem__,
        help="Turns each picture into the numbers that the model learns from.",
    )


def start_import(
    *,
    project: Project | None,
    folder: Path | None,
    encoder: str | None,
    seen: PathPreview,
    source: str,
    expect: tuple[float, float] | None,
    follow_links: bool,
) -> None:
    """Start an import run, in a new project if there is none."""
    if project is None:
        assert folder is not None
        project = Project.create(folder, encoder or "clip-l14")
        # The app serves one project, the one that this names.
        os.environ["LABELER_PROJECT"] = str(project.folder)
    elif encoder:
        project.store.set_setting("encoder", canonical(encoder))
    # The run embeds what it imported, too.
    params = {
        "paths": [str(seen.path)],
        "source": source.strip() or None,
        "expect": expect,
        "follow_links": follow_links,
    }
    runner.start_run(project, "import", params)
    st.rerun()


def import_outcome(project: Project) -> None:
    """Show the result of the last import, and the next step: embed what is missing, or start
    scoring.
    """
    run = job_status.newest(project, LONG_WORK)
    job_status.show_outcome(run)
    if run is not None and run.state == "done" and run.message:
        st.success(formatting.markdown_escaped(run.message), icon=":material/check_circle:")
    fine = db.images.counts.by_state(project.store)["fine"]
    row = st.container(horizontal=True, vertical_alignment="center")
    if (
        fine
        and run is not None
        and row.button("Start scoring", type="primary", icon=":material/touch_app:")
    ):
        go_to("score")
    waiting = unembedded_images(project)
    if waiting and row.button(
        f"Embed {formatting.count(waiting, 'image')}", icon=":material/memory:"
    ):
        runner.start_run(project, "embed", {})
        st.rerun()


def unembedded_images(project: Project) -> int:
    """Count the readable images without an embedding; training and Review need one."""
    encoder = db.images.embeddings.encoder(project.store, project.encoder)
    if encoder is None:
        return db.images.counts.by_state(project.store)["fine"]
    return db.images.counts.not_embedded(project.store, encoder.id)


def unreadable_images(status: Status) -> None:
    """Show the files that could not be imported, each with its reason.

    The table's cells show a file's name as text; Markdown in a name would be rendered.
    """
    if not status.unreadable:
        return
    with st.expander(f"{formatting.count(len(status.unreadable), 'file')} could not be read"):
        rows = [
            {"file": shown_name(each.path), "reason": shown_name(each.reason)}
            for each in status.unreadable
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


with show_errors():
    show()
