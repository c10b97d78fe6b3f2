"""Known holes in what the project requires: `python tests/support/known_holes.py`, by `make check`.

Asks by pip-audit, for the versions installed here of all that the project needs to run; what only
the tests and checks need is left out. A hole fails. Where nobody answers, that is said and nothing
fails: it may be known elsewhere, and a machine without a network is no reason to stop.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "taste-labeler"
ASK = ("-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json")


def required(project: str = PROJECT) -> dict[str, str]:
    """Version by name of all that `project` requires, and what that requires, as far as it is here.

    Without the part after a `+`: a build for some machine has the holes of its release.
    """
    found: dict[str, str] = {}
    waiting: list[tuple[str, str]] = [(project, "")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            known = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # For another machine or version of Python.
        found[name] = known.version.partition("+")[0]
        waiting += _wanted(known.requires or [], extra)
    found.pop(project, None)
    return dict(sorted(found.items()))


def _wanted(requires: Iterable[str], extra: str) -> Iterable[tuple[str, str]]:
    for one in map(Requirement, requires):
        if one.marker is None or one.marker.evaluate({"extra": extra}):
            name = canonicalize_name(one.name)
            yield from ((name, each) for each in ("", *one.extras))


def told(answer: str, asked: Mapping[str, str]) -> tuple[list[str], bool]:
    """What is to be said of pip-audit's `answer`, and whether a hole is known."""
    try:
        each: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        return ["Known holes: NOT CHECKED, since nobody answered who knows them."], False
    answered = {one["name"] for one in each if "vulns" in one}
    holes = [(one, hole) for one in each for hole in one.get("vulns", [])]
    lines = [
        f"{one['name']} {one['version']}: {hole['id']}, mended in "
        f"{', '.join(hole.get('fix_versions') or []) or 'no release yet'}"
        for one, hole in holes
    ]
    if not answered:
        return ["Known holes: NOT CHECKED, since the registry doesn't tell them here."], False
    lines.append(f"Known holes: {len(holes)} in {len(answered)} of {len(asked)} packages.")
    if unanswered := sorted(set(asked) - answered):
        lines.append(f"NOT CHECKED: {', '.join(unanswered)}.")
    return lines, bool(holes)


def main() -> int:
    asked = required()
    if not asked:
        print(f"{PROJECT} is not installed here, so nobody knows what it requires; try: make check")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "required.txt"
        listed.write_text("".join(f"{name}=={version}\n" for name, version in asked.items()))
        done = subprocess.run(
            [sys.executable, *ASK, "-r", str(listed)], capture_output=True, text=True, check=False
        )
    lines, holes = told(done.stdout, asked)
    print("\n".join(lines))
    return int(holes)


if __name__ == "__main__":
    sys.exit(main())
