"""Write and read the addresses of downloads, with the plan of an export in their parameters."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from labeler.core.errors import BadInput
from labeler.exports.datasets.export import Kind
from labeler.exports.datasets.plan import Plan

_NUMBERS, _FLAGS = ("seed",), ("scored_only", "with_images")


def plan_address(kind: Kind, plan: Plan) -> str:
    """Return the address that downloads the export as a zip."""
    values = {
        name: int(value) if isinstance(value, bool) else value
        for name, value in plan.as_values().items()
        if value is not None and name != "link"
    }
    return f"api/download/{kind.name}?{urlencode(values)}"


def read_plan(query: dict[str, str]) -> Plan:
    """Return the plan in an address's parameters, images linked; raises `BadInput` for invalid
    ones.
    """
    values: dict[str, Any] = query | {"link": "sym"}
    try:
        values |= {name: int(query[name]) for name in _NUMBERS if name in query}
        values |= {name: bool(int(query[name])) for name in _FLAGS if name in query}
    except ValueError:
        raise BadInput("A number in the address is none; use the links on the page.") from None
    return Plan.read(values)
