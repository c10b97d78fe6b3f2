"""Which hand scores are confirmations, and between which bounds they say that the score lies.

Until now a confirmation was kept as the prediction's whole score, as if it had been typed. What it
said follows from the prediction that was shown and the threshold then: of its round, else of the
version shown, else of the newest version there was.
"""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# In order of their ids: what the leading image of a card got comes before its near-duplicates.
SCORES = """SELECT h.id, h.event_id, h.value, h.why, h.shown_prediction,
    coalesce(r.threshold, v.threshold, (SELECT threshold FROM versions
        WHERE created_at <= h.at ORDER BY id DESC LIMIT 1)) AS threshold
    FROM hand_scores AS h LEFT JOIN rounds AS r ON r.id = h.round_id
    LEFT JOIN versions AS v ON v.id = h.shown_version_id
    WHERE h.queue IN ('false-positive', 'false-negative') ORDER BY h.id"""
# Of images with both: what was typed counts, whoever typed it.
BOTH = """SELECT h.image_id, h.scorer, h.value FROM hand_scores AS h
    WHERE h.undone_at IS NULL AND h.id NOT IN (SELECT hand_score_id FROM confirmations)
    AND h.image_id IN (SELECT image_id FROM hand_scores JOIN confirmations
        ON hand_score_id = hand_scores.id) ORDER BY h.id"""
ROUNDING = 1e-6  # of predictions in exported histories


def upgrade() -> None:
    op.create_table(
        "confirmations",
        sa.Column("hand_score_id", sa.Integer, nullable=False),
        sa.Column("at_least", sa.REAL),
        sa.Column("below", sa.REAL),
        sa.PrimaryKeyConstraint("hand_score_id", name="pk_confirmations"),
        sa.CheckConstraint(
            "at_least IS NOT NULL OR below IS NOT NULL", name=op.f("ck_confirmations_bounded")
        ),
        sa.CheckConstraint("at_least BETWEEN 0 AND 10", name=op.f("ck_confirmations_at_least")),
        sa.CheckConstraint("below BETWEEN 0 AND 10", name=op.f("ck_confirmations_below")),
        sa.CheckConstraint("at_least < below", name=op.f("ck_confirmations_order")),
        sa.ForeignKeyConstraint(
            ["hand_score_id"], ["hand_scores.id"], name="fk_confirmations_hand_score_id"
        ),
    )
    connection = op.get_bind()
    # By event: value and bounds, which a typed score has none of.
    bounds: dict[str, tuple[float, float | None, float | None]] = {}
    for row_id, event, value, why, prediction, threshold in connection.execute(sa.text(SCORES)):
        leader = bounds.get(str(event).rpartition(".")[0])
        if leader is not None and leader[0] == value:
            said = leader  # a near-duplicate that was answered with it
        elif why == "confirmation" and _is_confirmed(value, prediction, threshold):
            cut = round(threshold * 10, 9)
            said = (value, cut, None) if value >= cut - 1e-9 else (value, None, cut)
        else:
            said = (value, None, None)
        bounds[str(event)] = said
        if said[1:] == (None, None):
            continue
        connection.execute(
            sa.text("INSERT INTO confirmations VALUES (:id, :at_least, :below)"),
            {"id": row_id, "at_least": said[1], "below": said[2]},
        )
    _let_typed_scores_count(connection)


def _is_confirmed(value: Any, prediction: Any, threshold: Any) -> bool:
    """Return whether `value` is what a confirmation of the prediction recorded.

    Another number that lies on the same side was typed, and is kept as that.
    """
    if not all(isinstance(each, (int, float)) for each in (value, prediction, threshold)):
        return False
    if not (0 <= prediction <= 1 and 0 < threshold <= 1):
        return False
    near = (prediction - ROUNDING, prediction, prediction + ROUNDING)
    return value in {_recorded(each, threshold) for each in near}


def _recorded(prediction: float, threshold: float) -> int:
    score, lowest_pass = math.floor(prediction * 10 + 0.5), math.ceil(threshold * 10 - 1e-9)
    if prediction >= threshold:
        return min(10, max(score, lowest_pass))
    return max(0, min(score, lowest_pass - 1))


def _let_typed_scores_count(connection: sa.Connection) -> None:
    rule = connection.scalar(sa.text("SELECT value FROM settings WHERE name = 'effective_rule'"))
    person = str(rule).removeprefix("person:") if str(rule).startswith("person:") else None
    typed: dict[int, dict[str | None, float]] = {}
    for image_id, scorer, value in connection.execute(sa.text(BOTH)):
        if person is None or (scorer or "") == person:
            given = typed.setdefault(image_id, {})
            given.pop(scorer, None)
            given[scorer] = value  # the latest of each, in order
    for image_id, given in typed.items():
        values = list(given.values())
        score = sum(values) / len(values) if rule == "mean" else values[-1]
        connection.execute(
            sa.text(
                "UPDATE images SET hand_score = :score WHERE id = :id AND hand_score != :score"
            ),
            {"score": score, "id": image_id},
        )
