"""Starting the app's server: on which address and port, and with which of Streamlit's settings.

The server listens for this machine only unless another host is asked for, answers only to names
that it is meant to have, and asks nothing of the network.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path

import labeler
from labeler.errors import LabelerError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8501
PORTS_TRIED = 20
# The same as in .streamlit/config.toml, which an installed package doesn't have.
SETTINGS = {
    "server.headless": "true",
    "server.maxUploadSize": "50",
    "server.fileWatcherType": "none",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "viewer",
    "client.showErrorDetails": "type",
    # Streamlit's own message asks a service on the internet for this machine's address.
    "logger.hideWelcomeMessage": "true",
}


def script() -> Path:
    return Path(labeler.__file__).resolve().parent.parent / "streamlit_app.py"


def is_private(host: str) -> bool:
    """Only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            # As the server does: a port that an ended server has just left counts as free.
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except PermissionError as error:
        raise LabelerError(
            f"Port {port} may not be used by this account; choose one above 1023 with --port."
        ) from error
    except socket.gaierror as error:
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
    if host not in names and host not in ("0.0.0.0", "::"):
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


def arguments(host: str, port: int) -> list[str]:
    """The command line for `streamlit`."""
    settings = SETTINGS | {
        "server.address": host,
        "server.port": str(port),
        "theme.base": str(
            Path(labeler.__file__).resolve().parent / "app" / "assets" / "theme.toml"
        ),
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    flags += [f"--server.allowedHosts={name}" for name in allowed_hosts(host)]
    return ["run", str(script()), *flags]


def url(host: str, port: int) -> str:
    shown = (_own_addresses() or ["127.0.0.1"])[0] if host in ("0.0.0.0", "::") else host
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def serve(
    folder: Path | None, host: str, port: int, announce: Callable[[str], None], *, browser: bool
) -> None:
    """Serve the project in `folder` until Ctrl-C or a signal; None serves the first-run page.

    `announce` is called with the address once it answers; `browser` then opens it there, where
    there is a desktop to open it on.
    """
    if folder is not None:
        os.environ["LABELER_PROJECT"] = str(folder)
    from streamlit.web import cli as streamlit

    def ready() -> None:
        address = url(host, port)
        announce(address)
        if browser and _has_desktop():
            webbrowser.open(address)

    threading.Thread(target=_when_listening, args=(host, port, ready), daemon=True).start()
    streamlit.main(arguments(host, port), prog_name="streamlit", standalone_mode=False)


def _when_listening(host: str, port: int, then: Callable[[], None]) -> None:
    target = DEFAULT_HOST if host in ("0.0.0.0", "::") else host
    while True:
        try:
            socket.create_connection((target, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return then()


def _has_desktop() -> bool:
    """A screen of this machine's own, and a person at this terminal."""
    if not sys.stdout.isatty():
        return False
    on_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or bool(on_screen)
