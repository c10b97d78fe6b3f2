"""For notebooks and scripts: `from labeler import Project, Predictor`; pandas frames in and out.

What happens is what the commands of the same names do, in this process; whatever a person can do
something about is raised as `LabelerError`, a sentence that names the thing and the next step.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import db.scores.events
import db.versions.registry
from db.records import Event
from labeler.collection.discovery import find_images
from labeler.collection.importing import import_paths
from labeler.core import project as folders
from labeler.core.errors import BadInput, LabelerError
from labeler.core.images.lookup import find_image
from labeler.core.scorers import account_name, clean_name
from labeler.core.settings import DEFAULT_THRESHOLD
from labeler.embedding.embed import BATCH_SIZE, embed, prepare_file
from labeler.embedding.pipeline import encoded
from labeler.exports.datasets.plan import Plan
from labeler.exports.datasets.rows import COLUMNS, HISTORY, dataset_of, event_cells
from labeler.scoring.label import read_score
from labeler.versions.activate import predict_active, version_named
from model.encoders.load import load_encoder
from model.encoders.names import canonical
from model.images.formats import orientation
from model.images.pixels import flatten, upright

if TYPE_CHECKING:
    from PIL import Image

    from labeler.exports.datasets.rows import Row
    from model.encoders.encoder import Encoder

PathLike = str | os.PathLike[str]
Paths = PathLike | Iterable[PathLike]
PATH, ID, SCORE, SCORER = "path", "id", "score", "scorer"
BATCH = 32


class Project:
    """A project's folder, open; `with Project(folder) as project:` closes it.

    >>> project = Project("~/taste")
    >>> project.images().query("score >= 8").path
    """

    def __init__(self, folder: PathLike) -> None:
        self._project = folders.Project.open(Path(folder).expanduser())

    @classmethod
    def create(cls, folder: PathLike, encoder: str = folders.DEFAULT_ENCODER) -> Project:
        """Make an empty project in `folder`; as `labeler init`."""
        folders.Project.create(Path(folder), encoder).close()
        return cls(folder)

    @property
    def folder(self) -> Path:
        return self._project.folder

    @property
    def encoder(self) -> str:
        """The canonical name of the encoder whose embeddings the project learns from."""
        return self._project.encoder

    @property
    def threshold(self) -> float:
        """The prediction, 0–1, from which an image passes."""
        return self._project.threshold

    def images(self) -> pd.DataFrame:
        """One row for each image that was ever readable, with `id` as index.

        The columns are those of `labeler export dataset`: among them path, score (the hand score
        that counts, 0–10, NaN where unscored), prediction (0–1, which knows the scores that the
        version was trained on), out_of_fold_prediction (of scored images, by a head that has not
        seen their scores: the one to judge by), version, source, group, tags and split.
        """
        rows = self._rows()
        index = pd.Index([row.image.id for row in rows], name=ID, dtype="int64")
        frame = pd.DataFrame([row.cells() for row in rows], index=index, columns=list(COLUMNS))
        numbers = [name for name, kind in COLUMNS.items() if kind is float]
        return frame.astype(dict.fromkeys(numbers, "float64"))

    def history(self) -> pd.DataFrame:
        """Every hand score ever given, undone ones too, oldest first: id, path, score …"""
        rows = [
            [row.image.id, row.image.path, *event_cells(one)]
            for row in self._rows()
            for one in row.history
        ]
        return pd.DataFrame(rows, columns=[ID, PATH, *HISTORY])

    def versions(self) -> pd.DataFrame:
        """One row for each version, oldest first, with `name` as index and its figures."""
        found = db.versions.registry.history(self._project.store)
        rows = [
            {
                "name": version.name,
                "active": version.active,
                "recipe": version.recipe,
                "encoder": version.encoder,
                "threshold": version.threshold,
                "scored": version.scored_count,
                "note": version.note,
                "created_at": version.created_at,
                **_figures(version.metrics),
            }
            for version in found
        ]
        columns = ["name", "active", "recipe", "encoder", "threshold", "scored", "note"]
        frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*columns, "created_at"])
        return frame.set_index("name")

    def add_images(self, paths: Paths, source: str | None = None) -> pd.Series:
        """Take in folders or single files, as `labeler import`. Returns what became of them."""
        found = import_paths(self._project, _listed(paths), source=source)
        counted = (
            *("found", "new", "known", "rewritten", "turned", "duplicates", "moved", "changed"),
            *("replaced", "missing", "tagged"),
        )
        counts = {name: getattr(found, name) for name in counted}
        counts["unreadable"] = len(found.unreadable)
        return pd.Series(counts, name="images")

    def score(
        self, scores: pd.DataFrame | Mapping[Any, float], scorer: str | None = None
    ) -> pd.DataFrame:
        """Give hand scores (0–10), all or none of them.

        `scores` has a column `score` and a column `path` or `id` (or the ids as its index, named
        `id`), and perhaps `scorer`; or it maps paths or ids to scores. NaN is not scored. Returns
        what was taken: id, score and before (NaN: unscored until then). Raises `BadInput` for an
        image that isn't in the project and for a score outside the scale.
        """
        events, before = [], []
        for named, value, who in _statements(scores):
            image = find_image(self._project, str(named))
            checked = read_score(str(value))
            now = datetime.now(UTC)
            given = clean_name(who) or clean_name(scorer) or account_name()
            event_id = f"notebook-{uuid.uuid4().hex}"
            events.append(Event(event_id, "score", image.id, now, value=checked, scorer=given))
            before.append(image.hand_score)
        receipts = db.scores.events.record(self._project.store, events)
        refused = [receipt.problem for receipt in receipts if not receipt.accepted]
        if refused:
            raise LabelerError(f"{len(refused)} scores were not taken: {refused[0]}")
        taken = {
            ID: [event.image_id for event in events],
            SCORE: [event.value for event in events],
            "before": pd.array(before, dtype="Float64").to_numpy(float, na_value=np.nan),
        }
        return pd.DataFrame(taken)

    def embed(self) -> int:
        """Compute the embeddings that are missing; as `labeler embed`. Returns how many."""
        embedded = embed(self._project).embedded
        predict_active(self._project)
        return embedded

    def train(self, note: str = "", recipe: str = "quick") -> pd.Series:
        """Train a version, active from then on, as `labeler train`. Its row of `versions`."""
        # Imported where they are used: opening a project does without torch.
        from labeler.versions.train import train

        version = train(self._project, recipe=recipe, note=note)
        return self.versions().T[version.name]

    def predictor(self, version: str | None = None) -> Predictor:
        """A version (the active one unless named), ready to predict anything."""
        from labeler.versions.inference import load_version

        found = version_named(self._project, version)
        head = load_version(self._project, found).head
        return Predictor(head, found.encoder, found.name, found.threshold)

    def _rows(self) -> list[Row]:
        return list(dataset_of(self._project, Plan(scored_only=False)).rows())

    def close(self) -> None:
        self._project.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r})"


class Predictor:
    """A head and the encoder whose embeddings it reads; predictions are 0–1.

    From a project (`Project.predictor`) or from the files that `labeler export model` writes
    (`Predictor.load`). The encoder is loaded when the first picture comes.
    """

    def __init__(self, head: Any, encoder: str, name: str, threshold: float) -> None:
        self._head = head
        self._encoder: Encoder | None = None
        self.encoder, self.name, self.threshold = encoder, name, threshold

    @classmethod
    def load(cls, file: PathLike, encoder: str | None = None) -> Predictor:
        """A head from its .safetensors file, with its .config.json beside it.

        `encoder` names the encoder where the files don't (those of others don't). Raises `BadInput`
        without any, `ModelError` for a file that is no head.
        """
        from model.heads.head_files import load_head
        from model.heads.inference import BatchPredictor

        path = Path(file).expanduser()
        loaded = load_head(path)
        named = encoder or loaded.metadata.get("encoder")
        if not named:
            raise BadInput(
                f"{path.name} doesn't say whose embeddings it reads; name the encoder, such as "
                'Predictor.load(file, encoder="clip-l14-336").'
            )
        threshold = loaded.metadata.get("threshold")
        if type(threshold) is not float or not 0 < threshold < 1:
            threshold = DEFAULT_THRESHOLD
        return cls(BatchPredictor(loaded.head), canonical(str(named)), path.stem, threshold)

    def predict(self, paths: Paths) -> pd.DataFrame:
        """Every image under `paths` (files, and folders to the bottom), highest first.

        Columns path, prediction, passes and problem: what can't be read has no prediction, and says
        why.
        """
        found = [find_images(path) for path in _listed(paths)]
        files = {file.path: file.problem for each in found for file in each.files}
        told: dict[str, tuple[float, str | None]] = {
            path: (np.nan, why) for path, why in files.items() if why
        }
        told |= {path: (np.nan, why) for each in found for path, why in each.closed}
        waiting = [path for path, why in files.items() if not why]
        encoder = self._loaded()
        with closing(
            encoded(encoder, waiting, lambda path: prepare_file(encoder, path), BATCH_SIZE)
        ) as batches:
            for batch in batches:
                said = self._head(batch.vectors).tolist() if batch.items else []
                told |= {path: (one, None) for path, one in zip(batch.items, said, strict=True)}
                told |= {path: (np.nan, why) for path, why in batch.failed}
        frame = pd.DataFrame(
            {
                PATH: list(told),
                "prediction": np.array([one for one, _ in told.values()], dtype=np.float64),
                "problem": pd.array([why for _, why in told.values()], dtype="string"),
            }
        )
        frame.insert(2, "passes", frame["prediction"] >= self.threshold)
        return frame.sort_values(["prediction", PATH], ascending=[False, True], ignore_index=True)

    def predict_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Pillow images → predictions (n,), in their order; raises `BadInput` for a broken one."""
        encoder = self._loaded()
        said = [np.zeros(0, dtype=np.float32)]
        for start in range(0, len(images), BATCH):
            pixels = []
            for number, image in enumerate(images[start : start + BATCH], start):
                try:
                    pixels.append(encoder.prepare(upright(flatten(image), orientation(image))))
                except (OSError, SyntaxError, ValueError) as error:
                    raise BadInput(f"Image {number} can't be read: {error}") from error
            said.append(self.predict_embeddings(encoder.encode(np.stack(pixels))))
        return np.concatenate(said)

    def predict_embeddings(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Embeddings (n, width) as `encoder` makes them → predictions (n,); raises `BadInput` for
        another width.
        """
        width = self._head.features
        if embeddings.ndim != 2 or embeddings.shape[1] != width:
            raise BadInput(
                f"{self.name} reads embeddings (n, {width}) by {self.encoder}, and these have the "
                f"shape {embeddings.shape}; use that encoder's."
            )
        return np.asarray(self._head.predict_all(embeddings))

    def _loaded(self) -> Encoder:
        if self._encoder is None:
            self._encoder = load_encoder(self.encoder)
        return self._encoder

    def __repr__(self) -> str:
        return f"Predictor({self.name!r}, encoder={self.encoder!r})"


def _listed(paths: Paths) -> list[Path]:
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    return [Path(path).expanduser() for path in several]


def _statements(
    scores: pd.DataFrame | Mapping[Any, float],
) -> list[tuple[str | int, float, str | None]]:
    """(path or id, score, scorer) of each that has a score."""
    if not isinstance(scores, pd.DataFrame):
        pairs = [(named, value, None) for named, value in scores.items()]
    else:
        frame = scores.reset_index() if scores.index.name == ID else scores
        named = PATH if PATH in frame and ID not in frame else ID
        if SCORE not in frame or named not in frame:
            raise BadInput(
                f"The frame has the columns {', '.join(map(str, frame.columns))}; it needs score, "
                "and path or id."
            )
        who = frame[SCORER] if SCORER in frame else [None] * len(frame)
        pairs = list(zip(frame[named], frame[SCORE], who, strict=True))
    return [(named, value, _text(who)) for named, value, who in pairs if not pd.isna(value)]


def _text(value: Any) -> str | None:
    return None if value is None or pd.isna(value) or not str(value) else str(value)


def _figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """A version's figures with the bounds of their intervals, as NAME, NAME_low and NAME_high."""
    found: dict[str, float] = {}
    for name, figure in metrics.items():
        if isinstance(figure, Mapping) and figure.get("value") is not None:
            found[name] = figure["value"]
            found |= {f"{name}_{end}": figure[end] for end in ("low", "high") if end in figure}
    return found
