"""Where an export goes: the link that downloads it, and the folder that it is written to."""

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
    """A link that looks like a button: the file is made when it is clicked and sent at once."""
    st.html(f'{DOWNLOAD}<a class="download" href="{url}" download>{label}</a>')


def folder_field(project: Project, name: str) -> str:
    default = str(project.folder / "exports" / name)
    return st.text_input("Folder", value=default, key=f"folder-{name}") or ""


def replace_field(name: str) -> bool:
    """Whether also files may be replaced that are not as an export left them."""
    return st.checkbox(
        "Replace files that are there",
        help="What an earlier export left there is replaced in any case; your own files and what "
        "was edited since only with this.",
        key=f"replace-{name}",
    )


def checked(text: str) -> Path:
    """The folder that was typed; raises `BadInput` for what is no whole path."""
    folder = typed_path(text)
    if not text.strip() or not folder.is_absolute():
        raise BadInput(f"{text or 'Nothing'} is not a whole path; write it from its first /.")
    return folder
