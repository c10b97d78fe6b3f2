"""Settings whose stored values can't be parsed, and the values to replace them by."""

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
    """A setting whose stored value can't be parsed."""

    name: str
    value: str
    # The value to set instead; "" removes the setting, None keeps it, since a user wrote it.
    usual: str | None


def invalid_settings(project: Project) -> list[InvalidSetting]:
    """Return the settings whose values can't be parsed; unset ones have their defaults."""
    checks: dict[str, tuple[Callable[[str], Any], str | None]] = {
        "encoder": (canonical, _most_used_encoder(project)),
        **{each.name: (each.parse, each.default) for each in TYPED},
    }
    invalid = []
    for name, (parse, usual) in checks.items():
        value = project.store.setting(name)
        try:
            if value:
                parse(value)
        except (ValueError, ModelError):
            invalid.append(InvalidSetting(name, value or "", usual))
    return invalid


def _most_used_encoder(project: Project) -> str:
    """Return the encoder with the most embeddings, else the default one."""
    encoders = db.images.embeddings.encoders(project.store)
    most_used = max(
        encoders, key=lambda each: db.images.embeddings.count(project.store, each.id), default=None
    )
    return most_used.identity if most_used else canonical(DEFAULT_ENCODER)
