"""Starting the app's server: on which address and port, and with which of Streamlit's settings.

The server listens for this machine only unless another host is asked for, answers only to names
that it is meant to have and to who shows the token, and asks nothing of the network.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from labeler.app.security import tickets
from labeler.app.security.connections import can_tell_accounts
from labeler.app.security.hosts import is_private
from labeler.app.security.tokens import chosen_token, fresh_token
from labeler.core.errors import LabelerError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8501
PORTS_TRIED = 20
EVERYWHERE = ("0.0.0.0", "::")
WAITING = 2048  # connections that may wait until they are taken
USUAL_OPEN = 10_240  # files, more than which macOS gives nobody who asks for all
LARGEST_MESSAGE = 200 * 2**20  # bytes, as Streamlit allows by default
LIVELINESS = 30.0  # seconds between two signs of life on a page's socket, as Streamlit has it
# The same as in .streamlit/config.toml, which an installed package doesn't have.
SETTINGS = {
    "server.headless": True,
    "server.maxUploadSize": 50,
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "type",
    # Streamlit's own message asks a service on the internet for this machine's address.
    "logger.hideWelcomeMessage": True,
}


@dataclass(frozen=True)
class LaunchOptions:
    """How the app is to be served: what the options of `labeler app` say."""

    host: str = DEFAULT_HOST
    port: int | None = None  # None: the first that is free
    browser: bool = False
    token: bool = True
    names: tuple[str, ...] = ()  # that it answers to besides its own
    base: str = ""  # as `labeler.app.server.base_path.as_base` gives it
    secrets: Path | None = None  # the file with the login, in place of the one at home


def script() -> Path:
    return Path(__file__).resolve().parents[3] / "streamlit_app.py"


def secrets_here() -> Path | None:
    """A file of secrets in the current folder, where Streamlit by itself would take it from."""
    try:
        found = Path.cwd() / ".streamlit" / "secrets.toml"
        return found if found.is_file() and found.parent.parent != Path.home() else None
    except (OSError, RuntimeError):
        return None


def choose_port(host: str, port: int | None) -> int:
    """`port` if it is free; without one, the first free from 8501 on. Raises `LabelerError`."""
    if port is not None:
        if not _is_free(host, port):
            raise LabelerError(
                f"Port {port} on {host} is taken; end what uses it, or choose another with --port."
            )
        return port
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED):
        if _is_free(host, candidate):
            return candidate
    last = DEFAULT_PORT + PORTS_TRIED - 1
    raise LabelerError(f"The ports {DEFAULT_PORT} to {last} are all taken; choose one with --port.")


def _is_free(host: str, port: int) -> bool:
    """Whether the server could listen there; raises `LabelerError` for a host that isn't ours."""
    try:
        _bound(host, port).close()
    except PermissionError as error:
        raise LabelerError(
            f"Port {port} may not be used by this account; choose one above 1023 with --port."
        ) from error
    except (socket.gaierror, UnicodeError) as error:
        raise LabelerError(f"There is no host named {host}; try --host 127.0.0.1.") from error
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise LabelerError(
                f"Can't listen on {host}: {error.strerror}; try --host 127.0.0.1."
            ) from error
        return False
    return True


def allowed_hosts(host: str) -> list[str]:
    """Names that a browser may use for this server; any other is a trick of another web page."""
    names = [DEFAULT_HOST, "localhost"]
    if not is_private(host):
        names += [socket.gethostname(), f"{socket.gethostname()}.local", *_own_addresses()]
    if host not in names and host not in EVERYWHERE:
        names.append(host)
    return list(dict.fromkeys(name.lower() for name in names))


def _own_addresses() -> list[str]:
    """This machine's addresses in its networks, as far as it knows them without asking anybody."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # A reserved address; connecting UDP sends nothing.
            found.append(probe.getsockname()[0])
        except OSError:  # No network at all.
            return found
    return found


def settings(host: str, port: int, names: Sequence[str] = ()) -> dict[str, Any]:
    """What Streamlit is told, by the names of its options."""
    hosts = [*allowed_hosts(host), *names]
    theme = Path(__file__).resolve().parents[1] / "assets" / "theme.toml"
    return SETTINGS | {
        "server.address": host,
        "server.port": port,
        # Every address of this machine, more than it knows itself; our own guard stands before it.
        "server.allowedHosts": ["*"] if host in EVERYWHERE else hosts,
        "theme.base": str(theme),
    }


def number_of(host: str) -> str:
    """The number that Streamlit by itself listens on for `host`; `host` where it can't be told."""
    if ":" in host:
        return host
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError):
        return host


def url(host: str, port: int, base: str = "") -> str:
    """The address of a server that listens on the number `host`.

    Never with a name: a browser may take it for another number of this machine, where on the same
    port somebody else may listen.
    """
    shown = (_own_addresses() or ["127.0.0.1"])[0] if host in EVERYWHERE else host
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{port}{quote(base)}"


def token_for(wanted: LaunchOptions) -> str | None:
    """What visitors must show: the chosen token, else a fresh one; None lets in this machine.

    Raises `LabelerError` for one that is too short, and where nothing would keep out strangers.
    """
    if wanted.token:
        return chosen_token() or fresh_token()
    if not is_private(wanted.host):
        raise LabelerError(
            f"--no-token would let in everybody who reaches {wanted.host}; leave out one of "
            "--no-token and --host."
        )
    if "*" in wanted.names:
        raise LabelerError(
            "With --no-token and --allow-host '*' any web page could read everything here; name "
            "the host, or leave out --no-token."
        )
    return None


def entrance_url(address: str, token: str | None) -> str:
    """The address that lets in; a chosen token is left out, whoever has chosen it knows it."""
    return address if token is None or chosen_token() else f"{address}/?token={token}"


def browser_url(address: str, token: str | None, ticket: tickets.Ticket | None) -> str:
    """The address that the browser is started with.

    Never with the token where others could read it: what a program is started with, everybody on
    the machine sees. macOS hands an address to the browser in another way.
    """
    if token is None:
        return address
    if ticket is not None:
        return f"{address}/?{tickets.FIELD}={ticket.word}"
    handed_over = sys.platform == "darwin" and "BROWSER" not in os.environ
    return f"{address}/?token={quote(token)}" if handed_over else address


def serve(folder: Path | None, wanted: LaunchOptions, announce: Callable[[str], None]) -> None:
    """Serve the project in `folder` until Ctrl-C or a signal; None serves the first-run page.

    The browser, where it is wanted and there is a desktop to open it on, is opened at once;
    `announce` is called with the address when the app has started. Raises what keeps it from that.
    """
    # Imported where they are used: `labeler app --help` does without them, and Streamlit
    # loads while its page is sent.
    import uvicorn

    from labeler.app.security.request_guards import guarded
    from labeler.app.server.startup import DeferredApp
    from labeler.app.server.timeouts import TAKEN_AT_ONCE, patient_protocol

    raise_file_limit()
    token = token_for(wanted)
    port = choose_port(wanted.host, wanted.port)
    ticket = tickets.Ticket() if token is not None and can_tell_accounts() else None
    if folder is not None:
        os.environ["LABELER_PROJECT"] = str(folder)
    with _listening(wanted.host, port) as listening:
        number = listening.getsockname()[0]
        address = url(number, port, wanted.base)
        if wanted.browser and _has_desktop():
            first = browser_url(address, token, ticket)
            threading.Thread(target=webbrowser.open, args=(first,), daemon=True).start()

        def opened() -> None:
            listening.listen(WAITING)  # The server has set it to what it takes at once.
            announce(entrance_url(address, token))

        opening = DeferredApp(
            partial(_load, wanted, port),
            opened=opened,
            failed=lambda: setattr(server, "should_exit", True),
        )
        behind_guards = guarded(
            opening,
            [*allowed_hosts(wanted.host), number, *wanted.names],
            token,
            opening.settled,
            everywhere=not is_private(wanted.host),
            proxied=wanted.names,
            base=wanted.base,
            ticket=ticket,
        )
        server = uvicorn.Server(
            uvicorn.Config(
                behind_guards,
                http=patient_protocol(),
                backlog=TAKEN_AT_ONCE,
                ws="websockets-sansio",
                ws_ping_interval=LIVELINESS,
                ws_ping_timeout=LIVELINESS,
                ws_max_size=LARGEST_MESSAGE,
                ws_per_message_deflate=False,
                log_level="warning",
                access_log=False,
                # A header that anybody can write says nothing about where somebody comes from.
                proxy_headers=False,
            )
        )
        server.run(sockets=[listening])
    if opening.failure is not None:
        raise opening.failure


def raise_file_limit() -> None:
    """As many files at once as the system lets this process have; each connection is one of them.

    Else some hundred that a stranger holds open keep everybody out.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (hard, max(soft, USUAL_OPEN)):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return


def _listening(host: str, port: int) -> socket.socket:
    """The server's socket, to which browsers may connect from now on."""
    listening = _bound(host, port)
    listening.listen(WAITING)
    return listening


def _bound(host: str, port: int) -> socket.socket:
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # With TCP named as its protocol, asyncio sets TCP_NODELAY on what it accepts (RFC 896): else
    # each answer's body waits 40 ms for the acknowledgement of its headers.
    bound = socket.socket(family, kind, socket.IPPROTO_TCP)
    try:
        # A port that an ended server has just left counts as free.
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # With "::" IPv4's numbers are shown as well; whoever else has them is a conflict.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound


def _load(wanted: LaunchOptions, port: int) -> ASGIApp:
    """Streamlit with its settings, and the app; the store is opened, so that what ails it is told.

    What stands before the app does so already, from the first moment on.
    """
    from labeler.app.server import streamlit_settings

    streamlit_settings.load(settings(wanted.host, port, wanted.names), wanted.secrets)
    for name in ("uvicorn", "uvicorn.access", "uvicorn.asgi", "uvicorn.error"):
        # Streamlit turns them up as it is imported; a line for each request tells nobody anything.
        logging.getLogger(name).setLevel(logging.WARNING)

    from labeler.app.project import current_project
    from labeler.app.server import middleware

    if wanted.token:
        middleware.print_login()
    app = middleware.make_app(middleware.inner_middleware())
    current_project()
    return app


def _has_desktop() -> bool:
    """A screen of this machine's own, and a person at this terminal."""
    if not sys.stdout.isatty():
        return False
    on_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or bool(on_screen)
