"""One turn of the loop on labelled images, through the command line: figures before and after.

    python benchmarks/loop.py LABELS.csv --images DIR [--start 300] [--leave-out FOLDER...]

A simulated person answers from LABELS.csv (columns path, score, perhaps split_group): scores
`--start` images drawn at random, trains v1.0, corrects what the two review queues show (40 each),
trains v1.1. Beside it, as the baseline, the same number of further scores goes to images drawn at
random. A quarter of the groups is never scored by anybody: every figure is taken on those images.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from model.evaluation.metrics import Figure, measure

THRESHOLD = 0.5
REVIEWED = 40  # of each of the two queues


def labeler(project: Path, *words: str) -> str:
    command = [sys.executable, "-m", "labeler.cli", "--project", str(project), *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"labeler {' '.join(words)}: {ended.stderr}")
    return ended.stdout


def give(project: Path, labels: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scores.csv"
        labels.to_csv(file, index=False)
        labeler(project, "label", "--from", str(file))


def predictions(project: Path) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dataset.csv"
        labeler(project, "export", "dataset", str(file))
        return pd.read_csv(file)[["path", "prediction"]]


def judged(project: Path, withheld: pd.DataFrame) -> dict[str, Figure]:
    table = withheld.merge(predictions(project), on="path", validate="one_to_one")
    groups = pd.factorize(table["split_group"])[0]
    return measure(
        table["prediction"].to_numpy(), table["score"].to_numpy() / 10, THRESHOLD, groups
    )


def reviewed(project: Path, labels: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """What the two queues show, with the person's scores, and how many were real mistakes."""
    cards = []
    for queue in ("false-positive", "false-negative"):
        text = labeler(project, "review", "--queue", queue, "--limit", str(REVIEWED), "--json")
        cards += json.loads(text)["cards"]
    shown = pd.DataFrame([{"path": c["path"], "said": c["prediction"]} for c in cards])
    shown = shown.merge(labels, on="path")
    wrong = (shown["said"] >= THRESHOLD) != (shown["score"] / 10 >= THRESHOLD)
    return shown[labels.columns], int(wrong.sum())


def prepare(folder: Path, images: Path, encoder: str, skip: list[str]) -> Path:
    project = folder / "project"
    print(labeler(project, "init", str(project), "--encoder", encoder).strip())
    for source in sorted(p for p in images.iterdir() if p.is_dir() and p.name not in skip):
        labeler(project, "import", str(source))
    started = time.perf_counter()
    print(labeler(project, "embed").strip(), f"({time.perf_counter() - started:.0f} s)")
    return project


def read_labels(file: Path, images: Path, project: Path) -> pd.DataFrame:
    """The labels of imported images, by the path under which the project knows them."""
    labels = pd.read_csv(file)
    labels["path"] = [str((images / path).resolve()) for path in labels["path"]]
    labels["split_group"] = labels.get("split_group", labels["path"])
    known = predictions(project)["path"]
    return labels[labels["path"].isin(known)][["path", "score", "split_group"]]


def table(rows: dict[str, dict[str, Figure]]) -> str:
    names = [
        "mae",
        "rank_correlation",
        "precision",
        "recall",
        "false_positives",
        "average_precision",
    ]
    lines = ["| withheld images | " + " | ".join(n.replace("_", " ") for n in names) + " |"]
    lines.append("|" + "---|" * (len(names) + 1))
    for title, figures in rows.items():
        cells = [
            "–"
            if (f := figures[n])["value"] is None
            else f"{f['value']:.3g} ({f['low']:.3g}–{f['high']:.3g})"
            for n in names
        ]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("labels", type=Path)
    asked.add_argument("--images", type=Path, required=True)
    asked.add_argument("--start", type=int, default=300)
    asked.add_argument("--encoder", default="lite")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--leave-out", nargs="*", default=[], metavar="FOLDER")
    given = asked.parse_args()
    random = np.random.default_rng(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        project = prepare(Path(folder), given.images, given.encoder, given.leave_out)
        labels = read_labels(given.labels, given.images, project)
        groups = labels["split_group"].unique()
        closed = random.choice(groups, len(groups) // 4, replace=False)
        withheld = labels[labels["split_group"].isin(closed)]
        offered = labels[~labels["split_group"].isin(closed)].sample(
            frac=1, random_state=given.seed
        )
        rows = {}
        give(project, offered[: given.start])
        started = time.perf_counter()
        labeler(project, "train", "--note", "first scores")
        print(
            f"v1.0 trained in {time.perf_counter() - started:.1f} s, start of the program included"
        )
        rows[f"v1.0, {given.start} at random"] = judged(project, withheld)
        shown, wrong = reviewed(project, offered)
        print(f"reviewed {len(shown)} in the two queues, {wrong} real mistakes")
        spare = offered[given.start : given.start + len(shown)]
        sides = spare.merge(predictions(project), on="path")
        by_chance = ((sides["prediction"] >= THRESHOLD) != (sides["score"] / 10 >= THRESHOLD)).sum()
        print(f"baseline: {len(spare)} at random, {by_chance} real mistakes")
        give(project, shown)
        labeler(project, "train", "--note", "what the two queues showed")
        rows[f"v1.1, {len(shown)} reviewed"] = judged(project, withheld)
        other = prepare(Path(folder) / "other", given.images, given.encoder, given.leave_out)
        give(other, offered[: given.start + len(shown)])
        labeler(other, "train")
        rows[f"baseline: {len(shown)} more at random"] = judged(other, withheld)
        print(f"{len(withheld)} withheld images in {len(closed)} groups, 95 % intervals by group\n")
        print(table(rows))


if __name__ == "__main__":
    main()
