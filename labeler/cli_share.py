"""Commands that show a project: app and demo, and the one by which the app starts long work."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeler.cli_edge import TypedPath, give_way, opened_project
from labeler.cli_output import progress_bar, say, tell

if TYPE_CHECKING:
    from labeler.heartbeat import Heart

HOST = click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen; with 0.0.0.0 whoever has the token gets in from the network.",
)
PORT = click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Without it the first free one from 8501 on.",
)
BROWSER = click.option(
    "--browser/--no-browser", default=True, help="Open the page, where there is a desktop."
)


@click.command()
@HOST
@PORT
@BROWSER
def app(host: str, port: int | None, browser: bool) -> None:
    """Serve the app and open it in the browser.

    Its pages are for scoring, reviewing, training, exploring and exporting. Where there is no
    project yet, its first page makes one.

    With another --host than this machine's own, the app asks everybody for a token. It is printed
    as part of the address and made anew at each start, unless the environment variable
    LABELER_TOKEN states one of 16 characters or more. Nothing is encrypted on the way: use it in a
    network that you trust, or leave --host out and come through a tunnel (ssh -L).
    """
    from labeler.errors import NoProject
    from labeler.project import find_folder, open_to_others

    folder = None
    try:
        folder = find_folder(click.get_current_context().find_object(Path))
        if may := open_to_others(folder):
            tell(f"Others on this machine can {may} {folder}; how to end that: labeler doctor")
    except NoProject:
        if _is_named():
            raise
    _serve(folder, host, port, browser)


def _is_named() -> bool:
    """Whether a project was asked for, so that not finding it is a mistake."""
    import os

    named = click.get_current_context().find_object(Path)
    return named is not None or bool(os.environ.get("LABELER_PROJECT"))


def _serve(folder: Path | None, host: str, port: int | None, browser: bool) -> None:
    from labeler import launching

    if not launching.is_private(host):
        tell(
            f"With --host {host} whoever has the token gets in from the network. Nothing is "
            "encrypted on the way: others in it can read along. Through a tunnel (ssh -L) nobody "
            "can; then leave --host out."
        )
    port = launching.choose_port(host, port)
    announce = "The app is open at {}  (Ctrl-C ends it)"
    # Streamlit turns the one into the other; neither comes where a script ignores Ctrl-C.
    with suppress(KeyboardInterrupt, click.Abort):
        launching.serve(folder, host, port, lambda at: say(announce.format(at)), browser=browser)
    tell("The app has ended; every score is kept.")


@click.command()
@click.argument("folder", metavar="[DIR]", type=TypedPath(path_type=Path), default="demo-project")
@HOST
@PORT
@BROWSER
@click.option("--app/--no-app", "open_app", default=True, hidden=True)
def demo(folder: Path, host: str, port: int | None, browser: bool, open_app: bool) -> None:
    """Make a demo project and open the app on it.

    Its pictures are drawn by the program. Without DIR it is demo-project in the current folder. One
    that is there already is opened.
    """
    from labeler.demo import make_demo

    with progress_bar() as progress:
        project = make_demo(folder, progress=progress)
    project.close()
    say(f"The demo project is in {project.folder}")
    if open_app:
        _serve(project.folder, host, port, browser)


@click.command("_run", hidden=True)
@click.argument("run_id", type=int)
def run_in_background(run_id: int) -> None:
    """Do the work of a run, as the app starts it."""
    from labeler import runs

    give_way(own_session=True)
    with opened_project() as project:
        again = runs.until_there_is_room()
        run = runs.work(project, run_id, on_start=_stop_on_terminate, again=again)
        tell(f"{run.kind}: {run.state}. {run.message or ''}")


def _stop_on_terminate(heart: Heart) -> None:
    """A polite end: what is finished is kept, and the row says stopped."""
    signal.signal(signal.SIGTERM, lambda *_: heart.stop())
