"""What a person says about the model in their own words: kept beside the scores, for every card.

The text is the person's own Markdown. A part that nobody wrote has what is usually true instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labeler.core.errors import BadInput
from labeler.core.project import Project

LONGEST = 20_000  # characters of one part
_SETTING = "model_card."


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the card that a person writes; `usual` stands there until then."""

    name: str
    title: str
    about: str
    usual: str = ""


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


def prose(project: Project) -> dict[str, str]:
    """What was written, by the name of the section; empty where nothing was."""
    return {name: project.store.setting(_SETTING + name) or "" for name in SECTIONS}


def set_prose(project: Project, name: str, text: str) -> None:
    """Keep the text of a section; an empty one takes it back.

    Raises `BadInput` for a section that isn't there or a text that is too long.
    """
    if name not in SECTIONS:
        raise BadInput(f"There is no section {name}; there are {', '.join(SECTIONS)}.")
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(text) > LONGEST:
        raise BadInput(f"A section has at most {LONGEST:,} characters, not {len(text):,}.")
    project.store.set_setting(_SETTING + name, text.encode("utf-8", "replace").decode())
