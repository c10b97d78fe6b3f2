"""Settings that make no sense, and what they are without them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from labeler.project import (
    DEFAULT_AUDIT_EVERY,
    DEFAULT_ENCODER,
    DEFAULT_THRESHOLD,
    MOST_AUDIT_EVERY,
    Project,
)
from model.encoders import canonical
from model.errors import ModelError


@dataclass(frozen=True, slots=True)
class OddSetting:
    """`usual` is what to set instead; `None` where a person's own words would be lost by it."""

    name: str
    value: str
    usual: str | None


def odd_settings(project: Project) -> list[OddSetting]:
    """Those that the program can't read; what was never set is as usual, and never odd."""
    checks: dict[str, tuple[Callable[[str], Any], str | None]] = {
        "encoder": (canonical, _encoder_at_work(project)),
        "threshold": (_threshold, str(DEFAULT_THRESHOLD)),
        "audit_every": (_audit_every, str(DEFAULT_AUDIT_EVERY)),
        "licences": (_licences, None),
    }
    odd = []
    for name, (read, usual) in checks.items():
        value = project.store.setting(name)
        try:
            if value:
                read(value)
        except (ValueError, ModelError):
            odd.append(OddSetting(name, value or "", usual))
    return odd


def _encoder_at_work(project: Project) -> str:
    """The encoder that most images are embedded with, else the usual one."""
    import db.embeddings

    known = db.embeddings.encoders(project.store)
    most = max(known, key=lambda each: db.embeddings.count(project.store, each.id), default=None)
    return most.identity if most else canonical(DEFAULT_ENCODER)


def _threshold(value: str) -> None:
    if not 0 < float(value) < 1:
        raise ValueError(value)


def _audit_every(value: str) -> None:
    if not 0 <= int(value) <= MOST_AUDIT_EVERY:
        raise ValueError(value)


def _licences(value: str) -> None:
    known = json.loads(value)
    if not isinstance(known, dict) or not all(isinstance(text, str) for text in known.values()):
        raise ValueError(value)
