"""Commands that maintain a project: backup, restore and doctor."""

from __future__ import annotations

from pathlib import Path

import click

from labeler.cli.commands.versions import AS_JSON
from labeler.cli.common import TypedPath, lower_priority, opened_project
from labeler.cli.output import print_json, print_result, progress_bar


@click.command()
@click.argument("place", metavar="FILE", type=TypedPath(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it is a backup that is there already.")
def backup(place: Path, force: bool) -> None:
    """Write a backup to FILE; the app may go on.

    FILE is a copy of the store: all scores, embeddings, predictions and settings. If it ends in
    .tar, it is the project's folder with the models and added pictures, too; previews can be made
    again and are left out. The copy is read again before it gets its name. Pictures of sources are
    in no backup.

    Restore one with labeler restore. A store in use is never replaced, with or without --force.
    """
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.maintenance.backup import write_backup

    lower_priority()
    with opened_project() as project:
        with progress_bar() as progress:
            done = write_backup(project, place, force=force, progress=progress)
        for line in done.sentences().splitlines():
            print_result(line)


@click.command()
@click.argument("backup", metavar="FILE", type=TypedPath(path_type=Path))
@click.argument("folder", metavar="[DIR]", required=False, type=TypedPath(path_type=Path))
def restore(backup: Path, folder: Path | None) -> None:
    """Make the project what it was when FILE was written.

    DIR is the project's folder, made if needed; without it --project or the current folder. Close
    the app first. FILE is by labeler backup, and checked before anything changes; the store that is
    there is kept beside the restored one, and so are other files of the same names. Pictures of
    sources are in no backup, previews are made again.
    """
    from labeler.core.project import find_folder
    from labeler.maintenance.restore import restore as restore_project

    lower_priority()
    place = folder or find_folder(click.get_current_context().find_object(Path), lost=True)
    with progress_bar() as progress:
        done = restore_project(backup, place, progress=progress)
    print_result(done.sentence())


@click.command()
@click.option("--repair", is_flag=True, help="Mend what follows from what is kept.")
@AS_JSON
def doctor(repair: bool, as_json: bool) -> None:
    """Check everything that the project keeps.

    The store's file, rows that refer to nothing, counts, the scores that count, embeddings,
    predictions, the files of versions, previews and leftovers. With --repair, what can be worked
    out again is, after a copy of the store was put beside it; hand scores are never changed. Exit
    code 1 if something is left that is not right.
    """
    from labeler.core.project import find_folder
    from labeler.maintenance.doctor import as_document, check_project

    lower_priority()
    folder = find_folder(click.get_current_context().find_object(Path))
    with progress_bar() as progress:
        report = check_project(folder, repair=repair, progress=progress)
    if as_json:
        print_json(as_document(report))
    else:
        for line in report.lines():
            print_result(line)
    if not report.healthy:
        click.get_current_context().exit(1)
