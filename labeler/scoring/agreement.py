"""Agreement of the people who score a collection: figures of each one, and of each pair."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

import db.scores.hand_scores
from db.scores.aggregation import Rule, effective_rule, read_rule, set_effective_rule
from labeler.collection.arrays import Floats, Ids, group_numbers
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.core.scorers import shown_name
from model.evaluation.agreement import Agreement, agreement

MOST_PAIRS = 45  # pairs that are compared, as many as ten people have


@dataclass(frozen=True, slots=True)
class ScorerFigures:
    """One scorer: how many images they scored; mean and standard deviation of the scores, 0–10."""

    name: str | None
    images: int
    mean: float
    spread: float

    @property
    def shown(self) -> str:
        """Return the scorer's name as people see it."""
        return shown_name(self.name)


@dataclass(frozen=True, slots=True)
class ScorerPair:
    """Two scorers on the images that both scored; differences are `first` - `second`, 0–10."""

    first: str | None
    second: str | None
    images: int
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class ScorersReport:
    """All scorers, those with most images first, and the pairs with most images in common."""

    rule: Rule
    scorers: list[ScorerFigures]
    pairs: list[ScorerPair]
    left_out: int  # pairs beyond MOST_PAIRS, which are not compared

    def rules(self) -> list[str]:
        """Return the rules that can be chosen, as `choose_rule` reads them."""
        people = [str(Rule("person", each.name)) for each in self.scorers]
        return list(dict.fromkeys(["latest", "mean", *people, str(self.rule)]))


def scorers_report(project: Project) -> ScorersReport:
    """Compare the scorers with each other; images of one group are resampled together."""
    by_scorer = db.scores.hand_scores.by_scorer(project.store)
    people = [
        ScorerFigures(name, len(ids), float(values.mean()), float(values.std()))
        for name, (ids, values) in by_scorer.items()
    ]
    people.sort(key=lambda each: (-each.images, each.shown))
    common = [
        (first.name, second.name, both)
        for first, second in combinations(people, 2)
        if len(both := np.intersect1d(by_scorer[first.name][0], by_scorer[second.name][0], True))
    ]
    common.sort(key=lambda each: -len(each[2]))
    pairs = []
    for first, second, both in common[:MOST_PAIRS]:
        a, b = (_values(by_scorer[name], both) for name in (first, second))
        agreed = _agreed(project, (first, second), a, b, group_numbers(project, both))
        pairs.append(ScorerPair(first, second, len(both), agreed))
    rule = effective_rule(project.store)
    return ScorersReport(rule, people, pairs, max(0, len(common) - MOST_PAIRS))


def choose_rule(project: Project, text: str) -> int:
    """Set the rule of the effective score, `text`: latest, mean or person:NAME.

    Returns how many images' effective scores changed. Raises `StoreError` for another text, and
    `BadInput` for a person without scores: no score would count.
    """
    rule = read_rule(text)
    by_scorer = db.scores.hand_scores.by_scorer(project.store) if rule.person is not None else {}
    if rule.person is not None and rule.person not in by_scorer:
        people = ", ".join(sorted(filter(None, by_scorer))) or "nobody"
        raise BadInput(f"{rule.person} has given no scores here; those who have: {people}.")
    return set_effective_rule(project.store, rule)


def rule_words(rule: Rule) -> str:
    """Return what a rule means, in a few words."""
    if rule.kind == "person":
        return f"only what {shown_name(rule.person)} gave"
    if rule.kind == "mean":
        return "the mean of each scorer's latest"
    return "the latest, whoever gave it"


def _values(scores: tuple[Ids, Floats], ids: Ids) -> Floats:
    return scores[1][np.searchsorted(scores[0], ids)]


def _agreed(
    project: Project, pair: tuple[str | None, str | None], a: Floats, b: Floats, groups: Ids
) -> Agreement:
    """Kept: resampling takes its time, and the page asks again and again."""
    stamp = tuple(each.tobytes() for each in (a, b, groups))
    return project.cache.get(
        "agreement of scorers", pair, stamp, lambda: agreement(a, b, groups), newest=MOST_PAIRS
    )
