"""Commands that serve the app: app and demo, and `_run`, by which it starts background jobs."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from labeler.cli.common import TypedPath, lower_priority, opened_project
from labeler.cli.output import print_message, print_result, progress_bar

if TYPE_CHECKING:
    from labeler.core.jobs.heartbeat import Heartbeat

Command = TypeVar("Command", bound=Callable[..., Any])
# A command takes them as the fields of `labeler.app.server.launch.LaunchOptions`.
_SERVE_OPTIONS = (
    click.option(
        "--host",
        default="127.0.0.1",
        show_default=True,
        help="Where to listen; with 0.0.0.0 whoever has the token gets in from the network.",
    ),
    click.option(
        "--port",
        type=click.IntRange(1, 65535),
        help="Without it the first free one from 8501 on.",
    ),
    click.option(
        "--browser/--no-browser", default=True, help="Open the page, where there is a desktop."
    ),
    click.option(
        "--token/--no-token",
        default=True,
        help="--no-token lets in all accounts and programs of this machine without being asked.",
    ),
    click.option(
        "--allow-host",
        "names",
        multiple=True,
        metavar="NAME",
        help="Answer under this name, too: one of this machine, or of a server in front.",
    ),
    click.option(
        "--base-path",
        "base",
        default="",
        metavar="PATH",
        help="Where a server in front shows the app, such as /taste.",
    ),
    click.option(
        "--secrets",
        type=TypedPath(path_type=Path, dir_okay=False),
        metavar="FILE.toml",
        help="Streamlit's login, in place of ~/.streamlit/secrets.toml.",
    ),
)


def serve_options(command: Command) -> Command:
    """Add the options of serving the app to a command."""
    for option in reversed(_SERVE_OPTIONS):
        command = option(command)
    return command


@click.command()
@serve_options
def app(**options: Any) -> None:
    """Serve the app and open it in the browser.

    Its pages are for scoring, reviewing, training, exploring and exporting. Where there is no
    project yet, its first page makes one.

    The app asks everybody for a token, also on this machine, where others may have accounts. It is
    printed as part of the address and made anew at each start, unless the environment variable
    LABELER_TOKEN states one of 16 characters or more; the browser that is opened here gets in
    without being asked. From other machines nothing is encrypted on the way: use --host in a
    network that you trust, or leave it out and come through a tunnel (ssh -L).
    """
    # Imported where they are used: `labeler --help` imports click alone.
    from labeler.core.errors import NoProject
    from labeler.core.project import find_folder, is_project, open_to_others

    folder = None
    try:
        folder = find_folder(click.get_current_context().find_object(Path), may_be_new=True)
        if not is_project(folder):
            print_message(
                f"There is no project in {folder} yet; the app's first page makes one there."
            )
        elif access := open_to_others(folder):
            print_message(
                f"Others on this machine can {access} {folder}; how to end that: labeler doctor"
            )
    except NoProject:
        if _is_project_named():
            raise
    _serve(folder, options)


def _is_project_named() -> bool:
    """Return whether a project was asked for, so that not finding it is an error."""
    import os

    named = click.get_current_context().find_object(Path)
    return named is not None or bool(os.environ.get("LABELER_PROJECT"))


def _serve(folder: Path | None, options: dict[str, Any]) -> None:
    from labeler.app.security.hosts import is_loopback, parse_allowed_host
    from labeler.app.server import launch
    from labeler.app.server.base_path import parse_base_path

    options |= {
        "names": tuple(map(parse_allowed_host, options["names"])),
        "base": parse_base_path(options["base"]),
        "secrets": options["secrets"] and options["secrets"].expanduser().absolute(),
    }
    serving = launch.LaunchOptions(**options)
    launch.required_token(serving)
    if not is_loopback(serving.host):
        print_message(
            f"With --host {serving.host} whoever has the token gets in from the network. Nothing "
            "is encrypted on the way: others in it can read along. Through a tunnel (ssh -L) "
            "nobody can; then leave --host out."
        )
    if serving.secrets is None and (ignored := launch.secrets_in_working_directory()) is not None:
        print_message(
            f"{ignored} is not read, since a folder may be somebody else's; if the login there "
            f"is yours, name it: --secrets {ignored}"
        )
    if not serving.token:
        print_message("With --no-token all accounts and programs of this machine get in.")
    announce = "The app is open at {}  (Ctrl-C ends it)"
    # Streamlit turns the one into the other; neither comes where a script ignores Ctrl-C.
    with suppress(KeyboardInterrupt, click.Abort):
        launch.serve(folder, serving, lambda at: print_result(announce.format(at)))
    print_message("The app has ended; every score is kept.")


@click.command()
@click.argument("folder", metavar="[DIR]", type=TypedPath(path_type=Path), default="demo-project")
@serve_options
@click.option("--app/--no-app", "open_app", default=True, hidden=True)
def demo(folder: Path, open_app: bool, **options: Any) -> None:
    """Make a demo project and open the app on it.

    Its pictures are drawn by the program. Without DIR it is demo-project in the current folder. One
    that is there already is opened.
    """
    from labeler.cli.demo.demo import make_demo

    with progress_bar() as progress:
        project = make_demo(folder, progress=progress)
    project.close()
    print_result(f"The demo project is in {project.folder}")
    if open_app:
        _serve(project.folder, options)


@click.command("_run", hidden=True)
@click.argument("run_id", type=int)
def run_job(run_id: int) -> None:
    """Do the work of a run, as the app starts it."""
    from labeler.cli.job_kinds import JOBS
    from labeler.core.jobs import runner

    lower_priority()
    with opened_project() as project:
        again = runner.retry_until_written()
        run = runner.work(project, run_id, JOBS, on_start=_stop_on_terminate, again=again)
        print_message(f"{run.kind}: {run.state}. {run.message or ''}")


def _stop_on_terminate(heartbeat: Heartbeat) -> None:
    """Stop the run on SIGTERM: what is finished is kept, and its row says stopped."""
    signal.signal(signal.SIGTERM, lambda *_: heartbeat.stop())
