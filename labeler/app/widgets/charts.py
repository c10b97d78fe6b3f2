"""The charts of the pages: functions from numbers to an Altair chart, in the theme's colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from labeler.app.routes.payloads import shown_name
from labeler.versions.evaluation.compare import Curve
from model.evaluation.slices import Slice

RULE = "#8a8f8d"  # seen on the light and on the dark page
HEIGHT = 240
PERCENT = alt.Axis(format="%", title=None, grid=True)


def score_distribution(counts: Sequence[int]) -> alt.Chart:
    """Draw how many images have each score; `counts` has 11 entries, 0 to 10."""
    frame = pd.DataFrame({"score": [str(value) for value in range(11)], "images": list(counts)})
    return (
        alt.Chart(frame, height=160)
        .mark_bar(cornerRadiusTopLeft=3, cornerRadiusTopRight=3)
        .encode(
            x=alt.X(
                "score:N", sort=None, title=None, axis=alt.Axis(labelAngle=0, labelFlush=False)
            ),
            y=alt.Y("images:Q", title=None, axis=alt.Axis(tickMinStep=1)),
            tooltip=["score", "images"],
        )
    )


def loss_curve(points: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Draw loss over steps: a point has a `step` and losses by name (`train`, `held_out`)."""
    frame = pd.DataFrame(list(points))
    long = frame.melt("step", var_name="line", value_name="loss").dropna()
    long["line"] = long["line"].str.replace("_", " ")
    return (
        alt.Chart(long, height=200)
        .mark_line(interpolate="monotone")
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(tickMinStep=1, grid=False)),
            y=alt.Y("loss:Q", title=None, scale=alt.Scale(zero=False)),
            color=alt.Color("line:N", title=None, legend=alt.Legend(orient="top")),
            tooltip=["line", "step", alt.Tooltip("loss", format=".4f")],
        )
    )


def precision_recall(curves: Sequence[Curve], threshold: float) -> alt.LayerChart:
    """Draw precision and recall over the threshold, 0–1; the first version solid, the others
    dashed.
    """
    frame = pd.concat([_long(curve) for curve in curves], ignore_index=True)
    names = [curve.version for curve in curves]
    lines = (
        alt.Chart(frame)
        .mark_line(clip=True)
        .encode(
            x=alt.X(
                "threshold:Q",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%", title="threshold", grid=False),
            ),
            y=alt.Y("share:Q", scale=alt.Scale(domain=[0, 1]), axis=PERCENT),
            color=alt.Color(
                "measure:N",
                title=None,
                sort=["precision", "recall"],
                legend=alt.Legend(orient="top"),
            ),
            strokeDash=alt.StrokeDash(
                "version:N",
                sort=names,
                scale=alt.Scale(domain=names, range=[[1, 0], [5, 4], [2, 3]][: len(names)]),
                title=None,
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[
                "version",
                "measure",
                alt.Tooltip("threshold", format=".0%"),
                alt.Tooltip("share", format=".0%"),
            ],
        )
    )
    return alt.LayerChart(layer=[lines, _rule(threshold)], height=HEIGHT)


def version_history(
    names: Sequence[str],
    values: Sequence[float | None],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    *,
    figure: str,
    height: int = HEIGHT,
) -> alt.LayerChart:
    """Draw one measure over the versions, oldest left, with its 95 % interval.

    `figure` is a d3 format.
    """
    frame = pd.DataFrame({"version": names, "value": values, "low": lows, "high": highs})
    frame = frame.dropna(subset=["value"])
    x = _over_versions(names)  # also those without a value: charts stand in line
    axis = alt.Axis(title=None, format=figure)
    scale = alt.Scale(zero=False, nice=True)
    tips = ["version", *(alt.Tooltip(f, format=figure) for f in ("value", "low", "high"))]
    base = alt.Chart(frame)
    whiskers = base.mark_rule(strokeWidth=2, color=RULE).encode(
        x=x, y=alt.Y("low:Q", axis=axis, scale=scale), y2="high:Q", tooltip=tips
    )
    line = base.mark_line(strokeWidth=1.5, opacity=0.6).encode(x=x, y="value:Q")
    dots = base.mark_circle(size=70, opacity=1).encode(x=x, y="value:Q", tooltip=tips)
    return alt.LayerChart(layer=[whiskers, line, dots], height=height)


def _over_versions(names: Sequence[str]) -> alt.X:
    """Return the axis of the versions, each once and in this order."""
    return alt.X(
        "version:N",
        sort=None,
        scale=alt.Scale(domain=list(dict.fromkeys(names))),
        title=None,
        axis=alt.Axis(labelAngle=0, labelFlush=False),
    )


def outcomes(
    names: Sequence[str], outcome_of: Mapping[str, Sequence[int]], *, height: int = HEIGHT
) -> alt.Chart:
    """Draw how many cards had each outcome, as stacked bars over the versions, oldest left."""
    wide = pd.DataFrame({"version": names, **outcome_of})
    long = wide.melt("version", var_name="outcome", value_name="cards")
    kinds = list(outcome_of)
    long["place"] = long["outcome"].map(kinds.index)
    return (
        alt.Chart(long, height=height)
        .mark_bar(size=18, cornerRadius=2)
        .encode(
            x=_over_versions(names),
            y=alt.Y("sum(cards):Q", title=None, axis=alt.Axis(tickMinStep=1)),
            color=alt.Color("outcome:N", sort=kinds, title=None, legend=alt.Legend(orient="right")),
            order="place:Q",
            tooltip=["version", "outcome", alt.Tooltip("sum(cards):Q", title="cards")],
        )
    )


def biases(slices: Sequence[Slice], overall: float | None) -> alt.LayerChart:
    """Draw the mean signed error of each slice with its interval, the worst on top; a rule at 0.

    Slices whose interval excludes 0 are in the theme's colour, the others grey.
    """
    frame = pd.DataFrame(
        {
            "slice": [shown_name(one.name) for one in slices],
            "error": [one.bias.value for one in slices],
            "low": [one.bias.low for one in slices],
            "high": [one.bias.high for one in slices],
            "images": [one.images for one in slices],
            "stands out": ["yes" if one.stands_out else "no" for one in slices],
        }
    )
    y = alt.Y(
        "slice:N",
        sort=None,
        title=None,
        axis=alt.Axis(labelLimit=220, labelOverlap=False, labelFlush=False),
    )
    axis = alt.Axis(title="points too low  ←   →  points too high", format="+.1f", tickCount=7)
    tips = [
        "slice",
        "images",
        *(alt.Tooltip(name, format="+.2f") for name in ("error", "low", "high")),
        "stands out",
    ]
    base = alt.Chart(frame)
    whiskers = base.mark_rule(strokeWidth=2, color=RULE).encode(
        x=alt.X("low:Q", axis=axis, scale=alt.Scale(nice=True)), x2="high:Q", y=y, tooltip=tips
    )
    dots = base.mark_circle(size=80, opacity=1).encode(x="error:Q", y=y, tooltip=tips)
    plain = dots.mark_circle(size=80, opacity=1, color=RULE).transform_filter(
        alt.datum["stands out"] == "no"
    )
    bold = dots.transform_filter(alt.datum["stands out"] == "yes")
    rules = [alt.Chart(pd.DataFrame({"at": [0.0]})).mark_rule(color=RULE).encode(x="at:Q")]
    if overall is not None:
        mean = alt.Chart(pd.DataFrame({"at": [overall], "all images": ["mean of all images"]}))
        rules.append(
            mean.mark_rule(color=RULE, strokeDash=[3, 3]).encode(x="at:Q", tooltip=["all images"])
        )
    return alt.LayerChart(layer=[*rules, whiskers, plain, bold], height=70 + 26 * len(slices))


def _long(curve: Curve) -> pd.DataFrame:
    wide = pd.DataFrame(
        {
            "threshold": curve.thresholds,
            "precision": curve.precision,
            "recall": curve.recall,
        }
    )
    long = wide.melt("threshold", var_name="measure", value_name="share").dropna()
    return long.assign(version=curve.version)


def _rule(threshold: float) -> alt.Chart:
    frame = pd.DataFrame({"threshold": [threshold]})
    return alt.Chart(frame).mark_rule(strokeDash=[3, 3], color=RULE).encode(x="threshold:Q")
