"""Label Studio: tasks with each scorer's hand score as an annotation, and the prediction.

Scores are Number results: Label Studio keeps the 0 of a Rating as "nothing". The config that fits
the tasks lies beside them. A server takes a file only if every `completed_by` is one of its
accounts, and drops the times; so who gave a score and when stands in the `meta` of its result,
which it keeps. Pictures in archives, which no server can show, are copied beside the tasks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from db.records import HandScore
from labeler.core.archives.archives import through
from labeler.core.errors import BadInput
from labeler.core.files.tables import plain_text
from labeler.core.progress import Progress
from labeler.exports.datasets.image_files import file_name
from labeler.exports.datasets.output_folder import ExportFolder
from labeler.exports.datasets.plan import Exported
from labeler.exports.datasets.rows import COLUMNS, Dataset, Row
from model.errors import UnreadableImage

# Label Studio serves what lies below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT there; here that is /.
IMAGES = "images"  # the folder of the copies
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
    """Write tasks.json to import, and config.xml for Settings, Labeling Interface."""
    prefix = dataset.plan.image_url or LOCAL_FILES
    accounts = read_accounts(dataset.plan.completed_by)
    scorers: set[str] = set()
    tasks = folder.path / "tasks.json"
    with folder.whole(tasks) as scratch, scratch.open("w", encoding="utf-8") as file:
        for done, row in enumerate(dataset.rows()):
            progress(done, len(dataset), "writing tasks")
            if (picture := _picture(row, folder, exported)) is None:
                continue
            file.write(",\n" if exported.images else "[\n")
            written = task(row, prefix + quote(os.fsencode(picture.lstrip("/"))), accounts)
            json.dump(written, file, ensure_ascii=False, allow_nan=False)
            exported.images += 1
            scorers |= {scorer or "" for scorer in row.latest_by_scorer()}
        file.write("\n]\n" if exported.images else "[]\n")
    folder.write("config.xml", CONFIG.encode())
    exported.notes.append(_how_images_are_found(prefix))
    if len(scorers) > 1:
        exported.notes.append(_whose_scores(accounts))


def read_accounts(text: str | None) -> dict[str, int | str]:
    """Parse `ann=3, ben=ben@example.org` to {scorer: account}.

    An account without a scorer is everybody else's, under "". Raises `BadInput` for an account that
    is neither a number nor an e-mail address.
    """
    accounts: dict[str, int | str] = {}
    for part in filter(None, map(str.strip, (text or "").split(","))):
        scorer, _, account = part.rpartition("=")
        account = account.strip()
        if not ((account.isascii() and account.isdigit()) or "@" in account):
            raise BadInput(
                f"{account or part!r} is no account of Label Studio; give its number or e-mail "
                "address, as in --completed-by ann=3 or --completed-by ben@example.org"
            )
        accounts[scorer.strip()] = int(account) if account.isdigit() else account
    return accounts


def _picture(row: Row, folder: ExportFolder, exported: Exported) -> str | None:
    """Return the path of a file that a server can show, copied out of an archive if necessary.

    None for an unreadable image, which is added to `exported.left_out`.
    """
    if through(row.image.path) is None:
        return row.image.path
    relative = f"{IMAGES}/{file_name(row.image)}"
    try:
        made, _ = folder.place(row.image, relative, "copy")
    except UnreadableImage as problem:
        exported.left_out.append((row.image.path, str(problem)))
        return None
    exported.made += made
    exported.there += not made
    exported.contents[relative] = row.image.content_hash or ""
    return str((folder.path / relative).absolute())


def task(row: Row, image: str, accounts: Mapping[str, int | str]) -> dict[str, Any]:
    """Return the task of one image; `image` is its address, `accounts` is by `read_accounts`."""
    values = dict(zip(COLUMNS, map(plain_text, row.cells()), strict=True))
    # Not under the name of the control: its result takes that place in the server's CSV.
    values["hand_score"] = values.pop("score")
    return {
        "data": {"image": image, **values},
        "annotations": [
            _annotation(one, accounts.get(scorer or "", accounts.get("")))
            for scorer, one in row.latest_by_scorer().items()
        ],
        "predictions": [] if row.prediction is None else [_prediction(row)],
    }


def _annotation(one: HandScore, account: int | str | None) -> dict[str, Any]:
    at = one.at.isoformat()
    result = _number(one.value)
    meta = {"scorer": one.scorer or "", "score": result["value"]["number"], "at": at}
    if one.is_interval:  # Label Studio has no control for that.
        meta |= {"at_least": one.at_least, "below": one.below}
    annotation = {"was_cancelled": False, "created_at": at, "result": [result | {"meta": meta}]}
    if account is None:
        return annotation
    # A number as it is, an address within an object: a plain one is refused.
    return {
        "completed_by": {"email": account} if isinstance(account, str) else account,
        **annotation,
    }


def _prediction(row: Row) -> dict[str, Any]:
    prediction = row.prediction or 0.0
    return {
        "model_version": row.version,
        "score": prediction,
        "result": [_number(round(10 * prediction, 2))],
    }


def _number(value: float) -> dict[str, Any]:
    """Return a Number result, 0–10; a whole number is an int."""
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


def _whose_scores(accounts: Mapping[str, int | str]) -> str:
    if accounts:
        return "Scorers without an account of their own keep their name in the meta of the result."
    return (
        "On the server all annotations are by the account that imports the tasks; who gave which "
        "score stays in the meta of the result and comes back with it. --completed-by "
        "SCORER=ACCOUNT files them under accounts of the server."
    )
