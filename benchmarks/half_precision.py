"""What the default recipe's head loses in half precision, in CityAesthetics' own layers.

    python benchmarks/half_precision.py LABELS.csv --images DIR [--seeds 3] [--scored 150 390]

For every seed a head learns from so many images drawn at random, and says something of all of them:
in float64, and with weights and embeddings cast to a format. "Embeddings alone" is what rounding
these costs where everything else is exact: no head could do without.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from measuring import table
from paired import Floats, arguments, collection

from model.heads.head import Head
from model.training.recipe import TrainingData
from model.training.recipes import recipe_named

FORMATS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def said(head: Head, embeddings: torch.Tensor, number_format: torch.dtype) -> Floats:
    cast = copy.deepcopy(head).to(number_format)
    with torch.inference_mode():
        parts = [cast(part.to(number_format)).double() for part in embeddings.split(512)]
    return torch.cat(parts).numpy()[:, 0]


def errors(head: Head, embeddings: torch.Tensor) -> dict[str, list[float]]:
    """By format: largest and mean error, share that changes sides, and of embeddings alone."""
    exact, found = said(head, embeddings, torch.float64), {}
    for name, each in FORMATS.items():
        rough = said(head, embeddings, each)
        held = said(head, embeddings.to(each).float(), torch.float64)
        wrong, sides = np.abs(rough - exact), (rough >= 0.5) != (exact >= 0.5)
        alone = float(np.abs(held - exact).max())
        found[name] = [float(wrong.max()), float(wrong.mean()), float(sides.mean()), alone]
    near = np.abs(exact - exact.round(1)) < 1e-5
    return found | {"within 1e-5 of a tenth": [float(near.mean())]}


def main() -> None:
    asked = arguments(__doc__.splitlines()[0], seeds=3)
    asked.add_argument("--scored", type=int, nargs="*", default=[150, 390], metavar="N")
    given = asked.parse_args()
    data = collection(given)
    embeddings = torch.from_numpy(data.embeddings)
    heading = ["scored", "format", "largest", "mean", "change sides", "embeddings alone, largest"]
    rows, heaps = [], []
    for scored in given.scored:
        found = []
        for seed in range(given.seeds):
            chosen = np.random.default_rng(seed).permutation(len(data.scores))[:scored]
            training_data = TrainingData(
                data.embeddings[chosen], data.scores[chosen], data.groups[chosen]
            )
            head = recipe_named("quick").train(training_data, seed=seed).head
            found.append(errors(head, embeddings))
        for name in FORMATS:
            worst = np.max([each[name] for each in found], axis=0)
            rows.append((scored, name, *(f"{value:.2g}" for value in worst)))
        heaps.append(max(each["within 1e-5 of a tenth"][0] for each in found))
    print(table(heading, rows))
    print(f"\nWithin 1e-5 of a whole tenth: {', '.join(f'{heap:.2%}' for heap in heaps)}")


if __name__ == "__main__":
    main()
