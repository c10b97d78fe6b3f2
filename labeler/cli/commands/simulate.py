"""The command that plays the loop with a simulated person."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import Fraction, TypedPath
from labeler.cli.output import print_json, print_message, print_result, progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = "project"  # the folder in OUT that keeps the embeddings
STRATEGIES = ("review", "random", "highest-score", "nearest-threshold", "greedy-sampling")


@click.command()
@click.argument("labels", metavar="LABELS.csv", type=TypedPath(path_type=Path, dir_okay=False))
@click.option(
    "--images",
    "images_folder",
    metavar="DIR",
    required=True,
    type=TypedPath(path_type=Path, file_okay=False, exists=True),
    help="The folder that the paths in LABELS.csv are relative to.",
)
@click.option(
    "--start",
    type=click.IntRange(1),
    default=150,
    show_default=True,
    help="Images scored at random before the first round.",
)
@click.option("--rounds", type=click.IntRange(1), default=6, show_default=True, help="How many.")
@click.option(
    "--batch", type=click.IntRange(1), default=40, show_default=True, help="Images scored a round."
)
@click.option(
    "--withhold",
    type=click.FloatRange(0, 0.9, min_open=True),
    default=0.25,
    show_default=True,
    help="Share of the images, in whole groups, that is never asked for but judged on.",
)
@click.option("--seeds", type=click.IntRange(1), default=10, show_default=True, help="Repetitions.")
@click.option(
    "--strategy",
    "strategies",
    metavar="NAME",
    multiple=True,
    type=click.Choice(STRATEGIES),
    help=f"What chooses the images, more than once for several; all of {', '.join(STRATEGIES)}.",
)
@click.option(
    "--recipe",
    type=click.Choice(["quick", "plain", "original"]),
    default="quick",
    show_default=True,
    help="How versions are trained; plain is the L1 loss in batches.",
)
@click.option(
    "--threshold",
    type=Fraction(),
    default=0.5,
    show_default=True,
    help="From where an image passes, 0 to 1.",
)
@click.option(
    "--encoder", default="lite", show_default=True, metavar="NAME", help="As for labeler init."
)
@click.option(
    "--out",
    metavar="DIR",
    type=TypedPath(path_type=Path, file_okay=False),
    help="Keep results.json, table.md, plot.svg and the embeddings, for another run, here.",
)
@click.option(
    "--force", is_flag=True, help="With --out: replace files that are not as they were written."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def simulate(
    labels: Path,
    images_folder: Path,
    *,
    strategies: tuple[str, ...],
    encoder: str,
    out: Path | None,
    force: bool,
    as_json: bool,
    **numbers: float,
) -> None:
    """Play the loop with a person who answers from LABELS.csv.

    Which images to score next matters: this shows how much, on your own scores. LABELS.csv has the
    columns path and score (0 to 10), and split_group if some pictures belong together.
    """
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.review.simulation.labelled_data import read_labelled
    from labeler.review.simulation.report import summary, table
    from labeler.review.simulation.simulate import SimulationPlan, simulate

    chosen = tuple(dict.fromkeys(strategies)) or STRATEGIES
    plan = SimulationPlan(strategies=chosen, **numbers)  # type: ignore[arg-type]
    with _output_folder(out) as folder, progress_bar() as progress:
        _check(folder, force)
        data = read_labelled(
            labels,
            images_folder,
            encoder=encoder,
            folder=folder / PROJECT,
            progress=progress,
            print_message=print_message,
        )
        document = summary(simulate(data, plan, progress), plan)
        files = _write(document, out, force) if out else []
    if as_json:
        print_json(document)
    else:
        for line in table(document):
            print_result(line)
    for file in files:
        print_message(f"Written: {file}")


def _check(folder: Path, force: bool) -> None:
    """Raise `BadInput` for files that would be replaced, before hours of simulating."""
    from labeler.core.files.export_writer import ExportWriter, NoneYet
    from labeler.core.project import Project, is_project
    from labeler.review.simulation.report import report_files

    if not is_project(folder / PROJECT):
        ExportWriter(NoneYet(), force=force).check(*report_files(folder))
        return
    with closing(Project.open(folder / PROJECT)) as project:
        ExportWriter.of(project, force=force).check(*report_files(folder))


def _write(document: dict[str, Any], folder: Path, force: bool) -> list[Path]:
    from labeler.core.files.export_writer import ExportWriter
    from labeler.core.project import Project
    from labeler.review.simulation.report import write

    with closing(Project.open(folder / PROJECT)) as project:
        return write(document, folder, ExportWriter.of(project, force=force))


@contextmanager
def _output_folder(out: Path | None) -> Iterator[Path]:
    """Yield `out`, or a temporary folder."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        yield out
        return
    with TemporaryDirectory(prefix="labeler-") as folder:
        yield Path(folder)
