"""Choose the images of a contact sheet: those in a band, or a round's corrections."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import db.scores.hand_scores
import db.versions.rounds
from db.records import QUEUES, HandScore, Round
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.core.scale import whole_percent
from labeler.exports.contact_sheet import SheetImage
from labeler.versions import browse

DEFAULT_IMAGES = 100  # images on a sheet, unless more are asked for
MAX_IMAGES = 5000  # that are looked through for one
_PAGE = 500


def images_in_band(project: Project, band: browse.Band, most: int = MAX_IMAGES) -> list[SheetImage]:
    """Return the first `most` images with a picture in `band`, in its order, with captions.

    Raises `BadInput` for an unknown version or source.
    """
    return list(itertools.islice(_iterate_band(project, band), min(most, MAX_IMAGES)))


def _iterate_band(project: Project, band: browse.Band) -> Iterator[SheetImage]:
    for page in itertools.count(1):
        result = browse.browse(project, band, page=page, per_page=_PAGE)
        for one in result.shown:
            if one.image.content_hash is not None:
                yield SheetImage(one.image.id, _caption(one))
        if page * _PAGE >= result.total:
            return


def _caption(one: browse.BrowsedImage) -> str:
    """Return `87 %`, with the hand score if there is one."""
    hand_score = one.image.hand_score
    parts = [] if one.prediction is None else [f"{whole_percent(one.prediction)} %"]
    if hand_score is not None or not parts:
        parts.append("unscored" if hand_score is None else f"scored {hand_score:g}")
    return " · ".join(parts)


def corrections_in_round(project: Project, number: int) -> list[SheetImage]:
    """Return the images corrected in a round, the largest change first, with what changed.

    Rounds are numbered from 1 as `labeler rounds` lists them. Raises `BadInput` for an unknown
    round, or one without corrections.
    """
    rounds = [each for each in db.versions.rounds.history(project.store) if _has_reviews(each)]
    if not 1 <= number <= len(rounds):
        known = f"there are {len(rounds)}" if rounds else "there is none yet; review some cards"
        raise BadInput(f"There is no round {number}: {known}. List them with: labeler rounds")
    done = rounds[number - 1]
    ids = db.versions.rounds.handled(project.store, done.id, *QUEUES)
    changed = _changes(db.scores.hand_scores.histories(project.store, sorted(ids)), done.id)
    if not changed:
        raise BadInput(f"Nothing was corrected in round {number}; choose another.")
    changed.sort(key=lambda change: (-abs(change[2] - change[1]), change[0]))
    return [SheetImage(image_id, caption) for image_id, _, _, caption in changed]


def _has_reviews(one: Round) -> bool:
    return bool(one.corrected + one.confirmed + one.skipped)


def _changes(histories: list[HandScore], round_id: int) -> list[tuple[int, float, float, str]]:
    """Return (image id, before, after, caption) of the corrections that count, 0–10."""
    counting = [score for score in histories if score.undone_at is None]
    changes: dict[int, tuple[int, float, float, str]] = {}
    earlier: dict[int, float] = {}
    for score in counting:
        if score.round_id == round_id and score.why.startswith("correction"):
            change = _change(score, earlier.get(score.image_id))
            if change is not None:
                changes[score.image_id] = change
        earlier[score.image_id] = score.value
    return list(changes.values())


def _change(score: HandScore, earlier: float | None) -> tuple[int, float, float, str] | None:
    """Return the change from the replaced hand score, else from the prediction that was shown."""
    after = f"{score.value:g}"
    if earlier is not None:
        return score.image_id, earlier, score.value, f"{earlier:g} → {after}"
    if score.shown_prediction is None:
        return None
    caption = f"{whole_percent(score.shown_prediction)} % → {after}"
    return score.image_id, 10 * score.shown_prediction, score.value, caption
