"""labeler predict: scores for any images, or for embeddings in files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from labeler.cli_edge import PATHS, Failure, Fraction, opened_project
from labeler.cli_output import counted, percent, progress_bar, say, show_json, tell, tell_unreadable
from labeler.progress import silent

if TYPE_CHECKING:
    from labeler.embedding_predictions import PredictedEmbeddings
    from labeler.predicting import PredictedImage, PredictedImages
    from labeler.selecting import Copies
    from labeler.tables import Write

Wanted = tuple[float, float, int | None]  # from, up to, only so many


@click.command()
@PATHS
@click.option("--min", "low", type=Fraction(), default=0.0, metavar="F", help="From this, 0–1.")
@click.option("--max", "high", type=Fraction(), default=1.0, metavar="F", help="Up to this, 0–1.")
@click.option("--top", type=click.IntRange(0), metavar="N", help="Only the N highest.")
@click.option(
    "--copy-to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Copy these images there, keeping the folders they are in.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the list to a file: .csv, .parquet or .jsonl.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--encoder", metavar="NAME", help="What made the embeddings, where PATH holds such.")
def predict(
    *,
    paths: tuple[Path, ...],
    low: float,
    high: float,
    top: int | None,
    copy_to: Path | None,
    out: Path | None,
    as_json: bool,
    encoder: str | None,
) -> None:
    """Predict scores for any images or folders of them.

    They need not be in the project, and nothing is imported. Highest first, as in: 87% [file]

    PATH may also hold embeddings: a folder of clip-retrieval, or a .npy file with one row for each
    image. Those are listed in their order, with --top the highest first.
    """
    if low > high:
        raise click.UsageError(f"--min {low:g} is above --max {high:g}; nothing can be between.")
    written = _table_format(out)
    wanted = low, high, top
    if _are_embeddings(paths, encoder, copy_to):
        _predict_embeddings(paths, str(encoder), wanted, (out, written), as_json=as_json)
    else:
        _predict_images(paths, wanted, copy_to, (out, written), as_json=as_json)


def _table_format(out: Path | None) -> str:
    from labeler.tables import LIST_FORMATS, format_of

    if out is None:
        return ""
    named = format_of(out, LIST_FORMATS)
    if named is None:
        raise click.BadParameter(
            f"{out} must end with .csv, .parquet or .jsonl.", param_hint="--out"
        )
    return named


def _are_embeddings(paths: tuple[Path, ...], encoder: str | None, copy_to: Path | None) -> bool:
    """Whether `paths` hold embeddings rather than images; what doesn't go together is refused."""
    from labeler.embedding_files import holds_embeddings

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


def _predict_images(
    paths: tuple[Path, ...],
    wanted: Wanted,
    copy_to: Path | None,
    written: tuple[Path | None, str],
    *,
    as_json: bool,
) -> None:
    out, file_format = written
    with opened_project() as project:
        from labeler.predicting import predict_paths
        from labeler.selecting import as_table, copy_images, select
        from labeler.tables import write_table

        with progress_bar() as progress:
            result = predict_paths(project, paths, leave_out=copy_to, progress=progress)
            chosen = select(result.images, *wanted)
            copies = copy_images(chosen, copy_to, progress) if copy_to else None
        if out is not None:
            write_table(out, as_table(chosen, result.version), file_format)
            tell(f"Wrote {counted(len(chosen), 'row')} to {out}.")
        if as_json:
            show_json(_document(result, chosen, copies))
        else:
            for image in chosen:
                _say(image.path, image.prediction)
        _tell_about(result, chosen, copies, copy_to)


def _say(name: str, prediction: float) -> None:
    say(f"{percent(prediction):>4} [{name}]")


def _document(
    result: PredictedImages, chosen: list[PredictedImage], copies: Copies | None
) -> dict[str, Any]:
    return {
        "version": result.version,
        "images": [{"path": image.path, "prediction": image.prediction} for image in chosen],
        "unreadable": _reasons(result.unreadable),
        "copied": None if copies is None else asdict(copies),
    }


def _reasons(unreadable: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"path": path, "reason": reason} for path, reason in unreadable]


def _tell_about(
    result: PredictedImages,
    chosen: list[PredictedImage],
    copies: Copies | None,
    copy_to: Path | None,
) -> None:
    tell_unreadable(result.unreadable)
    if copies is not None:
        tell(f"Copied {counted(copies.made, 'image')} to {copy_to}; there already: {copies.there}.")
        for path, place in copies.renamed:
            tell(f"{path} is copied as {place}: another file has its name.")
    if not result.images:
        if result.unreadable:
            raise Failure("None of these files can be read as an image; see the reasons above.")
        tell("There are no images there.")
    elif not chosen:
        tell(f"None of the {len(result.images)} images is in that range.")


def _predict_embeddings(
    paths: tuple[Path, ...],
    encoder: str,
    wanted: Wanted,
    written: tuple[Path | None, str],
    *,
    as_json: bool,
) -> None:
    """Nothing is collected but what --json prints: the rows go out as they come."""
    from labeler.embedding_predictions import predict_embeddings
    from labeler.selecting import COLUMNS
    from labeler.tables import growing_table

    out, file_format = written
    listed: list[Sequence[Any]] = []
    with opened_project() as project, ExitStack() as opened:
        sinks: list[Write] = [listed.extend] if as_json else []
        if out is not None:
            sinks.append(opened.enter_context(growing_table(out, COLUMNS, file_format)))
        # Without either the lines that go past show progress, and a bar would break them.
        progress = opened.enter_context(progress_bar()) if sinks else silent
        result = predict_embeddings(project, paths, encoder, progress=progress)
        count = _hand_out(result, wanted, sinks or [_say_rows])
    if out is not None:
        tell(f"Wrote {counted(count, 'row')} to {out}.")
    if as_json:
        images = [{"path": name, "prediction": prediction} for name, prediction, _ in listed]
        document = {"version": result.version, "images": images}
        show_json(document | {"unreadable": _reasons(result.unusable), "copied": None})
    tell_unreadable(result.unusable)
    if not result.predicted:
        raise Failure("There are no embeddings that can be used; see the reasons above.")
    if not count:
        tell(f"None of the {result.predicted} embeddings is in that range.")


def _hand_out(result: PredictedEmbeddings, wanted: Wanted, sinks: list[Write]) -> int:
    """Every row to each of `sinks`; returns how many."""
    from labeler.selecting import rows_of, select_blocks

    count = 0
    for block in select_blocks(result.blocks, *wanted):
        rows = list(rows_of(block, result.version))
        for sink in sinks:
            sink(rows)
        count += len(rows)
    return count


def _say_rows(rows: Iterable[Sequence[Any]]) -> None:
    for name, prediction, _ in rows:
        _say(name, prediction)
