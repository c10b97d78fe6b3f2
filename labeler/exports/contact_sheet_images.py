"""What stands on a contact sheet: the images that a band takes, or a round's corrections."""

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

USUAL = 100  # images on a sheet, unless more are asked for
MOST = 5000  # that are looked through for one
_PAGE = 500


def in_band(project: Project, band: browse.Band, most: int = MOST) -> list[SheetImage]:
    """The first `most` images with a picture that `band` takes, in its order.

    Raises `BadInput` for an unknown version or source.
    """
    return list(itertools.islice(_in_band(project, band), min(most, MOST)))


def _in_band(project: Project, band: browse.Band) -> Iterator[SheetImage]:
    for page in itertools.count(1):
        shelf = browse.browse(project, band, page=page, per_page=_PAGE)
        for one in shelf.shown:
            if one.image.content_hash is not None:
                yield SheetImage(one.image.id, _caption(one))
        if page * _PAGE >= shelf.total:
            return


def _caption(one: browse.BrowsedImage) -> str:
    """`87 %`, with the hand score if there is one."""
    given = one.image.hand_score
    told = [] if one.prediction is None else [f"{whole_percent(one.prediction)} %"]
    if given is not None or not told:
        told.append("unscored" if given is None else f"scored {given:g}")
    return " · ".join(told)


def corrections(project: Project, number: int) -> list[SheetImage]:
    """What was corrected in a round, the largest change first: what was shown, and the score.

    Rounds are numbered from 1 as `labeler rounds` lists them. Raises `BadInput` for a round that is
    none, or in which nothing was corrected.
    """
    rounds = [each for each in db.versions.rounds.history(project.store) if _was_reviewed(each)]
    if not 1 <= number <= len(rounds):
        known = f"there are {len(rounds)}" if rounds else "there is none yet; review some cards"
        raise BadInput(f"There is no round {number}: {known}. List them with: labeler rounds")
    done = rounds[number - 1]
    ids = db.versions.rounds.handled(project.store, done.id, *QUEUES)
    changed = _changes(db.scores.hand_scores.histories(project.store, sorted(ids)), done.id)
    if not changed:
        raise BadInput(f"Nothing was corrected in round {number}; choose another.")
    changed.sort(key=lambda change: (-abs(change[2] - change[1]), change[0]))
    return [SheetImage(image_id, told) for image_id, _, _, told in changed]


def _was_reviewed(one: Round) -> bool:
    return bool(one.corrected + one.confirmed + one.skipped)


def _changes(histories: list[HandScore], round_id: int) -> list[tuple[int, float, float, str]]:
    """(image id, before, after, in words) of the corrections that count, points from 0 to 10."""
    counting = [score for score in histories if score.undone_at is None]
    found: dict[int, tuple[int, float, float, str]] = {}
    earlier: dict[int, float] = {}
    for score in counting:
        if score.round_id == round_id and score.why.startswith("correction"):
            change = _change(score, earlier.get(score.image_id))
            if change is not None:
                found[score.image_id] = change
        earlier[score.image_id] = score.value
    return list(found.values())


def _change(score: HandScore, earlier: float | None) -> tuple[int, float, float, str] | None:
    """From the hand score that it replaces, else from the prediction that was shown."""
    after = f"{score.value:g}"
    if earlier is not None:
        return score.image_id, earlier, score.value, f"{earlier:g} → {after}"
    if score.shown_prediction is None:
        return None
    told = f"{whole_percent(score.shown_prediction)} % → {after}"
    return score.image_id, 10 * score.shown_prediction, score.value, told
