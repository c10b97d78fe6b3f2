"""Whether another round of reviewing is worth it: one rule, and its reasons in a sentence.

A round is worth it while at least one card in ten is a mistake (`WORTH`): below that a person looks
at ten images to correct one, and scoring at random teaches the model about as much. Three things
speak to that, and none is believed alone:

- what the last round found: its hit rate, if it had `FEWEST_REVIEWED` cards or more;
- what the model expects of the next page: the sum of its cards' chances of being wrong;
- what the random sample says is left: where even the upper bound is less than a page's worth
  (`WORTH` of a page), there is nothing to look for, whatever the other two say.

The hit rate and the expectation must lie on the same side of `WORTH`, else it can't be told. A yes
is taken back where the last retraining made the model worse: more of the same is not what is
missing then. The intervals stand in the sentence, for the person to weigh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model.evaluation.intervals import Bounds
from model.evaluation.proportions import Proportion

WORTH = 0.1
PAGE = 40  # cards
FEWEST_REVIEWED = 20  # cards, below which a round proves nothing

Answer = Literal["yes", "no", "unclear"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about another round; `None` where it isn't.

    `found`: mistakes among the cards of the last round with enough of them. `expected`: mistakes
    that the model expects among the next `cards` (at most a page). `left`: mistakes that nobody has
    seen yet, by the random sample. `change`: what the last retraining did by images drawn at random
    after it, `open` if that can't be told yet. `without_embedding` images can't be shown yet.
    """

    found: Proportion | None
    expected: float | None
    cards: int
    left: Bounds | None
    change: Literal["better", "worse", "open"] | None
    without_embedding: int = 0


@dataclass(frozen=True, slots=True)
class Advice:
    answer: Answer
    sentence: str


def advise(evidence: Evidence) -> Advice:
    """Return the answer by the rule above, with its reasons as one sentence."""
    answer, hint = _answer(evidence)
    opening = {
        "yes": "Another round is worth it",
        "no": "Another round is hardly worth it",
        "unclear": "Whether another round is worth it can't be told yet",
    }[answer]
    reasons = [
        *_hit_rate_reason(evidence.found),
        *_expected_reason(evidence),
        *_remaining_reason(evidence.left),
    ]
    reasons += _change_reason(evidence.change)
    why = f": {'; '.join(reasons)}" if reasons else ""
    return Advice(answer, f"{opening}{why}. {hint}".strip())


def _answer(evidence: Evidence) -> tuple[Answer, str]:
    """Return the rule's answer, and what to do where it isn't yes."""
    if evidence.left is not None and evidence.left.high < WORTH * PAGE:
        return "no", "Use the model; a few random checks keep telling whether that stays so."
    if evidence.expected is not None and not evidence.cards:
        return _nothing_left(evidence)
    if evidence.found is None or evidence.found.trials < FEWEST_REVIEWED:
        return "unclear", _first_step(evidence)
    if evidence.expected is None:
        return "unclear", "Train a version, or make one active."
    hits = evidence.found.value >= WORTH
    if hits != (evidence.expected >= WORTH * evidence.cards):
        return "unclear", "Another page would settle it."
    return _answer_where_agreed(evidence, hits=hits)


def _nothing_left(evidence: Evidence) -> tuple[Answer, str]:
    if evidence.without_embedding:
        return "unclear", "Embed them, and review goes on: labeler embed"
    return "no", "Import more images, or use the model."


def _answer_where_agreed(evidence: Evidence, *, hits: bool) -> tuple[Answer, str]:
    """Return the answer where the last round and the model's expectation agree."""
    if hits and evidence.change == "worse":
        return "unclear", "Look through the hand scores that look wrong, then retrain."
    if hits:
        return "yes", ""
    if evidence.left is not None and evidence.left.low >= WORTH * PAGE:
        return "no", "More is left than the review finds: score at random, then retrain."
    return "no", "Scoring at random teaches the model as much now."


def _first_step(evidence: Evidence) -> str:
    if evidence.expected is None:
        return "Train a version first, then review a page of cards."
    return "Review a page of cards: that will show it."


def _hit_rate_reason(found: Proportion | None) -> list[str]:
    if found is None:
        return ["no card of a version has been reviewed"]
    return [
        f"{found.hits} of {found.trials} reviewed cards were mistakes "
        f"({100 * found.value:.0f} %, {100 * found.low:.0f} to {100 * found.high:.0f} %)"
    ]


def _expected_reason(evidence: Evidence) -> list[str]:
    if evidence.expected is None:
        return []
    if not evidence.cards:
        if without := evidence.without_embedding:
            have = "1 image has" if without == 1 else f"{without:,} images have"
            return [f"no unscored image with an embedding is left, and {have} none yet"]
        return ["no unscored image is left to review"]
    cards = "card" if evidence.cards == 1 else f"{evidence.cards} cards"
    return [f"the model expects about {evidence.expected:.0f} among the next {cards}"]


def _remaining_reason(left: Bounds | None) -> list[str]:
    if left is None:
        return ["the random sample is too small to say how many are left"]
    return [f"by the random sample about {_with_interval(left)} are left"]


def _with_interval(left: Bounds) -> str:
    return f"{left.value:,.0f} ({left.low:,.0f} to {left.high:,.0f})"


def _change_reason(change: str | None) -> list[str]:
    sentences = {
        "better": "the last retraining made the model better, by images drawn at random after it",
        "worse": "the last retraining made the model worse, by images drawn at random after it",
        "open": "whether the last retraining made it better can't be told yet",
    }
    return [sentences[change]] if change else []
