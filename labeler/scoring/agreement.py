"""How far the people who score a collection agree: each one's scores, and each pair's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

import db.scores.hand_scores
from db.scores.aggregation import Rule, effective_rule, read_rule, set_effective_rule
from labeler.collection.arrays import group_numbers
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.core.scorers import shown_name
from model.evaluation.agreement import Agreement, agreement

MOST_PAIRS = 45  # that are compared, those with most images in common: ten people's


@dataclass(frozen=True, slots=True)
class ScorerFigures:
    """One scorer: how many images have a score of theirs, and its mean and spread (0–10)."""

    name: str | None
    images: int
    mean: float
    spread: float  # standard deviation

    @property
    def shown(self) -> str:
        return shown_name(self.name)


@dataclass(frozen=True, slots=True)
class ScorerPair:
    """Two scorers on the images that both scored; differences are `first` less `second`, 0–10."""

    first: str | None
    second: str | None
    images: int
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class ScorersReport:
    """Everybody who scored, those with most images first, and the pairs with most in common."""

    rule: Rule
    scorers: list[ScorerFigures]
    pairs: list[ScorerPair]
    left_out: int  # pairs that were not compared: there are too many

    def rules(self) -> list[str]:
        """The rules that can be chosen, as they are given."""
        people = [str(Rule("person", each.name)) for each in self.scorers]
        return list(dict.fromkeys(["latest", "mean", *people, str(self.rule)]))


def scorers_report(project: Project) -> ScorersReport:
    given = db.scores.hand_scores.by_scorer(project.store)
    people = [
        ScorerFigures(name, len(ids), float(values.mean()), float(values.std()))
        for name, (ids, values) in given.items()
    ]
    people.sort(key=lambda each: (-each.images, each.shown))
    common = [
        (first.name, second.name, both)
        for first, second in combinations(people, 2)
        if len(both := np.intersect1d(given[first.name][0], given[second.name][0], True))
    ]
    common.sort(key=lambda each: -len(each[2]))
    pairs = []
    for first, second, both in common[:MOST_PAIRS]:
        a, b = (_values(given[name], both) for name in (first, second))
        groups = group_numbers(project, both)
        pairs.append(ScorerPair(first, second, len(both), _agreed(a, b, groups.tobytes())))
    rule = effective_rule(project.store)
    return ScorersReport(rule, people, pairs, max(0, len(common) - MOST_PAIRS))


def choose_rule(project: Project, text: str) -> int:
    """Keep the rule of the effective score (latest, mean or person:NAME) and apply it.

    Returns how many hand scores changed by it; raises `StoreError` for another text, and `BadInput`
    for a person of whom there are no scores: nothing would count.
    """
    rule = read_rule(text)
    known = db.scores.hand_scores.by_scorer(project.store) if rule.person is not None else {}
    if rule.person is not None and rule.person not in known:
        people = ", ".join(sorted(filter(None, known))) or "nobody"
        raise BadInput(f"{rule.person} has given no scores here; those who have: {people}.")
    return set_effective_rule(project.store, rule)


def rule_words(rule: Rule) -> str:
    """What a rule means, in a few words."""
    if rule.kind == "person":
        return f"only what {shown_name(rule.person)} gave"
    if rule.kind == "mean":
        return "the mean of each scorer's latest"
    return "the latest, whoever gave it"


def _values(given: tuple[np.ndarray, np.ndarray], ids: np.ndarray) -> bytes:
    return np.asarray(given[1][np.searchsorted(given[0], ids)]).tobytes()


@lru_cache(maxsize=128)
def _agreed(first: bytes, second: bytes, groups: bytes) -> Agreement:
    """Resampling takes its time, and the page asks again and again."""
    a, b = (np.frombuffer(each, np.float64) for each in (first, second))
    return agreement(a, b, np.frombuffer(groups, np.int64))
