"""What labeler predict prints: a line for each image, and beside them what became of the others."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labeler.cli.common import Failure
from labeler.cli.output import first_items, percent, print_message, print_result, print_unreadable
from labeler.core.text import count_of

if TYPE_CHECKING:
    from labeler.prediction.copy_images import CopyResult
    from labeler.prediction.predict_files import PredictedImage, PredictedImages


def is_terminal() -> bool:
    return sys.stdout.isatty()


def print_image(name: str, prediction: float) -> None:
    """A line that other programs read as well; the bracket is for people, who look on."""
    line = f"{percent(prediction):>4} [{name}]"
    if is_terminal():
        # Imported where they are used: `labeler --help` imports click alone.
        from labeler.core.scale import bracket_of

        line += f"  {bracket_of(prediction).span}"
    print_result(line)


def document(
    result: PredictedImages, chosen: list[PredictedImage], copies: CopyResult | None
) -> dict[str, Any]:
    return {
        "version": result.version,
        "images": [entry(one.path, one.prediction, one.bracket.span) for one in chosen],
        "unreadable": reasons(result.unreadable),
        "copied": None if copies is None else asdict(copies),
    }


def entry(path: str, prediction: float, bracket: str) -> dict[str, Any]:
    return {"path": path, "prediction": prediction, "bracket": bracket}


def reasons(unreadable: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"path": path, "reason": reason} for path, reason in unreadable]


def print_copies(copies: CopyResult, folder: Path | None) -> None:
    print_message(
        f"Copied {count_of(copies.made, 'image')} to {folder}; there already: {copies.there}."
    )
    if copies.unlinked:
        print_message(
            f"{copies.unlinked} of them are copies and no links: they come from another disk or "
            "from an archive."
        )
    if copies.texts:
        print_message(f"Texts beside them that came along: {copies.texts}.")
    renamed = [
        f"{path} is copied as {place}: another file has its name." for path, place in copies.renamed
    ]
    beside = [
        f"{place} has no sidecar: its name is another file's or too long."
        for place in copies.without_sidecar
    ]
    others = [f"{place} stays as it is: it is not the original's." for place in copies.other_texts]
    for line in first_items([*renamed, *beside, *others], "all of them: --json"):
        print_message(line)
    print_unreadable(copies.lost)


def tell_about(result: PredictedImages, chosen: list[PredictedImage]) -> None:
    if not result.images:
        if result.unreadable:
            raise Failure("None of these files can be read as an image; see the reasons above.")
        print_message("There are no images there.")
    elif not chosen:
        print_message(f"None of the {len(result.images)} images is in that range.")
    else:
        print_message(_by_bracket(chosen))


def _by_bracket(chosen: list[PredictedImage]) -> str:
    """How many fall into which bracket, the best first."""
    from labeler.core.scale import BRACKETS

    counts = Counter(one.bracket for one in chosen)
    told = [f"{counts[each]} in {each.span} ({each.meaning})" for each in BRACKETS if counts[each]]
    return "By bracket: " + "; ".join(reversed(told)) + "."
