"""Keep the sections of the model card that a person writes; each has a default text.

The text is the person's own Markdown, stored among the project's settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labeler.core.errors import BadInput
from labeler.core.project import Project

MAX_CHARACTERS = 20_000  # characters of one part
_SETTING = "model_card."


@dataclass(frozen=True, slots=True)
class Section:
    """A section that a person writes; `default_text` stands there until then."""

    name: str
    title: str
    description: str
    default_text: str = ""


SECTIONS: Mapping[str, Section] = {
    section.name: section
    for section in (
        Section(
            "goals",
            "Design goals",
            "What the model is for, and for whom.",
            "It tells how one person (or a few) would score an image, so that a folder can be "
            "filtered or put in order without looking at every image.",
        ),
        Section(
            "biases",
            "Intended biases",
            "What it should prefer or reject, and why.",
            "It repeats the taste of whoever gave the scores, with the preferences and dislikes in "
            "it. That is what it is made for.",
        ),
        Section(
            "out-of-scope",
            "Out of scope",
            "What it should not be used for.",
            "- Judging quality in general, people, or whether an image may be shown: it knows one "
            "taste and nothing else.\n"
            "- Kinds of images that it has not been trained on: what it says of them is a guess.\n"
            "- Embeddings by another encoder, or with another normalisation, than the one named "
            "here: they give scores that look fine and mean nothing.",
        ),
        Section("licence", "Licence", "Under which terms the model may be used."),
        Section("notes", "Notes", "Anything else that is worth knowing."),
    )
}


def written_sections(project: Project) -> dict[str, str]:
    """Return the written text of each section by its name; "" where nothing was written."""
    return {name: project.store.setting(_SETTING + name) or "" for name in SECTIONS}


def set_section(project: Project, name: str, text: str) -> None:
    """Store the text of a section; an empty one removes it.

    Raises `BadInput` for an unknown section or a text of more than `MAX_CHARACTERS`.
    """
    if name not in SECTIONS:
        raise BadInput(f"There is no section {name}; there are {', '.join(SECTIONS)}.")
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > MAX_CHARACTERS:
        raise BadInput(f"A section has at most {MAX_CHARACTERS:,} characters, not {len(text):,}.")
    project.store.set_setting(_SETTING + name, text.encode("utf-8", "replace").decode())
