"""The licences of the images, as the user stated them: per source, or for all."""

from __future__ import annotations

import json

import db.images.sources
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.core.settings import LICENCES

ALL = ""  # the source's name in the setting where the licence is of all of them
LONGEST = 300


def licences(project: Project) -> dict[str, str]:
    """Return {source: licence}; `ALL` is the key of the licence of all other sources."""
    return dict(LICENCES.read(project.store))


def set_licence(project: Project, licence: str, source: str = ALL) -> None:
    """Store the licence of a source, or of all; an empty one removes it.

    Raises `BadInput` for a source that isn't there or a text that is too long.
    """
    text = " ".join(licence.split())
    if len(text) > LONGEST:
        raise BadInput(f"A licence is named in at most {LONGEST} characters, not {len(text)}.")
    if source != ALL and source not in {
        each.name for each in db.images.sources.sources(project.store)
    }:
        raise BadInput(f"There is no source {source}; the sources are listed by: labeler status")
    licences_by_source = licences(project)
    licences_by_source.pop(source, None)
    if text:
        licences_by_source[source] = text
    project.store.set_setting(LICENCES.name, json.dumps(licences_by_source))


def parse_licence(project: Project, text: str) -> None:
    """Store `SOURCE=LICENCE`, or a licence of all images; raises as `set_licence` does."""
    source, equals, licence = text.partition("=")
    if equals and source in {each.name for each in db.images.sources.sources(project.store)}:
        set_licence(project, licence, source)
    else:
        set_licence(project, text)
