"""Print what labeler predict has found: a line per image, messages about the others, JSON."""

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
    """Return whether a person reads the output as it comes."""
    return sys.stdout.isatty()


def print_image(name: str, prediction: float) -> None:
    """Print one prediction, a line that other programs parse too; the bracket is for terminals."""
    line = f"{percent(prediction):>4} [{name}]"
    if is_terminal():
        # Imported where they are used: `labeler --help` imports click alone.
        from labeler.core.scale import bracket_of

        line += f"  {bracket_of(prediction).span}"
    print_result(line)


def result_document(
    result: PredictedImages, chosen: list[PredictedImage], copies: CopyResult | None
) -> dict[str, Any]:
    """Return the result as plain data, for JSON."""
    return {
        "version": result.version,
        "images": [image_document(one.path, one.prediction, one.bracket.span) for one in chosen],
        "unreadable": unreadable_documents(result.unreadable),
        "copied": None if copies is None else asdict(copies),
    }


def image_document(path: str, prediction: float, bracket: str) -> dict[str, Any]:
    """Return one image's prediction as plain data."""
    return {"path": path, "prediction": prediction, "bracket": bracket}


def unreadable_documents(unreadable: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Return (path, reason) pairs as plain data."""
    return [{"path": path, "reason": reason} for path, reason in unreadable]


def print_copies(copies: CopyResult, folder: Path | None) -> None:
    """Print how many images were copied, and what could not be."""
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


def print_summary(result: PredictedImages, chosen: list[PredictedImage]) -> None:
    """Print how many images are in each bracket.

    Raises `Failure` if no file could be read.
    """
    if not result.images:
        if result.unreadable:
            raise Failure("None of these files can be read as an image; see the reasons above.")
        print_message("There are no images there.")
    elif not chosen:
        print_message(f"None of the {len(result.images)} images is in that range.")
    else:
        print_message(_bracket_counts(chosen))


def _bracket_counts(chosen: list[PredictedImage]) -> str:
    """Return the number of images in each bracket as a sentence, the best first."""
    from labeler.core.scale import BRACKETS

    counts = Counter(one.bracket for one in chosen)
    parts = [f"{counts[each]} in {each.span} ({each.meaning})" for each in BRACKETS if counts[each]]
    return "By bracket: " + "; ".join(reversed(parts)) + "."
