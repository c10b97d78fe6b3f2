"""For notebooks and scripts: `from labeler import Project, Predictor`; pandas frames in and out.

Each method does in this process what the command of the same name does. An error that the user can
correct raises `LabelerError`, with a sentence that names the object and the next step.
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
import db.scores.random_sample
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
from labeler.versions.evaluation.figures import headline, on_chosen_images
from model.encoders.load import load_encoder
from model.encoders.names import canonical
from model.images.formats import orientation
from model.images.pixels import flatten, upright
from model.passing import passes

if TYPE_CHECKING:
    from PIL import Image

    from labeler.exports.datasets.rows import Row
    from model.encoders.encoder import Encoder

PathLike = str | os.PathLike[str]
Paths = PathLike | Iterable[PathLike]
PATH, ID, SCORE, SCORER = "path", "id", "score", "scorer"
BATCH = 32  # images that are encoded at a time


class Project:
    """An open project folder; `with Project(folder) as project:` closes it.

    >>> project = Project("~/taste")
    >>> project.images().query("score >= 8").path
    """

    def __init__(self, folder: PathLike) -> None:
        self._project = folders.Project.open(Path(folder).expanduser())

    @classmethod
    def create(cls, folder: PathLike, encoder: str = folders.DEFAULT_ENCODER) -> Project:
        """Create an empty project in `folder`, as `labeler init` does, and open it."""
        folders.Project.create(Path(folder), encoder).close()
        return cls(folder)

    @property
    def folder(self) -> Path:
        """Return the project's folder, an absolute path."""
        return self._project.folder

    @property
    def encoder(self) -> str:
        """Return the canonical name of the encoder whose embeddings the heads are trained on."""
        return self._project.encoder

    @property
    def threshold(self) -> float:
        """Return the smallest prediction, in (0, 1), with which an image passes."""
        return self._project.threshold

    def images(self) -> pd.DataFrame:
        """Return one row for each image that was readable at least once, with `id` as index.

        The columns are those of `labeler export dataset`: path, score (the effective hand score,
        0–10, NaN where unscored), prediction (0–1, in-sample for the images that the version was
        trained on), out_of_fold_prediction (0–1, of scored images, by a head that was not trained
        on their scores: use it to judge the model), version, source, group, tags, split and more.
        """
        rows = self._rows()
        index = pd.Index([row.image.id for row in rows], name=ID, dtype="int64")
        frame = pd.DataFrame([row.cells() for row in rows], index=index, columns=list(COLUMNS))
        numbers = [name for name, kind in COLUMNS.items() if kind is float]
        return frame.astype(dict.fromkeys(numbers, "float64"))

    def history(self) -> pd.DataFrame:
        """Return every hand score, undone ones included, oldest first within each image.

        The columns are id, path and those of the history export: scorer, score, at, why …
        """
        rows = [
            [row.image.id, row.image.path, *event_cells(one)]
            for row in self._rows()
            for one in row.history
        ]
        return pd.DataFrame(rows, columns=[ID, PATH, *HISTORY])

    def versions(self) -> pd.DataFrame:
        """Return one row for each version, oldest first, with `name` as index.

        The metrics are those by images drawn at random, on which `basis` says more (see
        `labeler.versions.evaluation.random_draws`); those named `chosen_…` are on all scored
        images, most of them chosen, each predicted without having been seen.
        """
        sample = db.scores.random_sample.random_sample(self._project.store)
        versions = db.versions.registry.history(self._project.store)
        judged = [headline(self._project, version, sample) for version in versions]
        chosen_figures = [on_chosen_images(self._project, version) for version in versions]
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
                "basis": of_draws.basis,
                "draws": of_draws.judged,
                **_figures(of_draws.metrics),
                **{f"chosen_{name}": value for name, value in _figures(chosen.metrics).items()},
            }
            for version, of_draws, chosen in zip(versions, judged, chosen_figures, strict=True)
        ]
        columns = ["name", "active", "recipe", "encoder", "threshold", "scored", "note"]
        more = ["created_at", "basis", "draws"]
        frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*columns, *more])
        return frame.set_index("name")

    def add_images(self, paths: Paths, source: str | None = None) -> pd.Series:
        """Import folders or files, as `labeler import` does; return the numbers by outcome."""
        result = import_paths(self._project, _listed(paths), source=source)
        fields = (
            *("found", "new", "known", "rewritten", "turned", "duplicates", "moved", "changed"),
            *("replaced", "missing", "tagged"),
        )
        counts = {name: getattr(result, name) for name in fields}
        counts["unreadable"] = len(result.unreadable)
        return pd.Series(counts, name="images")

    def score(
        self, scores: pd.DataFrame | Mapping[Any, float], scorer: str | None = None
    ) -> pd.DataFrame:
        """Record hand scores (0–10), all of them or none.

        `scores` is a frame with a column `score`, a column `path` or `id` (or an index named `id`)
        and optionally a column `scorer`; or it maps paths or ids to scores. NaN is skipped.
        Returns the columns id, score and before (float64, the previous score, NaN where unscored).
        Raises `BadInput` for an image that isn't in the project and for a score outside the scale,
        `LabelerError` where the store refuses a score.
        """
        events, before = [], []
        for path_or_id, score, row_scorer in _statements(scores):
            image = find_image(self._project, str(path_or_id))
            value = read_score(str(score))
            now = datetime.now(UTC)
            scorer_name = clean_name(row_scorer) or clean_name(scorer) or account_name()
            event_id = f"notebook-{uuid.uuid4().hex}"
            events.append(Event(event_id, "score", image.id, now, value=value, scorer=scorer_name))
            before.append(image.hand_score)
        receipts = db.scores.events.record(self._project.store, events)
        refused = [receipt.problem for receipt in receipts if not receipt.accepted]
        if refused:
            raise LabelerError(f"{len(refused)} scores were not taken: {refused[0]}")
        accepted = {
            ID: [event.image_id for event in events],
            SCORE: [event.value for event in events],
            "before": pd.array(before, dtype="Float64").to_numpy(float, na_value=np.nan),
        }
        return pd.DataFrame(accepted)

    def embed(self) -> int:
        """Compute the missing embeddings, as `labeler embed` does; return how many."""
        embedded = embed(self._project).embedded
        predict_active(self._project)
        return embedded

    def train(self, note: str = "", recipe: str = "quick") -> pd.Series:
        """Train and activate a version, as `labeler train` does; return its row of `versions`."""
        # Imported where they are used: opening a project does without torch.
        from labeler.versions.train import train

        version = train(self._project, recipe=recipe, note=note)
        return self.versions().T[version.name]

    def predictor(self, version: str | None = None) -> Predictor:
        """Return the head of a version (default: the active one) with its encoder.

        Raises `BadInput` for an unknown version.
        """
        from labeler.versions.inference import load_version

        record = version_named(self._project, version)
        head = load_version(self._project, record).head
        return Predictor(head, record.encoder, record.name, record.threshold)

    def _rows(self) -> list[Row]:
        return list(dataset_of(self._project, Plan(scored_only=False)).rows())

    def close(self) -> None:
        """Close the store; the object can't be used afterwards."""
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
    """A head and the encoder whose embeddings it takes; predictions are 0–1, higher is better.

    Made by `Project.predictor`, or by `Predictor.load` from the files that `labeler export model`
    writes. The encoder is loaded at the first image.
    """

    def __init__(self, head: Any, encoder: str, name: str, threshold: float) -> None:
        self._head = head
        self._encoder: Encoder | None = None
        self.encoder, self.name, self.threshold = encoder, name, threshold

    @classmethod
    def load(cls, file: PathLike, encoder: str | None = None) -> Predictor:
        """Load a head from its .safetensors file and the .config.json beside it.

        `encoder` names the encoder if the files don't, as files of other programs don't. Raises
        `BadInput` if neither names one, `ModelError` for a file that is no head.
        """
        from model.heads.head_files import load_head
        from model.heads.inference import BatchPredictor

        path = Path(file).expanduser()
        loaded = load_head(path)
        identity = encoder or loaded.metadata.get("encoder")
        if not identity:
            raise BadInput(
                f"{path.name} doesn't say whose embeddings it reads; name the encoder, such as "
                'Predictor.load(file, encoder="clip-l14-336").'
            )
        threshold = loaded.metadata.get("threshold")
        if type(threshold) is not float or not 0 < threshold < 1:
            threshold = DEFAULT_THRESHOLD
        return cls(BatchPredictor(loaded.head), canonical(str(identity)), path.stem, threshold)

    def predict(self, paths: Paths) -> pd.DataFrame:
        """Predict every image in `paths` (files, and folders recursively), highest first.

        Returns the columns path, prediction (float64, 0–1), passes (bool) and problem (the reason
        why a file can't be read; its prediction is NaN).
        """

        discovered = [find_images(path) for path in _listed(paths)]
        files = {file.path: file.problem for each in discovered for file in each.files}
        results: dict[str, tuple[float, str | None]] = {
            path: (np.nan, why) for path, why in files.items() if why
        }
        results |= {path: (np.nan, why) for each in discovered for path, why in each.closed}
        readable = [path for path, why in files.items() if not why]
        encoder = self._loaded()
        with closing(
            encoded(encoder, readable, lambda path: prepare_file(encoder, path), BATCH_SIZE)
        ) as batches:
            for batch in batches:
                predictions = self._head(batch.vectors).tolist() if batch.items else []
                results |= {
                    path: (one, None) for path, one in zip(batch.items, predictions, strict=True)
                }
                results |= {path: (np.nan, why) for path, why in batch.failed}
        frame = pd.DataFrame(
            {
                PATH: list(results),
                "prediction": np.array([one for one, _ in results.values()], dtype=np.float64),
                "problem": pd.array([why for _, why in results.values()], dtype="string"),
            }
        )
        frame.insert(2, "passes", passes(frame["prediction"].to_numpy(), self.threshold))
        return frame.sort_values(["prediction", PATH], ascending=[False, True], ignore_index=True)

    def predict_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Predict Pillow images: returns (N,) float32, 0–1, in their order.

        Raises `BadInput` for an image that can't be decoded.
        """
        encoder = self._loaded()
        parts = [np.zeros(0, dtype=np.float32)]
        for start in range(0, len(images), BATCH):
            pixels = []
            for number, image in enumerate(images[start : start + BATCH], start):
                try:
                    pixels.append(encoder.prepare(upright(flatten(image), orientation(image))))
                except (OSError, SyntaxError, ValueError) as error:
                    raise BadInput(f"Image {number} can't be read: {error}") from error
            parts.append(self.predict_embeddings(encoder.encode(np.stack(pixels))))
        return np.concatenate(parts)

    def predict_embeddings(self, embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
        """Predict embeddings (N, width) of `encoder`: returns (N,) float32, 0–1.

        Raises `BadInput` for another width, and for values that are not finite.
        """
        width = self._head.features
        if embeddings.ndim != 2 or embeddings.shape[1] != width:
            raise BadInput(
                f"{self.name} reads embeddings (n, {width}) by {self.encoder}, and these have the "
                f"shape {embeddings.shape}; use that encoder's."
            )
        finite = np.isfinite(embeddings).all(axis=1)
        if not finite.all():
            raise BadInput(
                f"The embedding in row {int(np.argmin(finite))} holds NaN or infinity; embed that "
                "image again, or leave the row out."
            )
        return np.asarray(self._head.predict_all(embeddings))

    def _loaded(self) -> Encoder:
        if self._encoder is None:
            self._encoder = load_encoder(self.encoder)
        return self._encoder

    def __repr__(self) -> str:
        return f"Predictor({self.name!r}, encoder={self.encoder!r})"


def _listed(paths: Paths) -> list[Path]:
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    return [Path(path).expanduser() for path in given]


def _statements(
    scores: pd.DataFrame | Mapping[Any, float],
) -> list[tuple[str | int, float, str | None]]:
    """Return (path or id, score, scorer) of each image whose score is not NaN."""
    if not isinstance(scores, pd.DataFrame):
        statements = [(key, value, None) for key, value in scores.items()]
    else:
        frame = scores.reset_index() if scores.index.name == ID else scores
        key = PATH if PATH in frame and ID not in frame else ID
        if SCORE not in frame or key not in frame:
            raise BadInput(
                f"The frame has the columns {', '.join(map(str, frame.columns))}; it needs score, "
                "and path or id."
            )
        scorers = frame[SCORER] if SCORER in frame else [None] * len(frame)
        statements = list(zip(frame[key], frame[SCORE], scorers, strict=True))
    return [(key, value, _text(scorer)) for key, value, scorer in statements if not pd.isna(value)]


def _text(value: Any) -> str | None:
    return None if value is None or pd.isna(value) or not str(value) else str(value)


def _figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return a version's metrics and their interval bounds as NAME, NAME_low and NAME_high."""
    result: dict[str, float] = {}
    for name, figure in metrics.items():
        if isinstance(figure, Mapping) and figure.get("value") is not None:
            result[name] = figure["value"]
            result |= {f"{name}_{end}": figure[end] for end in ("low", "high") if end in figure}
    return result
