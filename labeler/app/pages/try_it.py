"""The page Try: drop pictures and see their predictions; nothing is kept unless it is added."""

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
from labeler.app.widgets.page_errors import opened_project, show_errors
from labeler.collection.uploads import add_pictures
from labeler.core.project import Project
from labeler.core.scale import bracket_of
from labeler.prediction.inference_worker.client import (
    MAX_IMAGES,
    PredictionRequest,
    inference_client,
)
from model.passing import passes

POLL_MILLISECONDS = 400  # milliseconds between two requests while an answer is awaited
Dropped = dict[str, Any]  # uploaded files by Streamlit's file id


def show() -> None:
    """Show the page Try."""
    project = opened_project()
    st.title("Try")
    version = chosen_version(project)
    if version is None:
        st.info("There is no version yet; train one first.", icon=":material/model_training:")
        return
    pictures, folder = st.tabs(["Pictures", "A folder"])
    with pictures, show_errors():
        try_pictures(project, version)
    with folder, show_errors():
        filter_section(project, version)


def try_pictures(project: Project, version: str) -> None:
    """Show the drop zone and the results."""
    st.markdown(
        "Drop pictures to see their scores. They are looked at on this machine and forgotten, "
        "unless you add them to the project."
    )
    dropped = drop_zone()
    settled = inference_client(project).answered_count  # before it is looked at which are answered
    trials = prediction_requests(project, dropped, version)
    watch_requests(trials, settled)
    unknown_keys = [
        key
        for key, trial in trials.items()
        if trial.result and not image_in_project(project, trial)
    ]
    if len(unknown_keys) > 1:
        add_button(
            project, dropped, trials, unknown_keys, f"Add these {len(unknown_keys)} to the project"
        )
    for key, trial in trials.items():
        if trial.answered:
            show_result(project, dropped, trials, key)
    import_outcome(project)


def chosen_version(project: Project) -> str | None:
    """Show the choice of the version; return its name, None without one."""
    names = [version.name for version in reversed(db.versions.registry.history(project.store))]
    active = db.versions.registry.active(project.store)
    if not names or active is None:
        return None
    if len(names) == 1:
        return names[0]
    return st.selectbox("By", names, names.index(active.name), key="try-version", width=240)


def drop_zone() -> Dropped:
    """Show the drop zone; return at most `MAX_IMAGES` of its files."""
    files = st.file_uploader(
        "Pictures", accept_multiple_files=True, key="try-pictures", label_visibility="collapsed"
    )
    if len(files) > MAX_IMAGES:
        st.warning(f"These are the first {MAX_IMAGES}; filter a folder for more.")
    return {each.file_id: each for each in files[:MAX_IMAGES]}


def prediction_requests(
    project: Project, dropped: Dropped, version: str
) -> dict[str, PredictionRequest]:
    """Return a request for each picture; new pictures are sent, removed ones are forgotten."""
    previous: dict[tuple[str, str], PredictionRequest] = st.session_state.get("trials", {})
    current = {
        (key, version): previous.get((key, version))
        or inference_client(project).submit(each.name, each.getvalue(), version)
        for key, each in dropped.items()
    }
    st.session_state["trials"] = current
    return {key: trial for (key, _), trial in current.items()}


def watch_requests(trials: dict[str, PredictionRequest], settled: int) -> None:
    """Show the progress, and rerun the page when there is another answer."""
    answered = sum(trial.answered for trial in trials.values())
    if answered < len(trials):
        progress = f" {answered} of {len(trials)} done." if len(trials) > 1 else ""
        query = {"settled": settled}
        components.watch("trials", query, "watch-trials", more=progress, every=POLL_MILLISECONDS)


def show_result(
    project: Project, dropped: Dropped, trials: dict[str, PredictionRequest], key: str
) -> None:
    """Show one picture's result."""
    trial = trials[key]
    with st.container(border=True):
        st.text(shown_name(trial.name))
        if trial.result is None:
            st.warning(
                formatting.markdown_escaped(trial.problem or ""), icon=":material/broken_image:"
            )
            return
        left, right = st.columns([2, 5], gap="medium")
        with left:
            picture(trial.result)
        with right:
            show_prediction(project, trial.result)
        nearest_scored(project, trial.result, key)
        if (image := image_in_project(project, trial)) is not None:
            st.caption(
                f"In the project already: image {image.id}, {formatting.scored(image.hand_score)}."
            )
        else:
            add_button(project, dropped, trials, [key], "Add to the project")


def image_in_project(project: Project, trial: PredictionRequest) -> Image | None:
    """Return the project's image with the same content."""
    if trial.result is None:
        return None
    return db.images.lookup.find_by_content(project.store, trial.result["content_hash"])


def picture(prediction: dict[str, Any]) -> None:
    """Show the small copy that came with the answer; only its base64 and numbers reach the page."""
    st.html(
        f'<img src="data:image/jpeg;base64,{prediction["small"]}" alt="Your picture" '
        'style="display:block;max-width:100%;max-height:260px;border-radius:8px">'
    )
    st.caption(
        f"{prediction['width']} × {prediction['height']} · "
        f"{formatting.markdown_escaped(prediction['format'])}"
    )


def show_prediction(project: Project, result: dict[str, Any]) -> None:
    """Show the prediction, its chance of passing and its bracket."""
    prediction, threshold = result["prediction"], project.threshold
    bracket, is_pass = bracket_of(prediction), passes(prediction, threshold)
    st.metric(
        f"Prediction by {formatting.markdown_escaped(result['version'])}",
        formatting.percent(prediction),
    )
    st.markdown(
        f"**{'Passes' if is_pass else 'Does not pass'}** the threshold of "
        f"{formatting.percent(threshold)}. The chance that it truly passes: "
        f"{formatting.share(result['chance'])}."
    )
    st.markdown(f"Bracket **{bracket.span}**: {formatting.markdown_escaped(bracket.meaning)}")


def nearest_scored(project: Project, result: dict[str, Any], key: str) -> None:
    """Show the most similar scored images; a click opens one in Explore."""
    cosine_of = {int(image_id): float(cosine) for image_id, cosine in result["near"]}
    images: list[Image] = db.images.lookup.by_ids(project.store, list(cosine_of))
    if not images:
        return
    st.caption("The nearest scored images")
    clicked = pick([near_tile(image, cosine_of[image.id]) for image in images], f"near-{key}")
    if clicked is not None:
        st.session_state["explored"] = clicked
        go_to("explore")


def near_tile(image: Image, cosine: float) -> dict[str, Any]:
    """Return the tile of a similar image."""
    return tile(image, formatting.score(image.hand_score), f"{cosine:.0%} alike")


def add_button(
    project: Project,
    dropped: Dropped,
    trials: dict[str, PredictionRequest],
    keys: list[str],
    label: str,
) -> None:
    """Show the button that adds pictures to the project."""
    busy = job_status.active(project, "import")
    if not st.button(
        label, icon=":material/add_photo_alternate:", key=f"add-{keys}", disabled=busy
    ):
        return
    pictures = [
        (trials[key].name, (trials[key].result or {})["format"], dropped[key].getvalue())
        for key in keys
    ]
    st.session_state["try-run"] = add_pictures(project, pictures).id
    st.rerun()


def import_outcome(project: Project) -> None:
    """Show the progress and the result of adding."""
    run = job_status.latest(project, "import")
    if run is None or run.id != st.session_state.get("try-run"):
        return
    job_status.watch(project, "import")
    job_status.show_outcome(run)
    if run.state == "done" and run.message:
        st.success(formatting.markdown_escaped(run.message), icon=":material/check_circle:")


with show_errors():
    show()
