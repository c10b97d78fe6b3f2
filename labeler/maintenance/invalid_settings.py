"""Settings that make no sense, and what they are without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import db.images.embeddings
from labeler.core.project import DEFAULT_ENCODER, Project
from labeler.core.settings import TYPED
from model.encoders.names import canonical
from model.errors import ModelError


@dataclass(frozen=True, slots=True)
class InvalidSetting:
    """`usual` is what to set instead, empty to forget it; `None` where that would lose a person's
    own words."""

    name: str
    value: str
    usual: str | None


def invalid_settings(project: Project) -> list[InvalidSetting]:
    """Those that the program can't read; what was never set is as usual, and never odd."""
    checks: dict[str, tuple[Callable[[str], Any], str | None]] = {
        "encoder": (canonical, _encoder_at_work(project)),
        **{each.name: (each.parse, each.default) for each in TYPED},
    }
    odd = []
    for name, (read, usual) in checks.items():
        value = project.store.setting(name)
        try:
            if value:
                read(value)
        except (ValueError, ModelError):
            odd.append(InvalidSetting(name, value or "", usual))
    return odd


def _encoder_at_work(project: Project) -> str:
    """The encoder that most images are embedded with, else the usual one."""
    known = db.images.embeddings.encoders(project.store)
    most = max(
        known, key=lambda each: db.images.embeddings.count(project.store, each.id), default=None
    )
    return most.identity if most else canonical(DEFAULT_ENCODER)
