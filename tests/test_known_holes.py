"""Protects the check for known holes: a hole fails it, and silence is never taken for "none"."""

from __future__ import annotations

import json

from tests.support.known_holes import required, told

ASKED = {"pillow": "11.0", "starlette": "0.40"}
HOLE = {"id": "CVE-2025-0001", "fix_versions": ["0.41"], "description": "…"}


def answer(*dependencies: dict[str, object]) -> str:
    return json.dumps({"dependencies": list(dependencies), "fixes": []})


def test_a_hole_fails_and_is_named_with_its_mend() -> None:
    fine = {"name": "pillow", "version": "11.0", "vulns": []}
    holed = {"name": "starlette", "version": "0.40", "vulns": [HOLE]}
    lines, holes = told(answer(fine, holed), ASKED)
    assert holes
    assert lines[0] == "starlette 0.40: CVE-2025-0001, mended in 0.41"
    assert "1 in 2 of 2" in lines[1]


def test_nothing_known_passes() -> None:
    fine = [{"name": name, "version": "1", "vulns": []} for name in ASKED]
    lines, holes = told(answer(*fine), ASKED)
    assert (lines, holes) == (["Known holes: 0 in 2 of 2 packages."], False)


def test_silence_is_said_and_fails_nothing() -> None:
    skipped = [{"name": name, "skip_reason": "not found"} for name in ASKED]
    for silence in ("", "Traceback …", "{}", answer(*skipped), answer()):
        lines, holes = told(silence, ASKED)
        assert not holes
        assert "NOT CHECKED" in lines[0]


def test_what_was_not_answered_is_named() -> None:
    fine = {"name": "pillow", "version": "11.0", "vulns": []}
    lines, holes = told(answer(fine, {"name": "starlette", "skip_reason": "?"}), ASKED)
    assert (lines[-1], holes) == ("NOT CHECKED: starlette.", False)


def test_what_is_required_reaches_all_that_runs() -> None:
    found = required("streamlit")
    assert {"starlette", "uvicorn", "numpy", "pillow"} <= set(found)
    assert "streamlit" not in found
    assert not any("+" in version for version in found.values())
