"""The targets of an export: the download link and the folder."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from labeler.core.errors import BadInput
from labeler.core.files.typed_paths import typed_path
from labeler.core.project import Project

DOWNLOAD = """
<style>
a.download {
  display: inline-block; padding: 0.4rem 0.9rem; border-radius: 0.5rem; text-decoration: none;
  background: var(--st-primary-color, #2a6f6b); color: #fff; font-size: 0.95rem;
}
a.download:hover { filter: brightness(1.1); }
</style>
"""


def download(label: str, url: str) -> None:
    """Show a link that looks like a button; the file is made when it is clicked."""
    st.html(f'{DOWNLOAD}<a class="download" href="{url}" download>{label}</a>')


def folder_field(project: Project, name: str) -> str:
    """Show the field of the target folder; return its text."""
    default = str(project.folder / "exports" / name)
    return st.text_input("Folder", value=default, key=f"folder-{name}") or ""


def replace_field(name: str) -> bool:
    """Show whether changed files may be replaced as well; return the choice."""
    return st.checkbox(
        "Replace files that are there",
        help="What an earlier export left there is replaced in any case; your own files and what "
        "was edited since only with this.",
        key=f"replace-{name}",
    )


def typed_output_path(text: str) -> Path:
    """Return the typed path; raises `BadInput` where it is no absolute path."""
    path = typed_path(text)
    if not text.strip() or not path.is_absolute():
        raise BadInput(f"{text or 'Nothing'} is not a whole path; write it from its first /.")
    return path
