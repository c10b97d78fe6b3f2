"""The files that Streamlit's page consists of, sent by this app: at once and in one piece each.

Streamlit sends them through threads, bit by bit; a page has some seventy.
"""

from __future__ import annotations

import importlib.util
import mimetypes
import re
from functools import lru_cache
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

# Their names hold a hash of what is in them.
FOR_EVER = "public, immutable, max-age=31536000"
TYPES = {".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2"}
# What our first page needs beyond the frame; the browser would learn of it step by step.
PARTS = ("BidiComponent", "Html", "Selectbox")
_IMPORTED = re.compile(r"""(?:from|import)\s*["']\./([\w.-]+\.js)["']""")


class PageFiles:
    """Middleware that answers for Streamlit's own files; all else is the app's."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.files = _files()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        path = self.files.get(scope["path"]) if asked else None
        if path is None:
            await self.app(scope, receive, send)
            return
        await _response(path)(scope, receive, send)


def _response(path: Path) -> Response:
    if path.name == "index.html":
        headers = {"Cache-Control": "no-cache"}
        return Response(_page(path), media_type="text/html", headers=headers)
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return Response(path.read_bytes(), media_type=kind, headers={"Cache-Control": FOR_EVER})


@lru_cache(maxsize=1)
def _files() -> dict[str, Path]:
    """File by path in the address: only what is listed here is ever opened."""
    found = importlib.util.find_spec("streamlit")  # Imports nothing.
    if found is None or not found.submodule_search_locations:
        return {}
    folder = Path(found.submodule_search_locations[0]) / "static"
    hashed = (path for path in (folder / "static").rglob("*") if path.is_file())
    files = {f"/{path.relative_to(folder).as_posix()}": path for path in hashed}
    index = folder / "index.html"
    return files | ({"/": index} if index.is_file() else {})


@lru_cache(maxsize=1)
def _page(index: Path) -> str:
    """Streamlit's page, told from the beginning which parts our first page is made of."""
    html = index.read_text(encoding="utf-8")
    links = "".join(
        f'<link rel="modulepreload" crossorigin href="./static/js/{name}">'
        for name in _parts(index.parent / "static" / "js", html)
    )
    return html.replace("</head>", f"{links}</head>", 1)


def _parts(folder: Path, html: str) -> list[str]:
    """The files of `PARTS` and those that they import, without what `html` loads by itself.

    None where Streamlit is built otherwise: the page then learns of them as it would anyway.
    """
    waiting = [path.name for part in PARTS for path in folder.glob(f"{part}.*.js")]
    found: dict[str, None] = {}
    while waiting:
        name = waiting.pop()
        if name not in html and name not in found and (folder / name).is_file():
            found[name] = None
            waiting += _IMPORTED.findall((folder / name).read_text(encoding="utf-8"))
    return list(found)
