"""Hooks of the MkDocs site: documents outside docs/ become pages of it.

Such a document stays where a reader of the repository expects it. Links between it and the pages in
docs/ are rewritten while the site is built: the same link works in the repository and on the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# Path in the repository -> name of the page.
OUTSIDE = {
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
}
LINK = re.compile(r"\]\((?!https?:|#)([^)\s#]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each document outside docs/ that docs/ has no page for."""
    for source, page in OUTSIDE.items():
        if files.get_file_from_path(page) is None:
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=_for_site(text, source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite the links of a page in docs/; the generated pages are rewritten already."""
    if page.file.generated_by is not None:
        return markdown
    return _for_site(markdown, f"docs/{page.file.src_uri}")


def _for_site(text: str, source: str) -> str:
    """Return the text of the document `source` with its links as the site needs them."""

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        return f"]({OUTSIDE.get(target, target.removeprefix('docs/'))}"

    return LINK.sub(link, text)
