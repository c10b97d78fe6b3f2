"""Share between commands: opening the project, errors as a sentence and an exit code, options."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from labeler.cli.output import print_message
from labeler.core.error_messages import STOPPED, message_for
from labeler.core.text import printable
from labeler.maintenance.diagnosis import diagnosed

if TYPE_CHECKING:
    from labeler.core.project import Project


class TypedPath(click.Path):
    """A path as `labeler.core.files.typed_paths` reads it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; a usage error for one that can't be meant."""
        if isinstance(value, str):
            # Imported where they are used: `labeler --help` imports click alone.
            from labeler.core.errors import BadInput
            from labeler.core.files.typed_paths import typed_path

            try:
                value = str(typed_path(value))
            except BadInput as error:
                self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


Command = TypeVar("Command", bound=Callable[..., Any])
PATHS = click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=TypedPath(path_type=Path)
)
FOLLOW_LINKS = click.option(
    "--follow-links",
    is_flag=True,
    help="Follow links in folders that lead out of them; without it only those made here are.",
)
# The options where embeddings are read: a command takes them as listed, path_column, vector_column.
_EMBEDDING_COLUMNS = (
    click.option(
        "--paths",
        "listed",
        type=TypedPath(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="The image of each row of a .npy file: .txt (a path a line), .csv or .parquet.",
    ),
    click.option("--path-column", metavar="NAME", help="The column that holds the paths."),
    click.option("--vector-column", metavar="NAME", help="The column that holds the embeddings."),
)
# Passed by `main` alone: the process runs one command and nothing else.
OWN_PROCESS = "labeler.core.jobs.child_process"
STOPPED_CODE = 130  # what shells report for a program ended by Ctrl-C


def embedding_columns(command: Command) -> Command:
    """Add the options that describe embedding files to a command."""
    for option in reversed(_EMBEDDING_COLUMNS):
        command = option(command)
    return command


class Failure(click.ClickException):
    """An error that ends the command: one sentence on standard error, exit code 1."""

    def show(self, file: Any = None) -> None:  # noqa: ARG002
        """Print the message."""
        print_message(self.message)


class Interrupted(Failure):
    """The end of a command by Ctrl-C."""

    exit_code = STOPPED_CODE


class Commands(click.Group):
    """A command group that shows expected errors as a sentence; others keep their traceback."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Parse the arguments; errors in them are made printable."""
        try:
            return super().make_context(*args, **more)
        except click.ClickException as error:
            raise _printable(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; expected errors become a `Failure` with one sentence."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted(STOPPED) from None
        except click.ClickException as error:
            raise _printable(error) from error.__cause__
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            message = message_for(error)
            if message is None or _is_broken_pipe(error):
                raise
            kind = Interrupted if message == STOPPED else Failure
            raise kind(message) from error


def _printable(error: click.ClickException) -> click.ClickException:
    """Make click's message printable: it repeats arguments, and `*` may expand to any file name.

    Some of it is a whole help text, so its lines are kept.
    """
    message = "\n".join(map(printable, error.message.split("\n")))
    if isinstance(error, click.NoSuchOption) and not error.option_name.startswith("--"):
        message += "; for a file whose name begins with - write ./-NAME."
    vars(error)["message"] = message
    return error


def _is_broken_pipe(error: Exception) -> bool:
    """Return whether the output's reader has ended, as in `labeler predict … | head`."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE


@contextmanager
def opened_project() -> Iterator[Project]:
    """Open the project of --project, LABELER_PROJECT or the current folder; close it at the end."""
    from labeler.core.project import find_project

    project = find_project(click.get_current_context().find_object(Path))
    try:
        with diagnosed(project):
            yield project
    finally:
        project.close()


def lower_priority() -> None:
    """Lower this process's priority, so that the app stays quick: see
    `labeler.core.jobs.child_process`.

    It can't be undone, so it is done only where the process runs this command alone.
    """
    from labeler.core.jobs import child_process

    if click.get_current_context().meta.get(OWN_PROCESS):
        child_process.lower_priority()


class Fraction(click.ParamType):
    """A prediction, 0–1."""

    name = "fraction"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, 0–1."""
        number = _parse_fraction(str(value))
        if number is None:
            self.fail(
                f"{value!r} is not a number from 0 to 1; for half write 0.5 or 50%.", param, ctx
            )
        if not 0 <= number <= 1:
            hint = f" For {number:g} % write {number / 100:g}." if 1 < number <= 100 else ""
            self.fail(f"Predictions run from 0 to 1, so {value} is outside.{hint}", param, ctx)
        return number


def _parse_fraction(text: str) -> float | None:
    """Return the number, also with a decimal comma or as a percentage; None where it is none."""
    bare = text.strip().replace(",", ".")
    try:
        return float(bare[:-1]) / 100 if bare.endswith("%") else float(bare)
    except ValueError:
        return None


class FractionBand(click.ParamType):
    """LOW:HIGH, predictions 0–1."""

    name = "band"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Return (low, high), both 0–1."""
        if isinstance(value, tuple):
            return value
        low, colon, high = str(value).partition(":")
        if not colon:
            self.fail(f"{value!r} is not LOW:HIGH with predictions from 0 to 1.", param, ctx)
        band = tuple(Fraction().convert(end, param, ctx) for end in (low, high))
        if band[0] > band[1]:
            self.fail(f"{value!r} begins above its end; nothing can be between.", param, ctx)
        return band[0], band[1]


def _parse_ends(value: Any) -> tuple[float, float]:
    """Return the numbers of LOW:HIGH; NaN where they are none."""
    low, _, high = str(value).partition(":")
    try:
        return float(low), float(high)
    except ValueError:
        return math.nan, math.nan


class Band(click.ParamType):
    """LOW:HIGH, hand scores 0–10."""

    name = "band"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Return (low, high), both 0–10."""
        if isinstance(value, tuple):
            return value
        band = _parse_ends(value)
        if not 0 <= band[0] <= band[1] <= 10:
            self.fail(
                f"{value!r} is not LOW:HIGH with hand scores from 0 to 10, such as 0:1.", param, ctx
            )
        return band


class Scale(click.ParamType):
    """LOW:HIGH, the ends of another scale."""

    name = "scale"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Return (low, high), both finite."""
        if isinstance(value, tuple):
            return value
        scale = _parse_ends(value)
        if not -math.inf < scale[0] < scale[1] < math.inf:
            self.fail(f"{value!r} is not LOW:HIGH with the lower first, such as 1:10.", param, ctx)
        return scale
