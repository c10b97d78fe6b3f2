"""Try: drop pictures and see what a version says of them; nothing is kept unless it is wanted."""

from __future__ import annotations

from typing import Any

import streamlit as st

import db.images.lookup
import db.versions.registry
from db.records import Image
from labeler.app.routes.payloads import shown_name
from labeler.app.sections.filter_folder import filter_section
from labeler.app.widgets import components, formatting, job_status
from labeler.app.widgets.gallery import pick, tile
from labeler.app.widgets.navigation import go_to
from labeler.app.widgets.page_errors import friendly, opened_project
from labeler.collection.uploads import add_pictures
from labeler.core.project import Project
from labeler.core.scale import bracket_of
from labeler.prediction.inference_worker.client import (
    MOST_AT_ONCE,
    PredictionRequest,
    inference_client,
)

ASK_AGAIN = 400  # milliseconds between two looks while an answer is awaited
Dropped = dict[str, Any]  # what the browser sent, by an id of its own


def show() -> None:
    project = opened_project()
    st.title("Try")
    version = chosen_version(project)
    if version is None:
        st.info("There is no version yet; train one first.", icon=":material/model_training:")
        return
    pictures, folder = st.tabs(["Pictures", "A folder"])
    with pictures, friendly():
        try_pictures(project, version)
    with folder, friendly():
        filter_section(project, version)


def try_pictures(project: Project, version: str) -> None:
    st.markdown(
        "Drop pictures to see their scores. They are looked at on this machine and forgotten, "
        "unless you add them to the project."
    )
    dropped = drop_zone()
    settled = inference_client(project).settled  # before it is looked at which are answered
    trials = asked(project, dropped, version)
    wait(trials, settled)
    new = [key for key, trial in trials.items() if trial.found and not known(project, trial)]
    if len(new) > 1:
        add_button(project, dropped, trials, new, f"Add these {len(new)} to the project")
    for key, trial in trials.items():
        if trial.answered:
            result(project, dropped, trials, key)
    outcome(project)


def chosen_version(project: Project) -> str | None:
    names = [version.name for version in reversed(db.versions.registry.history(project.store))]
    active = db.versions.registry.active(project.store)
    if not names or active is None:
        return None
    if len(names) == 1:
        return names[0]
    return st.selectbox("By", names, names.index(active.name), key="try-version", width=240)


def drop_zone() -> Dropped:
    """The first pictures of those that lie in the drop zone."""
    given = st.file_uploader(
        "Pictures", accept_multiple_files=True, key="try-pictures", label_visibility="collapsed"
    )
    if len(given) > MOST_AT_ONCE:
        st.warning(f"These are the first {MOST_AT_ONCE}; filter a folder for more.")
    return {each.file_id: each for each in given[:MOST_AT_ONCE]}


def asked(project: Project, dropped: Dropped, version: str) -> dict[str, PredictionRequest]:
    """What is known of each picture; those that are new are asked about, others are forgotten."""
    known: dict[tuple[str, str], PredictionRequest] = st.session_state.get("trials", {})
    now = {
        (key, version): known.get((key, version))
        or inference_client(project).ask(each.name, each.getvalue(), version)
        for key, each in dropped.items()
    }
    st.session_state["trials"] = now
    return {key: trial for (key, _), trial in now.items()}


def wait(trials: dict[str, PredictionRequest], settled: int) -> None:
    """Say what is going on, and run the whole page again as soon as there is another answer."""
    answered = sum(trial.answered for trial in trials.values())
    if answered < len(trials):
        how_far = f" {answered} of {len(trials)} done." if len(trials) > 1 else ""
        query = {"settled": settled}
        components.watch("trials", query, "watch-trials", more=how_far, every=ASK_AGAIN)


def result(
    project: Project, dropped: Dropped, trials: dict[str, PredictionRequest], key: str
) -> None:
    trial = trials[key]
    with st.container(border=True):
        st.text(shown_name(trial.name))
        if trial.found is None:
            st.warning(
                formatting.markdown_escaped(trial.problem or ""), icon=":material/broken_image:"
            )
            return
        left, right = st.columns([2, 5], gap="medium")
        with left:
            picture(trial.found)
        with right:
            verdict(project, trial.found)
        nearest(project, trial.found, key)
        if (image := known(project, trial)) is not None:
            st.caption(
                f"In the project already: image {image.id}, {formatting.scored(image.hand_score)}."
            )
        else:
            add_button(project, dropped, trials, [key], "Add to the project")


def known(project: Project, trial: PredictionRequest) -> Image | None:
    """The project's image with the same content."""
    if trial.found is None:
        return None
    return db.images.lookup.find_by_content(project.store, trial.found["content_hash"])


def picture(found: dict[str, Any]) -> None:
    """The small copy that came with the answer: of it, only base64 and numbers reach the page."""
    st.html(
        f'<img src="data:image/jpeg;base64,{found["small"]}" alt="Your picture" '
        'style="display:block;max-width:100%;max-height:260px;border-radius:8px">'
    )
    st.caption(
        f"{found['width']} × {found['height']} · {formatting.markdown_escaped(found['format'])}"
    )


def verdict(project: Project, found: dict[str, Any]) -> None:
    prediction, threshold = found["prediction"], project.threshold
    bracket, passes = bracket_of(prediction), prediction >= threshold
    st.metric(
        f"Prediction by {formatting.markdown_escaped(found['version'])}",
        formatting.percent(prediction),
    )
    st.markdown(
        f"**{'Passes' if passes else 'Does not pass'}** the threshold of "
        f"{formatting.percent(threshold)}. The chance that it truly passes: "
        f"{formatting.share(found['chance'])}."
    )
    st.markdown(f"Bracket **{bracket.span}**: {formatting.markdown_escaped(bracket.meaning)}")


def nearest(project: Project, found: dict[str, Any], key: str) -> None:
    """The scored images that are most alike; a click tells the whole story of one."""
    alike = {int(image_id): float(cosine) for image_id, cosine in found["near"]}
    images: list[Image] = db.images.lookup.by_ids(project.store, list(alike))
    if not images:
        return
    st.caption("The nearest scored images")
    clicked = pick([near_tile(image, alike[image.id]) for image in images], f"near-{key}")
    if clicked is not None:
        st.session_state["explored"] = clicked
        go_to("explore")


def near_tile(image: Image, cosine: float) -> dict[str, Any]:
    return tile(image, formatting.score(image.hand_score), f"{cosine:.0%} alike")


def add_button(
    project: Project,
    dropped: Dropped,
    trials: dict[str, PredictionRequest],
    keys: list[str],
    label: str,
) -> None:
    """The only way from this page into the project."""
    busy = job_status.active(project, "import")
    if not st.button(
        label, icon=":material/add_photo_alternate:", key=f"add-{keys}", disabled=busy
    ):
        return
    given = [
        (trials[key].name, (trials[key].found or {})["format"], dropped[key].getvalue())
        for key in keys
    ]
    st.session_state["try-run"] = add_pictures(project, given).id
    st.rerun()


def outcome(project: Project) -> None:
    """How far the adding is, and what became of it."""
    run = job_status.latest(project, "import")
    if run is None or run.id != st.session_state.get("try-run"):
        return
    job_status.watch(project, "import")
    job_status.show_outcome(run)
    if run.state == "done" and run.message:
        st.success(formatting.markdown_escaped(run.message), icon=":material/check_circle:")


with friendly():
    show()
