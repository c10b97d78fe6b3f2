"""Start the app's server: choose address, port and token, and set Streamlit's options.

The server listens for this machine only unless another host is asked for, answers only to its own
names and to visitors with the token, and asks nothing of the network.
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
from labeler.app.security.connections import can_identify_accounts
from labeler.app.security.hosts import is_loopback
from labeler.app.security.tokens import random_token, token_from_environment
from labeler.core.errors import LabelerError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8501
PORTS_TRIED = 20
ALL_INTERFACES = ("0.0.0.0", "::")
BACKLOG = 2048  # connections that may wait until they are taken
MACOS_OPEN_FILES = 10_240  # files, more than which macOS gives nobody who asks for all
MAX_MESSAGE_BYTES = 200 * 2**20  # bytes, as Streamlit allows by default
PING_SECONDS = 30.0  # seconds between two signs of life on a page's socket, as Streamlit has it
# The same as in .streamlit/config.toml, which an installed package doesn't have.
STREAMLIT_OPTIONS = {
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
    """How the app is served: the options of `labeler app`."""

    host: str = DEFAULT_HOST
    port: int | None = None  # None: the first that is free
    browser: bool = False
    token: bool = True
    names: tuple[str, ...] = ()  # that it answers to besides its own
    base: str = ""  # as `labeler.app.server.base_path.parse_base_path` gives it
    secrets: Path | None = None  # the file with the login, in place of the one at home


def app_script() -> Path:
    """Return the path of the script that Streamlit runs."""
    return Path(__file__).resolve().parents[3] / "streamlit_app.py"


def secrets_in_working_directory() -> Path | None:
    """Return the secrets file in the current folder, which Streamlit by itself would read."""
    try:
        path = Path.cwd() / ".streamlit" / "secrets.toml"
        return path if path.is_file() and path.parent.parent != Path.home() else None
    except (OSError, RuntimeError):
        return None


def choose_port(host: str, port: int | None) -> int:
    """Return `port` if it is free; without one, the first free from 8501 on.

    Raises `LabelerError` if none is free.
    """
    if port is not None:
        if not _is_port_free(host, port):
            raise LabelerError(
                f"Port {port} on {host} is taken; end what uses it, or choose another with --port."
            )
        return port
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED):
        if _is_port_free(host, candidate):
            return candidate
    last = DEFAULT_PORT + PORTS_TRIED - 1
    raise LabelerError(f"The ports {DEFAULT_PORT} to {last} are all taken; choose one with --port.")


def _is_port_free(host: str, port: int) -> bool:
    """Return whether the server could listen there; raise `LabelerError` for an unusable host."""
    try:
        _bind(host, port).close()
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
    """Return the host names a browser may use for this server; others may be DNS rebinding."""
    names = [DEFAULT_HOST, "localhost"]
    if not is_loopback(host):
        names += [socket.gethostname(), f"{socket.gethostname()}.local", *_own_addresses()]
    if host not in names and host not in ALL_INTERFACES:
        names.append(host)
    return list(dict.fromkeys(name.lower() for name in names))


def _own_addresses() -> list[str]:
    """Return this machine's IP addresses in its networks, found without sending anything."""
    addresses: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # A reserved address; connecting UDP sends nothing.
            addresses.append(probe.getsockname()[0])
        except OSError:  # No network at all.
            return addresses
    return addresses


def streamlit_options(host: str, port: int, names: Sequence[str] = ()) -> dict[str, Any]:
    """Return Streamlit's options, by their names."""
    hosts = [*allowed_hosts(host), *names]
    theme = Path(__file__).resolve().parents[1] / "assets" / "theme.toml"
    return STREAMLIT_OPTIONS | {
        "server.address": host,
        "server.port": port,
        # Every address of this machine, more than it knows itself; our own guard stands before it.
        "server.allowedHosts": ["*"] if host in ALL_INTERFACES else hosts,
        "theme.base": str(theme),
    }


def resolve_ip(host: str) -> str:
    """Return the IP address that Streamlit listens on for `host`; `host` itself if it has none."""
    if ":" in host:
        return host
    try:
        return str(socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError):
        return host


def server_url(host: str, port: int, base: str = "") -> str:
    """Return the URL of a server that listens on the IP address `host`.

    Never with a name: a browser may resolve it to another address of this machine, where another
    program may listen on the same port.
    """
    shown = (_own_addresses() or ["127.0.0.1"])[0] if host in ALL_INTERFACES else host
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{port}{quote(base)}"


def required_token(options: LaunchOptions) -> str | None:
    """Return the token that visitors must send: the person's, else a random one; None without one.

    Raises `LabelerError` if it is too short, and where nothing would keep out strangers.
    """
    if options.token:
        return token_from_environment() or random_token()
    if not is_loopback(options.host):
        raise LabelerError(
            f"--no-token would let in everybody who reaches {options.host}; leave out one of "
            "--no-token and --host."
        )
    if "*" in options.names:
        raise LabelerError(
            "With --no-token and --allow-host '*' any web page could read everything here; name "
            "the host, or leave out --no-token."
        )
    return None


def url_with_token(address: str, token: str | None) -> str:
    """Return the address to open; a token set by the person is left out, since they know it."""
    return address if token is None or token_from_environment() else f"{address}/?token={token}"


def browser_url(address: str, token: str | None, ticket: tickets.Ticket | None) -> str:
    """Return the address that the browser is started with.

    Never with the token where others could read it: every account of the machine sees the arguments
    of a program. macOS passes an address to the browser in another way.
    """
    if token is None:
        return address
    if ticket is not None:
        return f"{address}/?{tickets.TICKET_FIELD}={ticket.value}"
    handed_over = sys.platform == "darwin" and "BROWSER" not in os.environ
    return f"{address}/?token={quote(token)}" if handed_over else address


def serve(folder: Path | None, options: LaunchOptions, announce: Callable[[str], None]) -> None:
    """Serve the project in `folder` until Ctrl-C or a signal; None serves the first-run page.

    The browser, if `options` ask for it and there is a desktop, is opened at once; `announce` is
    called with the address when the app has started. Raises what keeps it from starting.
    """
    # Imported where they are used: `labeler app --help` does without them, and Streamlit
    # loads while its page is sent.
    import uvicorn

    from labeler.app.security.request_guards import with_guards
    from labeler.app.server.startup import DeferredApp
    from labeler.app.server.timeouts import ACCEPT_BACKLOG, http_protocol_with_timeouts

    raise_file_limit()
    token = required_token(options)
    port = choose_port(options.host, options.port)
    ticket = tickets.Ticket() if token is not None and can_identify_accounts() else None
    if folder is not None:
        os.environ["LABELER_PROJECT"] = str(folder)
    with _listen(options.host, port) as listening:
        number = listening.getsockname()[0]
        address = server_url(number, port, options.base)
        if options.browser and _has_desktop():
            first = browser_url(address, token, ticket)
            threading.Thread(target=webbrowser.open, args=(first,), daemon=True).start()

        def loaded() -> None:
            listening.listen(BACKLOG)  # Uvicorn has set it to `ACCEPT_BACKLOG`.
            announce(url_with_token(address, token))

        deferred = DeferredApp(
            partial(_load_app, options, port),
            on_loaded=loaded,
            on_failed=lambda: setattr(server, "should_exit", True),
        )
        guarded_app = with_guards(
            deferred,
            [*allowed_hosts(options.host), number, *options.names],
            token,
            deferred.wait_loaded,
            any_ip=not is_loopback(options.host),
            proxy_hosts=options.names,
            base=options.base,
            ticket=ticket,
        )
        server = uvicorn.Server(
            uvicorn.Config(
                guarded_app,
                http=http_protocol_with_timeouts(),
                backlog=ACCEPT_BACKLOG,
                ws="websockets-sansio",
                ws_ping_interval=PING_SECONDS,
                ws_ping_timeout=PING_SECONDS,
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,
                log_level="warning",
                access_log=False,
                # A header that anybody can write says nothing about where somebody comes from.
                proxy_headers=False,
            )
        )
        server.run(sockets=[listening])
    if deferred.failure is not None:
        raise deferred.failure


def raise_file_limit() -> None:
    """Let this process open as many files as the system allows; each connection is one of them.

    Else some hundred connections that a stranger holds open keep everybody out.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for most in (hard, max(soft, MACOS_OPEN_FILES)):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return


def _listen(host: str, port: int) -> socket.socket:
    """Return the server's socket, to which browsers can connect from now on."""
    listening = _bind(host, port)
    listening.listen(BACKLOG)
    return listening


def _bind(host: str, port: int) -> socket.socket:
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


def _load_app(options: LaunchOptions, port: int) -> ASGIApp:
    """Load Streamlit with its options, then the app; open the store, so that errors in it show.

    The guards in front of the app apply from the first moment on.
    """
    from labeler.app.server import streamlit_settings

    streamlit_settings.load(streamlit_options(options.host, port, options.names), options.secrets)
    for name in ("uvicorn", "uvicorn.access", "uvicorn.asgi", "uvicorn.error"):
        # Streamlit turns them up as it is imported; a line for each request tells nobody anything.
        logging.getLogger(name).setLevel(logging.WARNING)

    from labeler.app.project import current_project
    from labeler.app.server import middleware

    if options.token:
        middleware.print_login_status()
    app = middleware.make_app(middleware.inner_middleware())
    current_project()
    return app


def _has_desktop() -> bool:
    """Return whether this machine has a screen and a person sits at this terminal."""
    if not sys.stdout.isatty():
        return False
    on_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or bool(on_screen)
