"""Label Studio: tasks with each scorer's hand score as an annotation, and the prediction.

Scores are Number results: Label Studio keeps the 0 of a Rating as "nothing". The config that fits
the tasks lies beside them.
"""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

from db.records import HandScore
from labeler.exports.folder import ExportFolder
from labeler.exports.plan import Exported
from labeler.exports.rows import COLUMNS, Dataset, Row
from labeler.progress import Progress
from labeler.tables import plain_text
from labeler.whole_files import whole_file

# Label Studio serves what lies below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT there; here that is /.
LOCAL_FILES = "/data/local-files/?d="
CONFIG = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <Header value="Score, 0 to 10"/>
  <Number name="score" toName="image" min="0" max="10" step="0.1" required="true"/>
</View>
"""


def write_label_studio(
    dataset: Dataset, folder: ExportFolder, exported: Exported, progress: Progress
) -> None:
    """tasks.json to import, and config.xml to paste under Settings, Labeling Interface."""
    prefix = dataset.plan.image_url or LOCAL_FILES
    numbers: dict[str | None, int] = {}
    tasks = folder.file("tasks.json")
    with whole_file(tasks) as scratch, scratch.open("w", encoding="utf-8") as file:
        for done, row in enumerate(dataset.rows()):
            progress(done, len(dataset), "writing tasks")
            file.write(",\n" if done else "[\n")
            json.dump(task(row, prefix, numbers), file, ensure_ascii=False, allow_nan=False)
        file.write("\n]\n")
    with whole_file(folder.file("config.xml")) as scratch:
        scratch.write_text(CONFIG, encoding="utf-8")
    exported.images = len(dataset)
    exported.notes.append(_how_images_are_found(prefix))
    if len(numbers) > 1:
        who = ", ".join(f"{number} is {name or 'nameless'}" for name, number in numbers.items())
        exported.notes.append(f"In completed_by the scorers are numbered: {who}.")


def task(row: Row, prefix: str, numbers: dict[str | None, int]) -> dict[str, Any]:
    """One image as a task; `numbers` collects the scorers with the numbers that stand for them."""
    latest = row.latest_by_scorer()
    mine = {scorer: numbers.setdefault(scorer, len(numbers) + 1) for scorer in latest}
    told = dict(zip(COLUMNS, map(plain_text, row.cells()), strict=True))
    return {
        "data": {
            "image": prefix + quote(os.fsencode(row.image.path.lstrip("/"))),
            **told,
            # Names by the number in completed_by: a number alone would lose them.
            "scorers": {str(number): scorer for scorer, number in mine.items()},
        },
        "annotations": [_annotation(one, mine[scorer]) for scorer, one in latest.items()],
        "predictions": [] if row.prediction is None else [_prediction(row)],
    }


def _annotation(one: HandScore, completed_by: int) -> dict[str, Any]:
    return {
        "completed_by": completed_by,
        "was_cancelled": False,
        "created_at": one.at.isoformat(),
        "result": [_number(one.value)],
    }


def _prediction(row: Row) -> dict[str, Any]:
    said = row.prediction or 0.0
    return {
        "model_version": row.version,
        "score": said,
        "result": [_number(round(10 * said, 2))],
    }


def _number(value: float) -> dict[str, Any]:
    """A Number result, 0–10; whole ones without a point."""
    shown = int(value) if value.is_integer() else value
    return {
        "from_name": "score",
        "to_name": "image",
        "type": "number",
        "value": {"number": shown},
    }


def _how_images_are_found(prefix: str) -> str:
    if prefix == LOCAL_FILES:
        return (
            "Label Studio finds the images if it is started with "
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and "
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/, with a local storage on their folder."
        )
    return f"Label Studio finds each image at {prefix} followed by its path without the first /."
