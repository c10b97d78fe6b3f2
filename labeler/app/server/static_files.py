"""The files that a page consists of, sent at once and in one piece each: Streamlit's and our own.

Streamlit sends its own through threads, bit by bit; a page has some seventy. Ours are the ES
modules in `assets/`, which import each other by relative addresses. Each address holds a hash of
what is in all of them, as in /assets/0123456789ab/score/score.js: a browser keeps them for ever,
and asks for others after an upgrade.
"""

from __future__ import annotations

import hashlib
import importlib.util
import mimetypes
import re
from functools import lru_cache
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from labeler.app.security.refusals import ASSETS_PATH, refuse

# Their names hold a hash of what is in them.
CACHE_FOREVER = "public, immutable, max-age=31536000"
TYPES = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2"}
ASSETS = Path(__file__).parents[1] / "assets"
# What our first page needs beyond the frame; the browser would learn of it step by step.
PRELOADED_PARTS = ("BidiComponent", "Html", "Selectbox")
PRELOADED_FOLDERS = ("score/", "shared/")  # of our modules
# The addresses of the pages (labeler/app/frame): Streamlit answers each with the same file.
PAGES = ("/", "/start", "/review", "/train", "/progress", "/explore", "/try", "/export")
# Seen until the browser has read Streamlit's code, which on a busy machine takes many seconds.
ROOT = '<div id="root">{}</div>'
LOADING = (
    '<p role="status" style="margin: 40vh 0 0; text-align: center; color: #777; '
    'font: 1rem system-ui, sans-serif">Loading …</p>'
)
_IMPORTED = re.compile(r"""(?:from|import)\s*["']\./([\w.-]+\.js)["']""")


class StaticFiles:
    """Middleware that serves these files; all else is the app's."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.files = _files()
        self.modules = {module_url(name): content for name, content in _modules().items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if reads and (path := self.files.get(scope["path"])) is not None:
            await _response(path)(scope, receive, send)
        elif reads and (module := self.modules.get(scope["path"])) is not None:
            await _immutable_response(module, TYPES[".js"])(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(ASSETS_PATH):
            # Else Streamlit would answer with its page and status 200.
            await refuse(scope, receive, send, 404, "There is nothing at this address.")
        else:
            await self.app(scope, receive, send)


def module_url(name: str) -> str:
    """Return the path, below the app's base path, of the module `name`, as in "score/score.js".

    Raises `KeyError` for what is no module.
    """
    _modules()[name]
    return f"{ASSETS_PATH}{_version()}/{name}"


def _response(path: Path) -> Response:
    if path.name == "index.html":
        headers = {"Cache-Control": "no-cache"}
        return Response(_page(path), media_type="text/html", headers=headers)
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return _immutable_response(path.read_bytes(), kind)


def _immutable_response(content: bytes, kind: str | None) -> Response:
    return Response(content, media_type=kind, headers={"Cache-Control": CACHE_FOREVER})


@lru_cache(maxsize=1)
def _modules() -> dict[str, bytes]:
    """Return our modules by name; read once, so that an upgrade under a running app mixes none."""
    paths = sorted(ASSETS.rglob("*.js"))
    return {path.relative_to(ASSETS).as_posix(): path.read_bytes() for path in paths}


@lru_cache(maxsize=1)
def _version() -> str:
    """Return 12 hexadecimal digits that change with any of our modules."""
    digest = hashlib.sha256()
    for name, content in _modules().items():
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:12]


@lru_cache(maxsize=1)
def _files() -> dict[str, Path]:
    """Return Streamlit's files by path in the address: only what is listed is ever opened."""
    spec = importlib.util.find_spec("streamlit")  # Imports nothing.
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0]) / "static"
    hashed = (path for path in (folder / "static").rglob("*") if path.is_file())
    files = {f"/{path.relative_to(folder).as_posix()}": path for path in hashed}
    index = folder / "index.html"
    return files | (dict.fromkeys(PAGES, index) if index.is_file() else {})


@lru_cache(maxsize=1)
def _page(index: Path) -> str:
    """Return Streamlit's page, with a text to see until it has begun, and told from the beginning
    which parts our first page is made of.
    """
    html = index.read_text(encoding="utf-8")
    parts = [f"/static/js/{name}" for name in _parts(index.parent / "static" / "js", html)]
    parts += [module_url(name) for name in _modules() if name.startswith(PRELOADED_FOLDERS)]
    links = "".join(
        f'<link rel="modulepreload" crossorigin href=".{address}">' for address in parts
    )
    html = html.replace(ROOT.format(""), ROOT.format(LOADING), 1)
    return html.replace("</head>", f"{links}</head>", 1)


def _parts(folder: Path, html: str) -> list[str]:
    """Return the names of `PRELOADED_PARTS` and of what they import, but for those in `html`.

    Empty where Streamlit is built otherwise: the browser then finds them step by step.
    """
    waiting = [path.name for part in PRELOADED_PARTS for path in folder.glob(f"{part}.*.js")]
    names: dict[str, None] = {}
    while waiting:
        name = waiting.pop()
        if name not in html and name not in names and (folder / name).is_file():
            names[name] = None
            waiting += _IMPORTED.findall((folder / name).read_text(encoding="utf-8"))
    return list(names)
