"""The addresses of downloads, and the plan that an address asks for."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from labeler.core.errors import BadInput
from labeler.exports.datasets.export import Kind
from labeler.exports.datasets.plan import Plan

_NUMBERS, _FLAGS = ("seed",), ("scored_only", "with_images")


def plan_address(kind: Kind, plan: Plan) -> str:
    """Where the export is downloaded as a zip."""
    values = {
        name: int(value) if isinstance(value, bool) else value
        for name, value in plan.as_values().items()
        if value is not None and name != "link"
    }
    return f"api/download/{kind.name}?{urlencode(values)}"


def read_plan(asked: dict[str, str]) -> Plan:
    """The plan in an address's parameters, images linked; raises `BadInput` for what can't be."""
    values: dict[str, Any] = asked | {"link": "sym"}
    try:
        values |= {name: int(asked[name]) for name in _NUMBERS if name in asked}
        values |= {name: bool(int(asked[name])) for name in _FLAGS if name in asked}
    except ValueError:
        raise BadInput("A number in the address is none; use the links on the page.") from None
    return Plan.read(values)
