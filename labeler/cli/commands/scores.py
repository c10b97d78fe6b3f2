"""labeler label: hand scores, one at a time or from files and folders of many kinds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.common import Failure, Scale, TypedPath, opened_project
from labeler.cli.output import MAX_ITEMS, print_json, print_message, print_result, progress_bar
from labeler.core.text import count_of

if TYPE_CHECKING:
    from labeler.core.project import Project
    from labeler.scoring.score_files.summary import Example, LabelSummary

KINDS = ("table", "history", "label-studio", "imagefolder", "score-folders")
FEW = 3  # examples of each reason in a dry run
# What only makes sense with --from.
OF_FILES = ("kind", "path_column", "score_column", "scorer_column", "group_column", "scale")


@click.command()
@click.argument("image", metavar="IMAGE", required=False)
@click.argument("score", metavar="SCORE", required=False)
@click.option(
    "--from",
    "file",
    type=TypedPath(path_type=Path),
    metavar="FILE",
    help="Take the scores from a CSV, Parquet, JSON lines or Label Studio file, or a folder.",
)
@click.option("--kind", type=click.Choice(KINDS), help="What FILE is, where it doesn't show.")
@click.option("--path-column", metavar="NAME", help="The column with the paths.  [path]")
@click.option("--score-column", metavar="NAME", help="The column with the scores.  [score]")
@click.option("--scale", type=Scale(), metavar="LOW:HIGH", help="FILE's own scale.  [0:10]")
@click.option("--scorer-column", metavar="NAME", help="The column that says who scored.")
@click.option("--scorer", metavar="NAME", help="Who scored.  [your account's name]")
@click.option(
    "--group-column", metavar="NAME", help="The column with groups.  [split_group, group]"
)
@click.option("--import", "add_images", is_flag=True, help="Import the images that are missing.")
@click.option(
    "--dry-run", is_flag=True, help="Change nothing; say what would be taken and why not."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with all refusals.")
def label(
    image: str | None,
    score: str | None,
    file: Path | None,
    *,
    scorer: str | None,
    add_images: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Give hand scores: to one image, or from a file or folder.

    SCORE is 0 to 10. IMAGE is a path or an id: a whole number is an id, so for a file whose name is
    a number write ./12.

    FILE may be a table (CSV, Parquet, JSON lines), a history that this program exported, a JSON
    export of Label Studio, an imagefolder with metadata, or a folder of folders named by their
    score (07_name/…, 7/…). Relative paths are seen from FILE. A line without a score leaves its
    image unscored; scores on another --scale are spread over 0 to 10. Taking the same file again
    adds nothing.
    """
    of_file = [name for name in OF_FILES if options[name] is not None]
    if (image is None or score is None) if file is None else image is not None:
        raise click.UsageError("Give either IMAGE and SCORE, or --from FILE.")
    if file is None and (of_file or add_images or dry_run or as_json):
        raise click.UsageError("Reading options and --dry-run, --import, --json go with --from.")
    if scorer is not None and options["scorer_column"] is not None:
        raise click.UsageError("Give --scorer or --scorer-column, not both.")
    with opened_project() as project:
        if file is None:
            _label_one(project, str(image), str(score), scorer)
            return
        _label_from_file(
            project, file, options | {"scorer": scorer}, (add_images, dry_run, as_json)
        )


def _label_one(project: Project, image: str, score: str, scorer: str | None) -> None:
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.core.errors import BadInput
    from labeler.scoring.label import label_one, read_score

    try:
        value = read_score(score)
    except BadInput as error:
        raise click.BadParameter(str(error), param_hint="SCORE") from error
    labelled = label_one(project, _resolve_image(image), value, scorer)
    before = "" if labelled.before is None else f" (was {labelled.before:g})"
    print_result(f"{labelled.image.path}: {labelled.score:g}{before}")


def _resolve_image(image: str) -> str:
    """Return an id, or a path as it stands, unchanged; else the path that was meant by it."""
    from labeler.core.files.typed_paths import typed_path

    typed = str(typed_path(image))
    return image if typed == os.path.normpath(image) else typed


def _label_from_file(
    project: Project, file: Path, options: dict[str, Any], flags: tuple[bool, bool, bool]
) -> None:
    from labeler.scoring.import_scores import import_scores
    from labeler.scoring.score_files.statements import ReadOptions

    add_images, dry_run, as_json = flags
    with progress_bar() as progress:
        summary = import_scores(
            project,
            file,
            ReadOptions(**options),
            dry_run=dry_run,
            add_images=add_images,
            keep_all=as_json,
            progress=progress,
        )
    if as_json:
        print_json({"file": str(file), "dry_run": dry_run} | summary_document(summary))
    elif dry_run:
        for line in _dry_run_lines(summary):
            print_result(line)
    else:
        _print_summary(file, summary)
    if summary.is_useless:
        raise Failure(f"Nothing in {file} could be taken; put right what is named above.")


def summary_document(summary: LabelSummary) -> dict[str, Any]:
    """Return a summary as plain data, for JSON."""
    return {
        "kind": summary.kind,
        "taken": summary.taken,
        "unchanged": summary.unchanged,
        "without_score": summary.blank,
        "not_taken": summary.refused,
        "reasons": dict(summary.reasons),
        "refused": [asdict(each) for each in summary.bad],
        "examples": [asdict(each) for each in summary.examples],
        "scorers": dict(summary.scorers),
        "to_import": summary.to_import,
        "imported": asdict(summary.imported) if summary.imported else None,
        "notes": summary.notes(),
    }


def _print_summary(file: Path, summary: LabelSummary) -> None:
    for bad in summary.bad[:MAX_ITEMS]:
        print_message(f"{file}, {bad.where}: {bad.problem}")
    if (more := summary.refused - min(len(summary.bad), MAX_ITEMS)) > 0:
        print_message(f"… and {more} more; all of them: the same command with --json")
    if summary.imported is not None:
        print_result(f"Imported {count_of(summary.imported.new, 'new image')} first.")
    print_result(
        f"Scored {count_of(summary.taken, 'image')}; unchanged {summary.unchanged}, "
        f"without a score {summary.blank}, not taken {summary.refused}."
    )
    for note in _note_lines(summary):
        print_result(note)


def _dry_run_lines(summary: LabelSummary) -> Iterator[str]:
    """Yield what a dry run prints."""
    yield (
        f"Read as {summary.kind}. Nothing was changed. Would score "
        f"{count_of(summary.taken, 'image')}; unchanged {summary.unchanged}, without a score "
        f"{summary.blank}, not taken {summary.refused}."
    )
    if summary.to_import:
        yield f"Would import {count_of(summary.to_import, 'file')} first."
    for example in summary.examples[:FEW]:
        yield f"    {_example_line(example)}"
    for reason, count in summary.reasons.most_common():
        yield f"Not taken, {reason}: {count}"
        for bad in [each for each in summary.bad if each.reason == reason][:FEW]:
            yield f"    {bad.where}: {bad.problem}"
    yield from _note_lines(summary)
    if summary.refused > FEW:
        yield "All that is not taken: the same command with --json"


def _example_line(example: Example) -> str:
    before = "unscored" if example.before is None else f"{example.before:g}"
    return f"{example.image}: {example.score:g} by {example.scorer or '(nameless)'} (now {before})"


def _note_lines(summary: LabelSummary) -> Iterator[str]:
    if len(summary.scorers) > 1:
        each = ", ".join(f"{name or '(nameless)'} {n}" for name, n in summary.scorers.items())
        yield f"By scorer: {each}."
    yield from summary.notes()
    if summary.reasons["outside the scale"]:
        yield "If the scores are on another scale, say which: --scale LOW:HIGH"
    if summary.reasons["not in the project"]:
        yield "Files that are not in the project yet are imported with: --import"
