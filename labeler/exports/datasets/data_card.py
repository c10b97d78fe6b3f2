"""The data card: the contents and the history of a dataset, in Markdown.

Written beside every export of a dataset, and by itself. Names and notes that users wrote are
escaped: they can't add an image or a link to the card.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

import db.images.sources
import db.scores.hand_scores
import db.scores.random_sample
import db.versions.predictions
import db.versions.registry
import db.versions.rounds
from db.records import HandScore, Version
from db.scores.aggregation import effective_rule
from labeler.collection.arrays import images_now
from labeler.core.scale import BRACKETS, to_others
from labeler.core.scorers import shown_name
from labeler.core.text import bar_chart, escape_markdown, markdown_table
from labeler.exports.datasets.plan import Exported
from labeler.exports.datasets.rows import BATCH, Dataset
from labeler.exports.datasets.splits import SPLITS, read_shares
from labeler.exports.licences import ALL, licences
from labeler.scoring.agreement import rule_words, self_agreement
from labeler.versions.evaluation.figures import with_headline
from labeler.versions.evaluation.measures import BY_KEY, bounds
from model.evaluation.proportions import proportion

_WHAT = (
    "",
    "Each image has at most one hand score from 0 (worst) to 10 (best) that counts: one person's "
    "taste, or several people's (see Scorers). An image without a score is unscored, which is not "
    "0. A prediction, from 0 to 1, is a model's guess at the score, never a score.",
)


def data_card(dataset: Dataset, exported: Exported | None = None) -> str:
    """Return the card of the dataset; `exported` adds the number of images left out."""
    facts = _Facts(dataset)
    parts = [
        [f"# {escape_markdown(dataset.project.folder.name)}: images scored by hand", *_WHAT],
        ["## Counts", *_counts(facts, exported)],
        ["## Hand scores", *_distribution(facts)],
        ["## Predictions", *_predictions(facts)],
        ["## What the scores mean", *_brackets(facts)],
        ["## Sources", *_sources(facts)],
        ["## Licence", *_licence(facts)],
        ["## How it was refined", *_refined(facts)],
        ["## Scorers", *_scorers(facts)],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


CONFIRMED = (
    "\nOf {:,} of these scores no number was said: the model's side of the threshold was "
    "confirmed. Their columns at_least and below say which side; the number is the rounded "
    "prediction."
)


class _Facts:
    """The dataset's images as arrays, and the history of their hand scores."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.store = dataset.project.store
        images = images_now(dataset.project)
        rows = images.rows(dataset.ids)
        self.sources: NDArray[np.int64] = images.sources[rows]  # (n,)
        self.fine: NDArray[np.bool_] = images.fine[rows]
        self.scores: NDArray[np.float64] = images.spread(
            *db.scores.hand_scores.effective(self.store)
        )[rows]
        self.scored = ~np.isnan(self.scores)
        self.levels = np.floor(self.scores[self.scored] + 0.5).astype(np.int64)
        self.versions = db.versions.registry.history(self.store)
        version = dataset.version
        self.predicted = self.trained = 0
        if version is not None:
            predicted = db.versions.predictions.predictions(self.store, version.id).image_ids
            self.predicted = int(np.isin(dataset.ids, predicted).sum())
            trained, _ = db.versions.predictions.trained_on(self.store, version.id)
            self.trained = int(np.isin(dataset.ids[self.scored], trained).sum())

    def events(self) -> Iterator[HandScore]:
        """Yield every hand score of the images, undone ones included."""
        ids = self.dataset.ids
        for start in range(0, len(ids), BATCH):
            yield from db.scores.hand_scores.histories(self.store, ids[start : start + BATCH])


def _counts(facts: _Facts, exported: Exported | None) -> list[str]:
    dataset, scored = facts.dataset, int(facts.scored.sum())
    version = dataset.version
    lines = [
        f"- {len(dataset):,} images, {scored:,} scored, {len(dataset) - scored:,} unscored"
        + (" (scored ones only)" if dataset.plan.scored_only else ""),
        f"- {int((~facts.fine).sum()):,} of them without a file at present",
    ]
    if version is not None:
        lines.append(f"- {facts.predicted:,} predicted by {_named(version.name)}")
    if exported is not None and exported.left_out:
        left_out = len(exported.left_out)
        lines.append(
            f"- {left_out:,} image{'' if left_out == 1 else 's'} could not be written: counted "
            "here, but not in the files"
        )
    counts = np.bincount(dataset.splits, minlength=len(SPLITS))
    with_score = np.bincount(dataset.splits[facts.scored], minlength=len(SPLITS))
    shares = read_shares(dataset.plan.split)
    return [
        "",
        *lines,
        "",
        *markdown_table(
            ["split", "images", "scored"],
            [
                [split, f"{count:,}", f"{known:,}"]
                for split, count, known in zip(
                    SPLITS, counts.tolist(), with_score.tolist(), strict=True
                )
            ],
        ),
        "",
        f"Split {shares} with the seed {dataset.plan.seed}, by group: images of one group and "
        "near-duplicates are in the same split, and images that come later move none of the "
        "others.",
    ]


def _distribution(facts: _Facts) -> list[str]:
    counts = np.bincount(facts.levels, minlength=11).tolist()
    labels = [*map(str, range(11)), "unscored"]
    unscored = int((~facts.scored).sum())
    note = "Fractions are counted with the nearest whole score, halves upwards."
    return ["", note, "", "```text", *bar_chart(labels, [*counts, unscored], max(counts)), "```"]


def _predictions(facts: _Facts) -> list[str]:
    """Return the paragraphs that say which prediction column to use for which images."""
    version = facts.dataset.version
    if version is None:
        return ["", "There are none: no version has been trained yet."]
    name, scored = _named(version.name), int(facts.scored.sum())
    learnt = (
        f"{name} was trained on {facts.trained:,} of the {scored:,} scored images"
        if facts.trained
        else f"{name} was trained on none of the {scored:,} scored images"
    )
    return [
        "",
        f"- `prediction` is what {name} says of every image. {learnt}: there it knows the score, "
        "so `prediction` is in-sample and says nothing of how good it is.",
        "- `out_of_fold_prediction` is for scored images alone: what a head says that has not seen "
        "the image's score. For images that the version was trained on it comes from "
        "cross-validation, in folds that keep groups and near-duplicates together; for those that "
        "were scored since it is `prediction`. It is empty where neither is known.",
        "",
        "To judge the model, or to look for wrong scores (label errors), use "
        "`out_of_fold_prediction`; to choose among unscored images, `prediction`.",
    ]


def _brackets(facts: _Facts) -> list[str]:
    rows = []
    for bracket in BRACKETS:
        inside = int(((facts.levels >= bracket.low) & (facts.levels <= bracket.high)).sum())
        span = f"{bracket.low}–{bracket.high}" if bracket.high > bracket.low else str(bracket.low)
        rows.append([span, to_others(bracket.meaning), f"{inside:,}"])
    return ["", *markdown_table(["score", "what it usually means", "images"], rows)]


def _sources(facts: _Facts) -> list[str]:
    licence_of = licences(facts.dataset.project)
    rows = []
    for source in db.images.sources.sources(facts.store):
        mine = facts.sources == source.id
        if not mine.any():
            continue
        band = "–"
        if source.expect_low is not None:
            band = f"{source.expect_low:g} to {source.expect_high:g}"
        scores = facts.scores[mine & facts.scored]
        mean = f"{scores.mean():.1f}" if len(scores) else "–"
        rows.append(
            [
                escape_markdown(source.name),
                f"{int(mine.sum()):,}",
                f"{len(scores):,}",
                mean,
                band,
                escape_markdown(licence_of.get(source.name, licence_of.get(ALL, "not stated"))),
            ]
        )
    head = ["source", "images", "scored", "mean score", "expected scores", "licence"]
    return [
        "",
        *markdown_table(head, rows),
        "",
        "The expected scores of a source were set by hand for all of its images; reviewing shows "
        "predictions far outside them first, so they are an intended bias.",
    ]


def _licence(facts: _Facts) -> list[str]:
    licence = licences(facts.dataset.project).get(ALL)
    return [
        "",
        escape_markdown(licence) if licence else "None is stated: ask whoever made the images.",
    ]


def _refined(facts: _Facts) -> list[str]:
    if not facts.versions:
        return ["", "No version has been trained yet: no score was shown to be doubtful."]
    sample = db.scores.random_sample.random_sample(facts.store)
    rounds = [
        [
            f"{_named(each.from_version)} → {_named(each.to_version or 'open')}",
            f"{each.corrected + each.confirmed:,}",
            f"{each.corrected:,}",
            _hit_rate(each.corrected, each.corrected + each.confirmed),
            f"{each.skipped:,}",
        ]
        for each in db.versions.rounds.history(facts.store)
        if each.corrected + each.confirmed + each.skipped
    ]
    lines = [
        "",
        "Versions: models trained on the scores of their time. The error is in points of 10, by "
        "images drawn at random that the model had not seen, with its 95 % interval; beside it "
        "what guessing the mean would reach. A dash: too few were drawn to tell.",
        "",
        *markdown_table(
            ["version", "made", "after", "scores", "error", "guessing the mean", "note"],
            [
                _version(with_headline(facts.dataset.project, each, sample))
                for each in facts.versions
            ],
        ),
        "",
        self_agreement(facts.dataset.project).sentence(),
    ]
    if rounds:
        lines += [
            "",
            "Rounds of review: predictions that looked wrong were shown and scored; a correction "
            "is one that was wrong.",
            "",
            *markdown_table(["round", "reviewed", "corrected", "hit rate", "skipped"], rounds),
        ]
    return lines


def _version(version: Version) -> list[str]:
    error, low, high = bounds(version.metrics, BY_KEY["mae"])
    guess, _, _ = bounds(version.metrics.get("baseline"), BY_KEY["mae"])
    return [
        _named(version.name) + (" (active)" if version.active else ""),
        f"{version.created_at:%Y-%m-%d}",
        _named(version.parent or "–"),
        f"{version.scored_count:,}",
        _points(error)
        + ("" if low is None or high is None else f" ({_points(low)} to {_points(high)})"),
        _points(guess),
        escape_markdown(version.note) or "–",
    ]


def _named(version: str) -> str:
    """Return a version's name; the names of adopted versions are escaped."""
    return version if re.fullmatch(r"v\d+\.\d+|open|–", version) else escape_markdown(version)


def _points(points: float | None) -> str:
    return "–" if points is None else f"{points:.2f}"


def _hit_rate(hits: int, trials: int) -> str:
    share = proportion(hits, trials)
    return (
        "–"
        if share is None
        else f"{100 * share.value:.0f} % ({100 * share.low:.0f} % to {100 * share.high:.0f} %)"
    )


def _scorers(facts: _Facts) -> list[str]:
    counts: Counter[str] = Counter()
    undone: Counter[str] = Counter()
    why: Counter[str] = Counter()
    intervals = 0
    spans: dict[str, tuple[datetime, datetime]] = {}
    images: dict[str, set[int]] = {}
    for one in facts.events():
        who = shown_name(one.scorer)
        if one.undone_at is not None:
            undone[who] += 1
            continue
        counts[who] += 1
        why[one.why] += 1
        intervals += one.is_interval
        images.setdefault(who, set()).add(one.image_id)
        first, last = spans.get(who, (one.at, one.at))
        spans[who] = min(first, one.at), max(last, one.at)
    if not counts:
        return ["", "Nobody has scored these images yet."]
    rows = [
        [
            escape_markdown(who),
            f"{len(images[who]):,}",
            f"{count:,}",
            f"{undone[who]:,}",
            " to ".join(f"{at:%Y-%m-%d}" for at in spans[who]),
        ]
        for who, count in counts.most_common()
    ]
    reasons = ", ".join(
        f"{count:,} {escape_markdown(reason)}" for reason, count in why.most_common()
    )
    return [
        "",
        *markdown_table(["scorer", "images", "scores given", "undone", "when"], rows),
        "",
        f"Why the scores were given: {reasons}. What counts for an image is "
        f"{escape_markdown(rule_words(effective_rule(facts.store)))}.",
        *([CONFIRMED.format(intervals)] if intervals else []),
    ]
