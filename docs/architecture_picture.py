"""Draw docs/architecture.svg: the packages by floor, and which imports which.

Run `python docs/architecture_picture.py` after a change that adds a package or an import between
packages. Packages only import what stands on a lower floor (tests/test_tree.py). Arrows that follow
from others are left out, so that the rest can be read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.import_graph import floor, graph_of, modules_in, package_of  # noqa: E402

TARGET = ROOT / "docs" / "architecture.svg"
# What each package is about; those of one floor stand in this order, from left to right.
ABOUT = {
    "labeler.cli": "the commands",
    "labeler.api": "Project, Predictor",
    "labeler.app": "the browser app",
    "labeler.prediction": "a version on files",
    "labeler.review": "likely mistakes",
    "labeler.exports": "datasets, models",
    "labeler.maintenance": "backup, doctor",
    "labeler.versions": "train, evaluate",
    "labeler.scoring": "hand scores",
    "labeler.embedding": "compute, find nearest",
    "labeler.collection": "import pictures",
    "labeler.core": "project, files, archives, jobs",
    "model": "pixels, encoders, heads: no database, no screen",
    "db": "the store: no torch, no screen",
}
WIDTHS = {"labeler.core": 250, "model": 450, "db": 450}
WIDTH, USUAL_WIDTH, HEIGHT, FLOOR, SIDE, TOP = 1000, 210, 54, 112, 30, 34
STYLE = """
  svg { --paper: #ffffff; --box: #eef2fb; --line: #5b6b8c; --ink: #1b2333; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #1b1f2a; --box: #2a3145; --line: #93a3c4; --ink: #e8ecf5; }
  }
  text { font-family: system-ui, "Segoe UI", Roboto, Arial, sans-serif; fill: var(--ink); }
  .paper { fill: var(--paper); }
  .box { fill: var(--box); stroke: var(--line); }
  .frame { fill: none; stroke: var(--line); stroke-opacity: .4; }
  .name { font-size: 19px; font-weight: 600; text-anchor: middle; }
  .top { text-anchor: start; }
  .about { font-size: 15px; text-anchor: middle; }
  .note { font-size: 15px; }
  path { fill: none; stroke: var(--line); stroke-width: 1.5; }
  marker path { fill: var(--line); stroke: none; }
"""

Arrow = tuple[str, str]  # the package that imports, the one that is imported


@dataclass(frozen=True, slots=True)
class Box:
    """A package on the picture, in pixels; row 0 is the top floor."""

    name: str
    row: int
    left: float
    width: float

    @property
    def top(self) -> float:
        return TOP + self.row * FLOOR

    @property
    def bottom(self) -> float:
        return self.top + HEIGHT

    @property
    def middle(self) -> float:
        return self.left + self.width / 2


def imports(root: Path) -> dict[str, set[str]]:
    """Return for each package below `root` the other packages that it imports."""
    found: dict[str, set[str]] = {}
    for module, imported in graph_of(modules_in(root)).items():
        if module != "labeler":
            here = package_of(module)
            found.setdefault(here, set()).update(map(package_of, imported))
    return {here: there - {here, "labeler"} for here, there in found.items()}


def needed(found: Mapping[str, set[str]]) -> list[Arrow]:
    """Return the arrows without those that follow from others."""

    def reached(name: str) -> set[str]:
        return found[name].union(*map(reached, found[name]))

    return [
        (here, there)
        for here in sorted(found)
        for there in sorted(found[here] - set().union(*map(reached, found[here])))
    ]


def boxes(packages: set[str]) -> dict[str, Box]:
    """Place the packages; raises KeyError for one that ABOUT doesn't name."""
    found = {}
    highest = max(map(floor, packages))
    for row in range(highest):
        names = sorted(
            (name for name in packages if floor(name) == highest - row),
            key=list(ABOUT).index,
        )
        widths = [WIDTHS.get(name, USUAL_WIDTH) for name in names]
        gap = (WIDTH - 2 * SIDE - sum(widths)) / (len(widths) + 1)
        left = SIDE + gap
        for name, width in zip(names, widths, strict=True):
            found[name] = Box(name, row, left, width)
            left += width + gap
    return found


def ends(arrows: list[Arrow], place: Mapping[str, Box]) -> dict[tuple[Arrow, str], float]:
    """Return the x at which each arrow touches each of its boxes: spread over the box's side."""
    found = {}
    for name, box in place.items():
        for mine, other in ((0, 1), (1, 0)):  # the arrows that leave below, that arrive above
            group = [arrow for arrow in arrows if arrow[mine] == name]
            group.sort(key=lambda arrow: place[arrow[other]].middle)
            for number, arrow in enumerate(group, 1):
                found[arrow, name] = box.left + box.width * number / (len(group) + 1)
    return found


def gaps(row: int, place: Mapping[str, Box]) -> list[float]:
    """Return the places between the boxes of a row, and beside them, where a line may pass."""
    boxes = sorted((box for box in place.values() if box.row == row), key=lambda box: box.left)
    between = [(a.left + a.width + b.left) / 2 for a, b in pairwise(boxes)]
    return [boxes[0].left - 14, *between, boxes[-1].left + boxes[-1].width + 14]


def line(arrow: Arrow, at: Mapping[tuple[Arrow, str], float], place: Mapping[str, Box]) -> str:
    """Return the path of an arrow, which passes the rows between its ends through their gaps."""
    here, there = (place[name] for name in arrow)
    x, y, last = at[arrow, here.name], here.bottom, at[arrow, there.name]
    path = f"M{x:.0f} {y:.0f}"
    for row in range(here.row + 1, there.row):
        wish = x + (last - x) / (there.row - row + 1)
        passed = min(gaps(row, place), key=lambda gap: abs(gap - wish))
        first = TOP + row * FLOOR
        path += f"{_curve(x, y, passed, first)} L{passed:.0f} {first + HEIGHT:.0f}"
        x, y = passed, first + HEIGHT
    return path + _curve(x, y, last, there.top)


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (y + to_y) / 2
    return f" C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y:.0f}"


def picture(root: Path = ROOT) -> str:
    """Return the SVG for the code below `root`."""
    found = imports(root)
    place, arrows = boxes(set(found)), needed(found)
    at = ends(arrows, place)
    rows = 1 + max(box.row for box in place.values())
    height = TOP + rows * FLOOR
    frame = (rows - 1) * FLOOR - (FLOOR - HEIGHT) / 2 + 24  # around the packages of labeler/
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>The packages by floor, with arrows to what each imports</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
            '<path d="M0 0 L8 4 L0 8z"/></marker></defs>',
            f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>',
            f'<rect class="frame" x="12" y="12" width="{WIDTH - 24}" height="{frame:.0f}" rx="6"/>',
            f'<text class="name top" x="{SIDE}" y="42">labeler/</text>',
            *(f'<path d="{line(each, at, place)}" marker-end="url(#end)"/>' for each in arrows),
            *(part for box in place.values() for part in _drawn(box)),
            f'<text class="note" x="{SIDE}" y="{height - 18}">An arrow means: imports. '
            "What follows from other arrows is left out.</text>",
            "</svg>",
            "",
        ]
    )


def _drawn(box: Box) -> list[str]:
    name = box.name.removeprefix("labeler.")
    name += ".py" if name == "api" else "/"
    return [
        f'<rect class="box" x="{box.left:.0f}" y="{box.top}" width="{box.width:.0f}" '
        f'height="{HEIGHT}" rx="6"/>',
        f'<text class="name" x="{box.middle:.0f}" y="{box.top + 24}">{escape(name)}</text>',
        f'<text class="about" x="{box.middle:.0f}" y="{box.top + 44}">'
        f"{escape(ABOUT[box.name])}</text>",
    ]


if __name__ == "__main__":
    TARGET.write_text(picture(), encoding="utf-8")
