"""Agreement of the people who score a collection: of each pair, and of each one with themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

import db.scores.hand_scores
import db.scores.repeats
from db.scores.aggregation import Rule, effective_rule, read_rule, set_effective_rule
from labeler.collection.arrays import Floats, Ids, group_numbers
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.core.scorers import shown_name
from model.evaluation.agreement import (
    FEWEST_REPEATS,
    Agreement,
    Repeatability,
    agreement,
    repeatability,
)
from model.evaluation.intervals import Bounds

_SCORERS = ("scorers", "agree with themselves")
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
class SelfAgreement:
    """How far `people` agree with themselves, each on the images that they scored once more without
    knowing; in points of 10.

    `found` is `None` where the `repeats` are too few to say; `every` is the project's setting.
    """

    people: int
    repeats: int
    every: int
    found: Repeatability | None

    def sentence(self, who: str | None = None) -> str:
        """What it means for a model's error, or how many repeats are missing; `who` is a name where
        it is told to others.
        """
        subject, rest = ("you", "agree with yourself") if self.people < 2 else _SCORERS
        if who is not None:
            subject, rest = who, "agrees with themselves"
        if self.found is None:
            missing = FEWEST_REPEATS - self.repeats
            told = (
                f"How far {subject} {rest} is not known yet: "
                f"{missing} more repeat{'' if missing == 1 else 's'}"
            )
            if not self.every:
                return f"{told}, and they are switched off."
            return f"{told}. One in {self.every} images that are shown for scoring is one."
        error, deviation = self.found.error, self.found.deviation
        return (
            f"{subject if who else subject.capitalize()} {rest} to within {error.value:.2f} points "
            f"({_between(error)}; {self.repeats:,} repeats): the floor, no model can be expected "
            f"to have a lower error on single scores. One score has a standard deviation of "
            f"{deviation.value:.2f} ({_between(deviation)})."
        )


def _between(bounds: Bounds) -> str:
    return f"{bounds.low:.2f} to {bounds.high:.2f}"


@dataclass(frozen=True, slots=True)
class ScorersReport:
    """All scorers, those with most images first, and the pairs with most images in common.

    `repeats` tells how far each of the scorers agrees with themselves, by name.
    """

    rule: Rule
    scorers: list[ScorerFigures]
    pairs: list[ScorerPair]
    left_out: int  # pairs beyond MOST_PAIRS, which are not compared
    repeats: dict[str | None, SelfAgreement]

    def rules(self) -> list[str]:
        """Return the rules that can be chosen, as `choose_rule` reads them."""
        people = [str(Rule("person", each.name)) for each in self.scorers]
        return list(dict.fromkeys(["latest", "mean", *people, str(self.rule)]))


def scorers_report(project: Project) -> ScorersReport:
    """Compare the scorers with each other; images of one group count as one piece of evidence."""
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
    known = db.scores.repeats.blind_pairs(project.store)
    repeats = {each.name: _with_themselves(project, known, [each.name]) for each in people}
    return ScorersReport(rule, people, pairs, max(0, len(common) - MOST_PAIRS), repeats)


def self_agreement(project: Project) -> SelfAgreement:
    """Return how far those whose scores count agree with themselves: the floor of a model's error.

    Several people's repeats are taken together, as their scores are.
    """
    known = db.scores.repeats.blind_pairs(project.store)
    rule = effective_rule(project.store)
    people = [rule.person] if rule.kind == "person" else list(known)
    return _with_themselves(project, known, people)


def _with_themselves(
    project: Project,
    known: Mapping[str | None, tuple[Ids, Floats, Floats]],
    people: Sequence[str | None],
) -> SelfAgreement:
    pairs = [known[name][1:] for name in people if name in known]
    first, again = (np.concatenate([[], *(each[k] for each in pairs)]) for k in (0, 1))
    found = repeatability(first, again)
    return SelfAgreement(len(pairs), len(first), project.repeat_every, found)


def choose_rule(project: Project, text: str) -> int:
    """Set the rule of the effective score, `text`: latest, mean or person:NAME.

    Returns how many images' effective scores changed. Raises `StoreError` for another text, and
    `BadInput` for a person without scores: no score would count.
    """
    rule = read_rule(text)
    known = db.scores.hand_scores.scorers(project.store) if rule.person is not None else []
    if rule.person is not None and rule.person not in known:
        people = ", ".join(filter(None, known)) or "nobody"
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
    """Kept: the jackknife takes its time, and the page asks again and again."""
    stamp = tuple(each.tobytes() for each in (a, b, groups))
    return project.cache.get(
        "agreement of scorers", pair, stamp, lambda: agreement(a, b, groups), newest=MOST_PAIRS
    )
