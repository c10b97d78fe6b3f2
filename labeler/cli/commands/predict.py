"""labeler predict: scores for any images, or for embeddings in files."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli.commands.predict_output import (
    image_document,
    print_copies,
    print_image,
    print_summary,
    result_document,
    unreadable_documents,
)
from labeler.cli.common import (
    FOLLOW_LINKS,
    PATHS,
    Failure,
    Fraction,
    TypedPath,
    embedding_columns,
    opened_project,
)
from labeler.cli.output import print_json, print_message, print_unreadable, progress_bar
from labeler.core.progress import silent
from labeler.core.text import count_of

if TYPE_CHECKING:
    from labeler.core.files.tables import Write
    from labeler.embedding.files.block import Columns
    from labeler.prediction.filter import Filter
    from labeler.prediction.predict_embeddings import PredictedEmbeddings
    from model.encoders.encoder import Encoder

LIST = TypedPath(path_type=Path, dir_okay=False)
FOLDER = TypedPath(path_type=Path, file_okay=False)


@click.command()
@PATHS
@click.option(
    "--min", "low", type=Fraction(), default=0.0, metavar="F", help="From this, 0–1, as printed."
)
@click.option(
    "--max",
    "high",
    type=Fraction(),
    default=1.0,
    metavar="F",
    help="Up to this, 0–1, as printed: 0.7 takes what shows 70%.",
)
@click.option("--top", type=click.IntRange(0), metavar="N", help="Only the N highest.")
@click.option("--version", metavar="NAME", help="By this version; without it the active one.")
@click.option("--copy-to", type=FOLDER, metavar="DIR", help="Copy these images there.")
@click.option(
    "--link",
    type=click.Choice(["copy", "hard", "sym"]),
    help="With --copy-to: link to the files instead; hard and sym take no room.",
)
@click.option(
    "--flat", is_flag=True, help="With --copy-to: all in one folder, not in those they are in."
)
@click.option(
    "--sidecar",
    type=click.Choice(["json", "txt"]),
    help="With --copy-to: NAME.prediction.json or .txt beside each.",
)
@click.option(
    "--out", type=LIST, metavar="FILE", help="Write the list to a file: .csv, .parquet or .jsonl."
)
@FOLLOW_LINKS
@click.option(
    "--force", is_flag=True, help="With --out: replace a file that is not as it was written."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--encoder", metavar="NAME", help="What made the embeddings, where PATH holds such.")
@embedding_columns
def predict(
    *,
    paths: tuple[Path, ...],
    low: float,
    high: float,
    top: int | None,
    version: str | None,
    copy_to: Path | None,
    link: str | None,
    flat: bool,
    sidecar: str | None,
    out: Path | None,
    follow_links: bool,
    force: bool,
    as_json: bool,
    encoder: str | None,
    listed: Path | None,
    path_column: str | None,
    vector_column: str | None,
) -> None:
    """Predict scores for any images or folders of them.

    They need not be in the project, and nothing is imported. Highest first, as in: 87% [file]

    PATH may be a tar file with images, or hold embeddings: a folder of clip-retrieval, a .npy file
    with one row for each image, a folder with a .npy for each, or a Parquet file with a column of
    vectors. Those are listed in their order, with --top the highest first.

    Files that were predicted by the same version before are not opened again: after Ctrl-C the same
    command goes on where it was. Copies never replace another file, and those that are there
    already are not made again.
    """
    if low > high:
        raise click.UsageError(f"--min {low:g} is above --max {high:g}; nothing can be between.")
    if copy_to is None and (link or flat or sidecar):
        named = "--link" if link else "--flat" if flat else "--sidecar"
        raise click.UsageError(f"{named} says how to copy; say where to with --copy-to DIR.")
    written = _table_format(out)
    embedded = _are_embeddings(paths, encoder, copy_to)
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.embedding.files.block import Columns
    from labeler.prediction.copy_images import Destination
    from labeler.prediction.filter import Filter

    destination = Destination(copy_to, link or "copy", flat, sidecar) if copy_to else None
    wanted = Filter(low, high, top, version, destination, out, follow_links, force)
    columns = Columns(listed, path_column, vector_column)
    _check_columns(columns, paths, embedded=embedded)
    if embedded:
        _predict_embeddings(paths, str(encoder), columns, wanted, written, as_json=as_json)
    else:
        _predict_images(paths, wanted, as_json=as_json)


def _table_format(out: Path | None) -> str:
    """The format of the list; refused where it can't be written."""
    if out is None:
        return ""
    from labeler.core.files.tables import format_of

    named = format_of(out)
    if named is None:
        raise click.BadParameter(
            f"{out} must end with .csv, .parquet or .jsonl.", param_hint="--out"
        )
    return named


def _are_embeddings(paths: tuple[Path, ...], encoder: str | None, copy_to: Path | None) -> bool:
    """Whether `paths` hold embeddings rather than images; what doesn't go together is refused."""
    from labeler.embedding.files.find import holds_embeddings

    holding = [path for path in paths if holds_embeddings(path)]
    if not holding:
        if encoder is not None:
            raise click.UsageError(
                "--encoder tells what made embeddings, and there are none; images are embedded by "
                "the version's own encoder, so leave it out."
            )
        return False
    if len(holding) < len(paths):
        raise click.UsageError(
            f"{holding[0]} holds embeddings and others of these paths don't; give them apart."
        )
    if encoder is None:
        raise click.UsageError(
            f"{holding[0]} holds embeddings, and such files don't say which encoder made them; "
            "name it with --encoder."
        )
    if copy_to is not None:
        raise click.UsageError(
            f"--copy-to copies images, but {holding[0]} holds embeddings; list them with --out."
        )
    return True


def _check_columns(columns: Columns, paths: tuple[Path, ...], *, embedded: bool) -> None:
    """Refuse what names the parts of embedding files where there is nothing to name."""
    named = {
        "--paths": columns.paths,
        "--path-column": columns.path,
        "--vector-column": columns.vector,
    }
    given = [option for option, value in named.items() if value is not None]
    if given and not embedded:
        raise click.UsageError(
            f"{given[0]} is about files of embeddings, and there are none; leave it out."
        )
    if columns.paths is not None and (len(paths) > 1 or paths[0].is_dir()):
        raise click.UsageError("--paths names the rows of one .npy file; give that alone.")


def _predict_images(paths: tuple[Path, ...], image_filter: Filter, *, as_json: bool) -> None:
    from labeler.prediction.filter import filter_images

    with opened_project() as project, progress_bar() as progress:
        result = filter_images(project, paths, image_filter, progress=progress)
    if image_filter.out is not None:
        print_message(f"Wrote {count_of(len(result.chosen), 'row')} to {image_filter.out}.")
    if as_json:
        print_json(result_document(result.result, result.chosen, result.copies))
    else:
        for image in result.chosen:
            print_image(image.path, image.prediction)
    print_unreadable(result.result.unreadable)
    if result.copies is not None and image_filter.destination is not None:
        print_copies(result.copies, image_filter.destination.folder)
    print_summary(result.result, result.chosen)


def _predict_embeddings(
    paths: tuple[Path, ...],
    encoder: str,
    columns: Columns,
    image_filter: Filter,
    file_format: str,
    *,
    as_json: bool,
) -> None:
    """Nothing is collected but what --json prints: the rows go out as they come."""
    from labeler.core.files.export_writer import ExportWriter
    from labeler.core.files.tables import growing_table
    from labeler.prediction.predict_embeddings import predict_embeddings
    from labeler.prediction.selection import COLUMNS

    out = image_filter.out
    listed: list[Sequence[Any]] = []
    with opened_project() as project, ExitStack() as opened:
        writer = ExportWriter.of(project, force=image_filter.force)
        sinks: list[Write] = [listed.extend] if as_json else []
        if out is not None:
            table = growing_table(out, COLUMNS, file_format, writer.whole)
            sinks.append(opened.enter_context(table))
        # Without either the lines that go past show progress, and a bar would break them.
        progress = opened.enter_context(progress_bar()) if sinks else silent
        result = predict_embeddings(
            project,
            paths,
            encoder,
            version=image_filter.version,
            columns=columns,
            progress=progress,
        )
        count = _write_rows(result, image_filter, sinks or [_print_rows])
    if out is not None:
        print_message(f"Wrote {count_of(count, 'row')} to {out}.")
    if as_json:
        images = [image_document(name, prediction, span) for name, prediction, _, span in listed]
        document = {"version": result.version, "images": images}
        print_json(document | {"unreadable": unreadable_documents(result.unusable), "copied": None})
    print_unreadable(result.unusable)
    if not result.predicted:
        raise Failure("There are no embeddings that can be used; see the reasons above.")
    if not count:
        print_message(f"None of the {result.predicted} embeddings is in that range.")


def _write_rows(result: PredictedEmbeddings, image_filter: Filter, sinks: list[Write]) -> int:
    """Pass every row to each of `sinks`; return how many rows."""
    from labeler.prediction.selection import rows_of, select_blocks

    count = 0
    for block in select_blocks(
        result.blocks, image_filter.low, image_filter.high, image_filter.top
    ):
        rows = list(rows_of(block, result.version))
        for sink in sinks:
            sink(rows)
        count += len(rows)
    return count


def _print_rows(rows: Iterable[Sequence[Any]]) -> None:
    for name, prediction, *_ in rows:
        print_image(name, prediction)


@click.command("_try", hidden=True)
def try_pictures() -> None:
    """Look at pictures for the Try page, as the app starts it."""
    import os

    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    from labeler.prediction.inference_worker.worker import serve

    with opened_project() as project, suppress(BrokenPipeError):
        serve(project, sys.stdin.buffer, answers, _load)


def _load(identity: str) -> Encoder:
    from model.encoders.load import load_encoder

    return load_encoder(identity)
