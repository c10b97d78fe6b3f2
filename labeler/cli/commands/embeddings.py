"""labeler import-embeddings: embeddings that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli.common import PATHS, Failure, embedding_columns, lower_priority, opened_project
from labeler.cli.output import first_items, print_message, print_result, progress_bar
from labeler.core.text import count_of

if TYPE_CHECKING:
    from labeler.embedding.importing import EmbeddingImportSummary


@click.command("import-embeddings")
@PATHS
@click.option("--encoder", required=True, metavar="NAME", help="What made them.")
@embedding_columns
@click.option(
    "--with-scores", is_flag=True, help="Take hand scores from folders called 7 or 7_name."
)
@click.option(
    "--by-name", is_flag=True, help="Find images by their file's name where it is unique."
)
@click.option("--replace", is_flag=True, help="Replace embeddings that images have already.")
@click.option("--source", metavar="NAME", help="What to call where new images come from.")
def import_embeddings(
    *,
    paths: tuple[Path, ...],
    encoder: str,
    listed: Path | None,
    path_column: str | None,
    vector_column: str | None,
    with_scores: bool,
    by_name: bool,
    replace: bool,
    source: str | None,
) -> None:
    """Take in embeddings, with or without their images.

    PATH is a folder of clip-retrieval, a .npy file, a folder with a .npy for each image (as
    CityClassifiers keeps them), or a Parquet file with a column of vectors. Such files don't say
    what made them, so you do: it must be the project's encoder.

    An embedding goes to the image at its path. Where the project knows none, it brings an image of
    which nothing but the embedding is known: it is predicted, and scored when its file is imported.
    Ctrl-C keeps what is done; the same command goes on from there.
    """
    if listed is not None and (len(paths) > 1 or paths[0].is_dir()):
        raise click.UsageError("--paths names the rows of one .npy file; give that alone.")
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.embedding.files.block import Columns
    from labeler.embedding.importing import ImportOptions
    from labeler.embedding.importing import import_embeddings as take
    from labeler.versions.activate import predict_active

    lower_priority()
    with opened_project() as project:
        with progress_bar() as progress:
            summary = take(
                project,
                paths,
                encoder,
                columns=Columns(listed, path_column, vector_column),
                how=ImportOptions(by_name, replace, with_scores, source),
                progress=progress,
            )
            predict_active(project, progress)
        _print_import_summary(summary, with_scores=with_scores)


def _print_import_summary(summary: EmbeddingImportSummary, *, with_scores: bool) -> None:
    for line in first_items(
        [f"{file}: {reason}" for file, reason in summary.unusable], "all alike"
    ):
        print_message(line)
    if not summary.rows:
        raise Failure(
            "There are no embeddings that can be used; see the reasons above."
            if summary.unusable
            else "There are no embeddings here: name .npy files, or Parquet files with vectors."
        )
    print_result(
        f"Took {count_of(summary.embedded, 'embedding')} ({summary.rate:.0f} rows a second); "
        f"kept before: {summary.kept}, left out: {summary.left_out}."
    )
    for file in summary.unnamed:
        print_message(
            f"{file} doesn't name its rows, so they are {file}:0, {file}:1 … and meet no image "
            "file; name them with --paths."
        )
    if summary.images:
        print_result(f"Images known by their embedding alone: {summary.images} more.")
        if not summary.matched:
            print_message(
                "None of the names is that of a picture in this project. If they mean pictures "
                "that are here, try --by-name, or name their paths with --paths; these images go "
                "again with: labeler phantoms --remove"
            )
    if with_scores:
        print_result(f"Scored {count_of(summary.scored, 'image')} by their folders.")


@click.command("phantoms")
@click.option("--remove", is_flag=True, help="Remove those that nobody scored or trained on.")
def phantoms(*, remove: bool) -> None:
    """Show or remove images known by an embedding alone.

    They come with embeddings whose names are no path that the project knows. Those whose names mean
    a picture that is here by now become that picture, with all that was done to them.
    """
    from db.importing.embedding_only import remove_unused as take_away
    from db.importing.embedding_only import unseen_images
    from labeler.collection.phantoms import match_phantoms

    with opened_project() as project:
        if matched := match_phantoms(project):
            print_result(f"{count_of(matched, 'embedding')} met their pictures.")
        unseen = unseen_images(project.store)
        if not remove:
            for line in first_items([one.path for one in unseen], "remove them with: --remove"):
                print_result(line)
            print_result(f"{count_of(len(unseen), 'image')} known by their embedding alone.")
            return
        removed = take_away(project.store, {one.image_id for one in unseen})
        kept = len({one.image_id for one in unseen}) - removed
        more = f" {count_of(kept, 'scored one')} stay." if kept else ""
        print_result(f"Removed {count_of(removed, 'image')} known by their embedding alone.{more}")
