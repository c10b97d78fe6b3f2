"""Train: retrain in the background, watch it, and see the new version beside its parent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

import db.images.counts
import db.jobs
import db.scores.hand_scores
import db.scores.random_sample
import db.versions.registry
from db.records import Version
from labeler.app.routes.payloads import shown_name
from labeler.app.sections import adopt_head
from labeler.app.widgets import charts, formatting, job_status
from labeler.app.widgets.gallery import pick, tile
from labeler.app.widgets.navigation import go_to
from labeler.app.widgets.page_errors import opened_project, show_errors
from labeler.core.jobs import runner
from labeler.core.project import FEWEST_TO_TRAIN, Project
from labeler.core.status import trained_before
from labeler.scoring.agreement import self_agreement
from labeler.versions.activate import lacks_predictions
from labeler.versions.evaluation import compare, measures
from labeler.versions.evaluation.figures import Headline, headline, on_chosen_images

# How each is called, and how long it takes where it has not been used yet.
RECIPES = {
    "quick": ("Quick", "seconds"),
    "original": ("Original · the published recipe", "minutes"),
}
LARGEST_CHANGES = 24
BASELINE = "What predicting the mean score for every image would give."


def show() -> None:
    """Show the page Train."""
    project = opened_project()
    st.title("Train")
    training(project)
    adopt_head.adopt_section(project)
    versions = db.versions.registry.history(project.store)
    if not versions:
        return
    with show_errors():
        result(project, versions)


def training(project: Project) -> None:
    """Show the running training, or the form that starts one."""
    if job_status.active(project, "train"):
        job_status.watch(project, "train")
        return
    job_status.show_outcome(
        job_status.latest(project, "train"), job_status.already_trained(project)
    )
    scored = db.images.counts.by_hand_score(project.store).scored
    if scored < FEWEST_TO_TRAIN:
        too_few_scores(scored)
        return
    start_form(project, scored)


def too_few_scores(scored: int) -> None:
    """Show how many more scores a training needs."""
    missing = FEWEST_TO_TRAIN - scored
    st.info(
        f"Score {formatting.count(missing, 'more image')} first: a training needs at least "
        f"{FEWEST_TO_TRAIN}, and {scored} {'is' if scored == 1 else 'are'} scored so far.",
        icon=":material/touch_app:",
    )
    if st.button("Score", type="primary", icon=":material/touch_app:"):
        go_to("score")


def start_form(project: Project, scored: int) -> None:
    """Show the form that starts a training."""
    version = trained_before(db.versions.registry.history(project.store))
    new_scores = db.scores.hand_scores.since_version(project.store, version.id if version else None)
    row = st.columns([3, 3, 3], vertical_alignment="bottom")
    note = row[0].text_input(
        "Note", max_chars=300, placeholder="what is new this time", key="train-note"
    )
    recipe = row[1].selectbox("Recipe", list(RECIPES), format_func=partial(recipe_label, project))
    if row[2].button(button_label(version, new_scores, scored), type="primary", width="stretch"):
        runner.start_run(project, "train", {"recipe": recipe, "note": (note or "").strip()})
        st.rerun()
    if version and not new_scores:
        st.caption(f"No score has changed since {formatting.markdown_escaped(version.name)}.")


def recipe_label(project: Project, recipe: str) -> str:
    """Return the recipe's name and its duration: the last one here, if there was one."""
    name, time = RECIPES[recipe]
    last = db.jobs.last_training(project.store, recipe)
    if last is not None and last.finished_at is not None:
        seconds = max(1, round((last.finished_at - last.started_at).total_seconds()))
        time = f"{seconds} s" if seconds < 90 else f"{round(seconds / 60)} min"
        time += " the last time"
    return f"{name} · {time}"


def button_label(version: Version | None, new: int, scored: int) -> str:
    """Return `Retrain with 37 new scores`; the first time `Train with 60 scores`."""
    if version is None:
        return f"Train with {formatting.count(scored, 'score')}"
    return f"Retrain with {formatting.count(new, 'new score')}" if new else "Retrain"


def result(project: Project, versions: list[Version]) -> None:
    """Show one version beside its parent; the active one unless another is selected."""
    by_name = {version.name: version for version in versions}
    sample = db.scores.random_sample.random_sample(project.store)
    headlines = {each.name: headline(project, each, sample) for each in versions}
    active = next((version for version in versions if version.active), versions[-1])
    names = [version.name for version in reversed(versions)]
    st.divider()
    row = st.container(horizontal=True, vertical_alignment="center")
    heading = row.container(width="stretch")
    chosen = row.selectbox(
        "Version", names, names.index(active.name), label_visibility="collapsed", width=140
    )
    version = by_name[chosen]
    parent = comparison_choice(version, versions)
    heading.subheader(
        formatting.markdown_escaped(
            f"{version.name} beside {parent.name}" if parent else version.name
        )
    )
    if version.note:
        st.text("\n".join(shown_name(line) for line in version.note.splitlines()))
    if parent is not None:
        comparison(project, version, parent)
    metrics_table(project, version, parent, headlines)
    st.caption(self_agreement(project).sentence())
    for tab, draw in zip(st.tabs(list(TABS)), TABS.values(), strict=True):
        with tab:
            draw(project, version, parent)
    history(project, versions, headlines)


def comparison_choice(version: Version, versions: Sequence[Version]) -> Version | None:
    """Return the version to compare with: the parent; for an adopted version the last one trained
    here.
    """
    if version.is_foreign:
        return next((each for each in reversed(versions) if not each.is_foreign), None)
    return next((each for each in versions if each.name == version.parent), None)


def comparison(project: Project, version: Version, parent: Version) -> None:
    """Show the verdict of the comparison with the parent."""
    names = (formatting.markdown_escaped(each.name) for each in (version, parent))
    st.markdown(measures.verdict(compare.compare(project, version, parent), *names))


def metrics_table(
    project: Project, version: Version, parent: Version | None, headlines: dict[str, Headline]
) -> None:
    """Show each measure with its 95 % interval, beside the parent's and the baseline's: those by
    random draws, and those on the images that were chosen, folded away where there are others.
    """
    shown = [version] if parent is None else [version, parent]
    has_draws = any(headlines[each.name].metrics for each in shown)
    if has_draws:
        measures_table({each.name: headlines[each.name].metrics for each in shown}, version)
    for each in shown:
        st.caption(formatting.markdown_escaped(headlines[each.name].sentence))
    for foreign in (each for each in shown if each.is_foreign):
        st.caption(formatting.markdown_escaped(adopt_head.evaluation_sentence(foreign)))
    if not has_draws and st.button("Score images drawn at random", icon=":material/casino:"):
        go_to("score")
    with st.expander("On the images you chose", expanded=not has_draws):
        chosen = {each.name: on_chosen_images(project, each) for each in shown}
        measures_table({name: each.metrics for name, each in chosen.items()}, version)
        counts = ", ".join(f"{each.judged:,} for {name}" for name, each in chosen.items())
        st.caption(
            formatting.markdown_escaped(
                f"All scored images ({counts}), each judged by a head that had not seen it. Among "
                "them are those that you or a review chose, hard ones first: these figures are of "
                "them, not of the collection, and say nothing of which version is better."
            )
        )


def measures_table(by_version: dict[str, dict[str, Any]], version: Version) -> None:
    """Show the measures of each version side by side."""
    st.dataframe(
        pd.DataFrame(measures.rows(by_version, by_version[version.name])),
        hide_index=True,
        width="stretch",
        column_config={
            "measure": st.column_config.TextColumn("95 % intervals"),
            "baseline": st.column_config.TextColumn(help=BASELINE, width=130),
            "meaning": st.column_config.TextColumn(""),
        },
    )


def precision_recall(project: Project, version: Version, parent: Version | None) -> None:
    """Draw the precision and recall of the version and its parent over all thresholds."""
    shown = [each for each in (version, parent) if each is not None]
    curves = [each for each in (compare.curve(project, one) for one in shown) if each is not None]
    if not curves:
        st.caption("Too few images were drawn at random to draw this from.")
        return
    st.altair_chart(charts.precision_recall(curves, project.threshold), width="stretch")
    st.caption("What each threshold would let through, judged by the images drawn at random.")


def largest_changes_table(project: Project, version: Version, parent: Version | None) -> None:
    """Show the images whose predictions changed most."""
    if parent is None:
        st.caption("There is no version before it that it could have moved from.")
        return
    items = [
        tile(
            each.image,
            f"{formatting.percent(each.before)} → {formatting.percent(each.after)}",
            formatting.scored(each.image.hand_score),
        )
        for each in compare.moved_most(project, version, parent, limit=LARGEST_CHANGES)
    ]
    clicked = pick(items, f"moved-{version.name}")
    if clicked is not None:
        st.session_state["explored"] = clicked
        go_to("explore")


def hand_scores(project: Project, _version: Version, _parent: Version | None) -> None:
    """Draw the distribution of the hand scores."""
    chart = charts.score_distribution(db.images.counts.by_hand_score(project.store).distribution)
    st.altair_chart(chart, width="stretch")


def loss_chart(_project: Project, version: Version, _parent: Version | None) -> None:
    """Draw the training's loss."""
    if len(curve := measures.points(version.curve)) > 1:
        st.altair_chart(charts.loss_curve(curve), width="stretch")
    else:
        st.caption("No loss was kept for this version.")


def history(project: Project, versions: list[Version], headlines: dict[str, Headline]) -> None:
    """Show all versions with their notes, one measure over them, and the choice of another."""
    st.divider()
    st.subheader("Versions")
    if len(versions) > 1:
        history_chart(headlines)
    rows = pd.DataFrame([history_row(each, headlines[each.name]) for each in reversed(versions)])
    st.dataframe(
        rows.astype({"trained on": "Int64"}),  # of one made elsewhere nothing, rather than 0
        hide_index=True,
        width="stretch",
        column_config={"made": st.column_config.DatetimeColumn(format="D MMM YYYY")},
    )
    others = [each.name for each in reversed(versions) if not each.active]
    if others:
        row = st.container(horizontal=True, vertical_alignment="bottom")
        chosen = row.selectbox("Use another version", others, width=200)
        if row.button(
            f"Make {formatting.markdown_escaped(chosen)} active",
            help="Its predictions are used from now on.",
        ):
            activate(project, chosen)
            st.rerun()


def activate(project: Project, name: str) -> None:
    """Activate a version; a run computes its missing predictions (embedding ends with that)."""
    version = db.versions.registry.activate(project.store, name)
    if lacks_predictions(project, version):
        runner.start_run(project, "embed", {})


def history_chart(headlines: dict[str, Headline]) -> None:
    """Draw one measure over the versions."""
    by_name = {measure.name: measure for measure in measures.MEASURES}
    chosen = st.segmented_control(
        "Measure", list(by_name), default="Error", required=True, label_visibility="collapsed"
    )
    measure = by_name[str(chosen)]
    bounds = [measures.bounds(each.metrics, measure) for each in headlines.values()]
    values, lows, highs = (list(column) for column in zip(*bounds, strict=True))
    if all(value is None for value in values):
        return
    chart = charts.version_history(list(headlines), values, lows, highs, figure=measure.axis)
    st.altair_chart(chart, width="stretch")


def history_row(version: Version, judged: Headline) -> dict[str, object]:
    """Return a version's row of the table."""
    return {
        "version": version.name + (" · active" if version.active else ""),
        "note": shown_name(version.note),
        "trained on": version.scored_count or None,
        **{
            measure.name: measures.written(judged.metrics, measure)
            for measure in measures.MEASURES
            if measure.key in ("mae", "average_precision", "false_positives")
        },
        "made": version.created_at,
        "recipe": version.recipe,
        "from": version.parent or "",
    }


TABS = {
    "Precision and recall": precision_recall,
    "Moved most": largest_changes_table,
    "Hand scores": hand_scores,
    "Loss": loss_chart,
}

with show_errors():
    show()
