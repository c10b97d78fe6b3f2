"""The queue of the Score page: which images are shown next, and what is predicted for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

import db.images.counts
import db.scores.queue_queries
import db.versions.predictions
import db.versions.registry
from db.records import Image, Version
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.scoring.random_checks import with_checks
from labeler.scoring.repeats import with_repeats

REVISE = "revise"
OTHERS = "others"
ORDERS = (
    ("random", "Random"),
    ("newest", "Newest first"),
    ("thin", "Fill the thin brackets"),
    ("best", "Highest predictions first"),
    (REVISE, "Already scored, newest first"),
    (OTHERS, "Scored by others, not by you"),
)
_NOBODY_ELSE = "Nobody else has scored a picture that you have not: set who is scoring beside it."
UnscoredQuery = Callable[
    ..., list[Image]
]  # `db.scores.queue_queries.unscored` of one project and scorer


@dataclass(frozen=True, slots=True)
class NextImages:
    """Images to score next.

    `explanation` is a sentence for the page where there are no images, `draws` are the ids of the
    images that are next in the random order, `repeats` of those that the person scored a while ago
    and is to score without seeing that.
    """

    images: list[Image]
    explanation: str | None = None
    draws: frozenset[int] = frozenset()
    repeats: frozenset[int] = frozenset()


def next_images(
    project: Project,
    order: str,
    *,
    limit: int,
    exclude: Collection[int],
    scorer: str | None = None,
) -> NextImages:
    """Return at most `limit` images in `order`, without the ids in `exclude`.

    `order` is a name in `ORDERS`, or `source-<id>` for the images of one source in random order.
    An image that `scorer` has scored is not unscored for them, also if the rule counts only the
    scores of another person. Random checks are mixed into the orders of unscored images, except
    into the random one, as often as the project's `audit_every` says, and repeats into all orders
    but that of the scored images, as `repeat_every` says. Raises `BadInput` for an unknown order.
    """
    offer = _in_order(project, order, limit, exclude, scorer)
    if order == REVISE:
        return offer
    images, repeats = with_repeats(project, offer.images, limit, scorer, exclude)
    return replace(offer, images=images, repeats=repeats)


def _in_order(
    project: Project, order: str, limit: int, exclude: Collection[int], scorer: str | None
) -> NextImages:
    """Return the next images of an order, random checks included."""
    store = project.store
    unscored = partial(
        db.scores.queue_queries.unscored, store, limit=limit, exclude=exclude, scorer=scorer
    )
    if order == OTHERS:
        images = db.scores.queue_queries.scored_by_others(
            store, scorer, limit=limit, exclude=exclude
        )
        return NextImages(images, None if images or exclude else _NOBODY_ELSE)
    if order == "random":
        images = unscored(order="random")
        return NextImages(images, draws=frozenset(image.id for image in images))
    if order == REVISE:
        images = db.scores.queue_queries.last_scored(store, limit=limit, exclude=exclude)
        return NextImages(images, None if images or exclude else "Nothing is scored yet.")
    if order in ("thin", "best"):
        unmixed = _by_prediction(project, order, unscored, limit, exclude)
    elif order == "newest":
        unmixed = NextImages(unscored(order=order))
    elif order.startswith("source-") and order[7:].isdecimal() and len(order) < 26:
        unmixed = NextImages(unscored(order="random", source_id=int(order[7:])))
    else:
        raise BadInput(f"There is no order {order!r}; there are {', '.join(n for n, _ in ORDERS)}.")
    mixed = with_checks(project, unmixed.images, limit, partial(unscored, order="random"))
    return replace(unmixed, images=mixed.images, draws=mixed.draws)


def _by_prediction(
    project: Project, order: str, unscored: UnscoredQuery, limit: int, exclude: Collection[int]
) -> NextImages:
    version = db.versions.registry.active(project.store)
    if version is None:
        return NextImages(
            [],
            "This order needs a model that predicts: score some at random, train a first version, "
            "and come back; or use somebody else's head (on the page Train).",
        )
    if order == "best":
        images = unscored(order="highest", version_id=version.id)
    else:
        images = _in_thin_brackets(project, version, unscored, limit, exclude)
    if not images and not exclude:
        return NextImages(
            [], f"{version.name} has predicted no unscored image yet: embed them first."
        )
    return NextImages(images)


def _in_thin_brackets(
    project: Project,
    version: Version,
    unscored: UnscoredQuery,
    limit: int,
    exclude: Collection[int],
) -> list[Image]:
    """Return images predicted in the brackets with the fewest scores, `limit` / 4 of each.

    More than one bracket is used, so that a batch does not come from the thinnest one alone.
    """
    images: list[Image] = []
    for score in least_scored_first(db.images.counts.by_hand_score(project.store).distribution):
        images += unscored(
            order="random-in-band",
            version_id=version.id,
            band=band_of(score),
            limit=max(1, limit // 4),
            exclude={*exclude, *(image.id for image in images)},
        )
        if len(images) >= limit:
            break
    return images[:limit]


def least_scored_first(distribution: Sequence[int]) -> list[int]:
    """Return the scores 0–10 by rising count in `distribution` (11,), ties from the ends inward."""
    return sorted(range(len(distribution)), key=lambda k: (distribution[k], -abs(k - 5), k))


def band_of(score: int) -> tuple[float, float]:
    """Return the band (low, high), 0–1, of the predictions that round to `score`, 0–10.

    The bands of 0 and of 10 end at 0 and at 1.
    """
    return (score - 0.5) / 10 if score > 0 else 0.0, (score + 0.5) / 10 if score < 10 else 1.0


def predictions_of(
    project: Project, version: Version | None, ids: Sequence[int]
) -> dict[int, float]:
    """Return the prediction of `version`, 0–1, by image id; ids without one are left out."""
    if version is None or not ids:
        return {}
    predicted = db.versions.predictions.predictions(
        project.store, version.id, np.asarray(ids, dtype=np.int64)
    )
    return dict(zip(predicted.image_ids.tolist(), predicted.scores.tolist(), strict=True))
