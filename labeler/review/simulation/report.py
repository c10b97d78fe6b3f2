"""What a simulation found, told: figures per round and strategy, as data, a table and a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from labeler.core.files.export_writer import ExportWriter
from labeler.review.simulation.simulate import FIGURES, Plan, Played, Turn

# The figures of a round, in the order of the table, with their words.
WORDS = {
    "found": "mistakes found",
    "left": "mistakes left",
    "precision": "precision",
    "recall": "recall",
    "average_precision": "average precision",
    "mae": "error",
    "rank_correlation": "rank correlation",
}
# What a figure can be at all: an interval around the mean of few seeds would go beyond.
LIMITS = {
    "precision": (0.0, 1.0),
    "recall": (0.0, 1.0),
    "average_precision": (0.0, 1.0),
    "mae": (0.0, 1.0),
    "rank_correlation": (-1.0, 1.0),
}
_COUNT = (0.0, math.inf)

# One for each strategy; ours first.
COLOURS = ("#c2185b", "#6b7280", "#d97706", "#2563eb", "#059669")


def summary(played: Sequence[Played], plan: Plan) -> dict[str, Any]:
    """All of it as plain values: `rounds` has, per strategy and round, the mean of every figure
    over the seeds with its 95 % interval (Student's t, cut where no figure can be); `turns` every
    single figure.
    """
    turns = [turn for each in played for turn in each.turns]
    return {
        "plan": asdict(plan),
        "rounds": [
            _round(turns, strategy, number)
            for strategy in plan.strategies
            for number in range(plan.rounds + 1)
            if any(t.strategy == strategy and t.round == number for t in turns)
        ],
        "calibration": {name: _calibration(played, name) for name in plan.strategies},
        "turns": [_flat(turn) for turn in turns],
    }


def table(document: dict[str, Any]) -> list[str]:
    """Lines of a Markdown table, aligned: a row per strategy and round."""
    head = ["strategy", "round", "scored", *WORDS.values()]
    rows = [
        [each["strategy"], str(each["round"]), f"{each['scored']:.0f}"]
        + [_cell(each["figures"][name], name) for name in WORDS]
        for each in document["rounds"]
    ]
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    return [_line(row, widths) for row in [head, ["-" * w for w in widths], *rows]]


def files_in(folder: Path) -> list[Path]:
    """The files that `write` makes."""
    return [folder / name for name in ("results.json", "table.md", "plot.svg")]


def write(document: dict[str, Any], folder: Path, writer: ExportWriter) -> list[Path]:
    """Write results.json, table.md and plot.svg into `folder`; returns the files."""
    import json

    files = files_in(folder)
    texts = (json.dumps(document, indent=1), "\n".join(table(document)) + "\n", plot(document))
    writer.write_all(dict(zip(files, (text.encode() for text in texts), strict=True)))
    return files


def plot(document: dict[str, Any]) -> str:
    """An SVG picture: each figure over the rounds, a line with its interval per strategy."""
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame(
        {
            "figure": words,
            "strategy": each["strategy"],
            "round": each["round"],
            "mean": each["figures"][name]["mean"],
            "low": each["figures"][name]["low"],
            "high": each["figures"][name]["high"],
        }
        for each in document["rounds"]
        for name, words in WORDS.items()
        if each["round"] or name != "found"
    )
    rounds = sorted({each["round"] for each in document["rounds"]})
    legend = alt.Legend(orient="top", symbolOpacity=1, symbolType="stroke", symbolStrokeWidth=3)
    colours = alt.Scale(domain=document["plan"]["strategies"], range=COLOURS)
    base = alt.Chart(frame).encode(
        x=alt.X("round:Q", axis=alt.Axis(values=rounds, format="d", grid=False)),
        color=alt.Color("strategy:N", scale=colours, title=None, legend=legend),
    )
    scale = alt.Scale(zero=False)
    band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title=None, scale=scale), y2="high")
    line = base.mark_line(point=True).encode(y=alt.Y("mean:Q", title=None, scale=scale))
    chart = (
        alt.layer(band, line)
        .properties(width=260, height=180)
        .facet(alt.Facet("figure:N", title=None, sort=list(WORDS.values())), columns=3)
        .resolve_scale(y="independent")
    )
    return _as_svg(chart.to_dict())


def _as_svg(spec: dict[str, Any]) -> str:
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec))


def _round(turns: Sequence[Turn], strategy: str, number: int) -> dict[str, Any]:
    mine = [turn for turn in turns if turn.strategy == strategy and turn.round == number]
    return {
        "strategy": strategy,
        "round": number,
        "seeds": len(mine),
        "scored": float(np.mean([turn.scored for turn in mine])),
        "figures": {
            name: _mean([_flat(turn)[name] for turn in mine], LIMITS.get(name, _COUNT))
            for name in WORDS
        },
    }


def _flat(turn: Turn) -> dict[str, Any]:
    return {k: v for k, v in asdict(turn).items() if k != "figures"} | turn.figures


def _mean(values: Sequence[float | None], limits: tuple[float, float]) -> dict[str, float | None]:
    """Mean and 95 % interval over the seeds, which are what is random here; within `limits`."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return {"mean": None, "low": None, "high": None}
    mean = float(known.mean())
    if len(known) < 2:
        return {"mean": mean, "low": None, "high": None}
    error = float(known.std(ddof=1)) / math.sqrt(len(known))
    half = float(student.ppf(0.975, len(known) - 1)) * error
    low, high = max(mean - half, limits[0]), min(mean + half, limits[1])
    return {"mean": mean, "low": low, "high": high}


def _calibration(played: Sequence[Played], strategy: str) -> list[dict[str, float]]:
    """By tenths of the chance given: how many images had it, and what share were mistakes."""
    found = [each.chances for each in played if each.strategy == strategy]
    chances = np.concatenate([*found, np.zeros((0, 2))])
    tenth = np.minimum((chances[:, 0] * 10).astype(int), 9)
    return [
        {
            "from": k / 10,
            "to": (k + 1) / 10,
            "images": int((tenth == k).sum()),
            "given": float(chances[tenth == k, 0].mean()),
            "mistakes": float(chances[tenth == k, 1].mean()),
        }
        for k in range(10)
        if (tenth == k).any()
    ]


def _cell(figure: dict[str, float | None], name: str) -> str:
    digits = 3 if name in FIGURES else 1
    if figure["mean"] is None:
        return "–"
    if figure["low"] is None or figure["high"] is None:
        return f"{figure['mean']:.{digits}f}"
    low, high = (f"{figure[end]:.{digits}f}" for end in ("low", "high"))
    return f"{figure['mean']:.{digits}f} ({low} to {high})"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)) + " |"
