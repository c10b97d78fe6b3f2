"""labeler versions: the list of them, which one is active, and heads that others have published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import Scale, TypedPath, lower_priority, opened_project
from labeler.cli.output import print_json, print_message, print_result, progress_bar
from labeler.core.text import count_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from db.records import RandomSample, Version
    from labeler.core.project import Project
    from labeler.versions.evaluation.figures import Headline

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(invoke_without_command=True)
@AS_JSON
@click.pass_context
def versions(ctx: click.Context, as_json: bool) -> None:
    """List the versions, activate one, or add a published head.

    Oldest first; the active one is marked with *.
    """
    if ctx.invoked_subcommand is None:
        with opened_project() as project:
            _list(project, as_json)


def _list(project: Project, as_json: bool) -> None:
    # Imported where they are used: `labeler --help` imports click alone.
    from db.scores.random_sample import random_sample
    from db.versions.registry import history
    from labeler.scoring.agreement import self_agreement

    known = history(project.store)
    if as_json:
        sample = random_sample(project.store)
        print_json([version_document(project, version, sample) for version in known])
        return
    if not known:
        print_result("There is no version yet; make one with: labeler train")
    for version in known:
        print_result(version_line(version))
    if known:
        print_result(self_agreement(project).sentence())


@versions.command("activate")
@click.argument("name", metavar="VERSION")
def activate(name: str) -> None:
    """Make a version the active one.

    Its predictions are used from now on: by Review and the other pages, by predict and export.
    """
    from labeler.versions import activate

    lower_priority()
    with opened_project() as project:
        with progress_bar() as progress:
            activate.activate(project, name, progress=progress)
        print_result(f"{name} is active now.")


@versions.command("add")
@click.argument("file", metavar="FILE", type=TypedPath(path_type=Path))
@click.option("--name", metavar="NAME", help="What to call the version; without it as the file.")
@click.option(
    "--encoder",
    metavar="NAME",
    help="Whose embeddings it reads, where the file implies another or none.",
)
@click.option(
    "--scale",
    type=Scale(),
    metavar="LOW:HIGH",
    help="What of its own scale is 0 here and what 10; without it 1:10, for CityAesthetics 0:1; "
    "waifu-scorer needs it.",
)
@click.option(
    "--label", metavar="CLASS", help="The class whose share is the score, where there are several."
)
@click.option("--note", metavar="TEXT", default="", help="What this version is about.")
@click.option(
    "--activate/--no-activate",
    default=None,
    help="Whether it becomes the active one; without it only where none is.",
)
@AS_JSON
def add(file: Path, as_json: bool, **given: Any) -> None:
    """Use a head that somebody else has published.

    FILE is a .safetensors file of CityAesthetics (its config beside it) or a .pth file of LAION's
    aesthetic predictors, of aesthetic-predictor-v2.5 or of waifu-scorer, or a whole checkpoint with
    such a head in it. It is read without running code, kept as a file of ours, and predicts all
    embedded images. It must read embeddings of the project's encoder.
    """
    from labeler.versions.adopt import adopt

    lower_priority()
    with opened_project() as project:
        with progress_bar() as progress:
            version = adopt(project, file, **given, progress=progress)
        _show_added(project, version, as_json)


def _show_added(project: Project, version: Version, as_json: bool) -> None:
    from labeler.versions.evaluation.figures import headline, on_chosen_images

    if as_json:
        print_json(version_document(project, version))
        return
    low, high = version.settings["scale"]
    print_result(
        f"Added {version.name} ({version.settings['kind']}); its {low:g} to {high:g} are "
        "0 to 10 here."
    )
    for line in headline_lines(headline(project, version)):
        print_result(line)
    chosen = on_chosen_images(project, version)
    if chosen.judged:
        scores = count_of(chosen.judged, "hand score")
        print_result(f"On your {scores}, none of which it has seen, whatever chose the images:")
        for line in metric_lines(chosen.metrics):
            print_result(line)
    if version.active:
        print_result("It is active now. Next: labeler review, or score in: labeler app")
    else:
        print_message(f"To use it: labeler versions activate {version.name}")


def headline_lines(judged: Headline) -> Iterator[str]:
    """Yield what the figures are of, and each of them."""
    yield judged.sentence
    yield from metric_lines(judged.metrics)


def metric_lines(metrics: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each metric with its 95 % interval."""
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.versions.evaluation.measures import MEASURES, written

    for measure in MEASURES:
        if (figure := written(metrics, measure)) != "–":
            yield f"  {measure.name.lower()}: {figure}"


def version_document(
    project: Project, version: Version, sample: RandomSample | None = None
) -> dict[str, Any]:
    """Return a version as plain data, without its loss curve; `metrics` are by random draws."""
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.versions.evaluation.figures import headline, on_chosen_images

    judged = headline(project, version, sample)
    return {
        "name": version.name,
        "parent": version.parent,
        "active": version.active,
        "created_at": version.created_at,
        "encoder": version.encoder,
        "recipe": version.recipe,
        "settings": version.settings,
        "threshold": version.threshold,
        "note": version.note,
        "scored": version.scored_count,
        "metrics": judged.metrics,
        "judged_on": {"basis": judged.basis, "images": judged.judged, "told": judged.sentence},
        "metrics_on_chosen_images": on_chosen_images(project, version).metrics,
        "file": version.file,
    }


def version_line(version: Version) -> str:
    """Return one line about a version; `*` marks the active one."""
    mark = "*" if version.active else " "
    day = f"{version.created_at.astimezone():%Y-%m-%d %H:%M}"
    after = f" after {version.parent}" if version.parent else ""
    note = f"  {version.note}" if version.note else ""
    trained = f"{version.scored_count} scored, {version.recipe}"
    if version.is_foreign:
        trained = f"not trained here, {version.settings.get('kind', version.recipe)}"
    return f"{mark} {version.name}  {day}  {trained}{after}{note}"
