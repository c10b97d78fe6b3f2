"""The result of a simulation as data, a table and a plot: figures per round and strategy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from labeler.core.files.export_writer import ExportWriter
from labeler.review.simulation.simulate import FIGURES, RoundResult, SimulationPlan, StrategyRun

# Imported where they are used: pandas, Altair and its renderer take seconds to load.

# The figures of a round, in the order of the table, with their labels.
FIGURE_LABELS = {
    "found": "mistakes found",
    "left": "mistakes left",
    "precision": "precision",
    "recall": "recall",
    "average_precision": "average precision",
    "mae": "error",
    "rank_correlation": "rank correlation",
}
# The possible range of each figure: the interval of few seeds is clipped to it.
FIGURE_LIMITS = {
    "precision": (0.0, 1.0),
    "recall": (0.0, 1.0),
    "average_precision": (0.0, 1.0),
    "mae": (0.0, 1.0),
    "rank_correlation": (-1.0, 1.0),
}
DIFFERENCE_LIMITS = {name: (low - high, high - low) for name, (low, high) in FIGURE_LIMITS.items()}
_COUNT = (0.0, math.inf)

# One for each strategy; ours first.
COLOURS = ("#c2185b", "#6b7280", "#d97706", "#2563eb", "#059669")


def summary(runs: Sequence[StrategyRun], plan: SimulationPlan) -> dict[str, Any]:
    """Return the results as plain values.

    `rounds` has, per strategy and round, the mean of every figure over the seeds with its 95 %
    interval (Student's t, clipped to the possible range; none where all seeds give the same).
    `differences` has, per round and strategy after the first, by how much the first one's figures
    are higher, paired by seed: all strategies of a seed start alike. `turns` has every single
    figure.
    """
    results = [result for run in runs for result in run.turns]
    return {
        "plan": asdict(plan),
        "rounds": [
            _round(results, strategy, number)
            for strategy in plan.strategies
            for number in range(plan.rounds + 1)
            if any(result.strategy == strategy and result.round == number for result in results)
        ],
        "differences": [
            _difference(results, plan.strategies[0], strategy, number)
            for strategy in plan.strategies[1:]
            for number in range(1, plan.rounds + 1)
            if _by_seed(results, strategy, number)
        ],
        "calibration": {name: _calibration(runs, name) for name in plan.strategies},
        "turns": [_flat(result) for result in results],
    }


def table(document: dict[str, Any]) -> list[str]:
    """Return the lines of aligned Markdown tables: a row per strategy and round, then how the first
    strategy differs from the others."""
    lines = _table("strategy", document["rounds"])
    if document["differences"]:
        first = document["plan"]["strategies"][0]
        told = [
            each | {"strategy": f"{first} − {each['strategy']}"} for each in document["differences"]
        ]
        lines += ["", f"{first} less each other strategy, paired by seed:", ""]
        lines += _table("difference", told)
    return lines


def _table(name: str, results: Sequence[dict[str, Any]]) -> list[str]:
    header = [name, "round", "scored", *FIGURE_LABELS.values()]
    rows = [
        [result["strategy"], str(result["round"]), f"{result['scored']:.0f}"]
        + [_cell(result["figures"][name], name) for name in FIGURE_LABELS]
        for result in results
    ]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return [_line(row, widths) for row in [header, ["-" * width for width in widths], *rows]]


def report_files(folder: Path) -> list[Path]:
    """Return the paths of the files that `write` makes."""
    return [folder / name for name in ("results.json", "table.md", "plot.svg")]


def write(document: dict[str, Any], folder: Path, writer: ExportWriter) -> list[Path]:
    """Write results.json, table.md and plot.svg into `folder`; return their paths."""
    import json

    files = report_files(folder)
    texts = (json.dumps(document, indent=1), "\n".join(table(document)) + "\n", plot(document))
    writer.write_all(dict(zip(files, (text.encode() for text in texts), strict=True)))
    return files


def plot(document: dict[str, Any]) -> str:
    """Draw each figure over the rounds as SVG: a line with its interval per strategy."""
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
        for name, words in FIGURE_LABELS.items()
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
        .facet(alt.Facet("figure:N", title=None, sort=list(FIGURE_LABELS.values())), columns=3)
        .resolve_scale(y="independent")
    )
    return _as_svg(chart.to_dict())


def _as_svg(spec: dict[str, Any]) -> str:
    import vl_convert

    return str(vl_convert.vegalite_to_svg(spec))


def _round(turns: Sequence[RoundResult], strategy: str, number: int) -> dict[str, Any]:
    mine = [turn for turn in turns if turn.strategy == strategy and turn.round == number]
    return {
        "strategy": strategy,
        "round": number,
        "seeds": len(mine),
        "scored": float(np.mean([turn.scored for turn in mine])),
        "figures": {
            name: _mean([_flat(turn)[name] for turn in mine], FIGURE_LIMITS.get(name, _COUNT))
            for name in FIGURE_LABELS
        },
    }


def _difference(
    results: Sequence[RoundResult], first: str, strategy: str, number: int
) -> dict[str, Any]:
    ours, theirs = (_by_seed(results, name, number) for name in (first, strategy))
    seeds = sorted(ours.keys() & theirs.keys())
    pairs = [(_flat(ours[seed]), _flat(theirs[seed])) for seed in seeds]
    return {
        "strategy": strategy,
        "round": number,
        "seeds": len(seeds),
        "scored": float(np.mean([turn.scored for turn in theirs.values()])),
        "figures": {
            name: _mean(
                [
                    None if a[name] is None or b[name] is None else a[name] - b[name]
                    for a, b in pairs
                ],
                DIFFERENCE_LIMITS.get(name, (-math.inf, math.inf)),
            )
            for name in FIGURE_LABELS
        },
    }


def _by_seed(results: Sequence[RoundResult], strategy: str, number: int) -> dict[int, RoundResult]:
    return {
        each.seed: each for each in results if each.strategy == strategy and each.round == number
    }


def _flat(turn: RoundResult) -> dict[str, Any]:
    return {k: v for k, v in asdict(turn).items() if k != "figures"} | turn.figures


def _mean(values: Sequence[float | None], limits: tuple[float, float]) -> dict[str, float | None]:
    """Mean and 95 % interval over the seeds, which are what is random here; within `limits`.

    Without an interval where no two seeds differ: how much others would, can't be told.
    """
    numbers = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(numbers):
        return {"mean": None, "low": None, "high": None}
    mean = float(numbers.mean())
    if len(numbers) < 2 or np.ptp(numbers) == 0:
        return {"mean": mean, "low": None, "high": None}
    error = float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
    half = float(student.ppf(0.975, len(numbers) - 1)) * error
    low, high = max(mean - half, limits[0]), min(mean + half, limits[1])
    return {"mean": mean, "low": low, "high": high}


def _calibration(runs: Sequence[StrategyRun], strategy: str) -> list[dict[str, float]]:
    """Return by tenths of the predicted chance the number of images and the share of mistakes."""
    groups = [each.chances for each in runs if each.strategy == strategy]
    chances = np.concatenate([*groups, np.zeros((0, 2))])
    bin_of = np.minimum((chances[:, 0] * 10).astype(int), 9)
    return [
        {
            "from": k / 10,
            "to": (k + 1) / 10,
            "images": int((bin_of == k).sum()),
            "given": float(chances[bin_of == k, 0].mean()),
            "mistakes": float(chances[bin_of == k, 1].mean()),
        }
        for k in range(10)
        if (bin_of == k).any()
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
