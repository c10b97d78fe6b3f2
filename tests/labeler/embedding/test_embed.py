"""Protects that every image gets its own embedding, whatever befalls the files or the run.

The encoder handed in here embeds a picture as its mean colour, and each picture has a colour of its
own, so a vector on the wrong image shows.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import db.images.embeddings
import db.images.locations
import db.images.lookup
import db.versions.predictions
import db.versions.registry
from db.errors import StoreError
from db.records import NewVersion, Version
from labeler.collection.importing import import_paths
from labeler.core.errors import Stopped
from labeler.core.progress import Pace
from labeler.core.project import Project
from labeler.embedding.embed import embed
from labeler.versions.activate import predict_active
from labeler.versions.model_files import second_opinion_path
from model.estimators import kernel_ordinal
from model.heads.head import Head
from model.heads.head_files import save_head


class MeanColour:
    """Width 4: red, green, blue of the mean colour, and 1."""

    identity = "mean-colour"
    width = 4
    normalised = False

    def __init__(self, scale: float = 1.0) -> None:
        self.preprocessing = {"scale": scale}
        self.batches: list[int] = []

    def prepare(self, image):
        return np.asarray(image, dtype=np.float32).mean(axis=(0, 1))  # (3,)

    def encode(self, batch):
        self.batches.append(len(batch))
        return np.concatenate([batch, np.ones((len(batch), 1))], axis=1).astype(np.float32)


def colour(number: int) -> tuple[int, int, int]:
    return 10 + 3 * number, 250 - 5 * number, (number * 37) % 200


def draw(folder: Path, numbers: range) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in numbers]
    for number, path in zip(numbers, paths, strict=True):
        Image.new("RGB", (20 + number, 16), colour(number)).save(path)
    return paths


@pytest.fixture
def project(tmp_path):
    opened = Project.create(tmp_path / "project", encoder="lite")
    yield opened
    opened.close()


@pytest.fixture
def paths(project, tmp_path) -> list[Path]:
    drawn = draw(tmp_path / "pictures", range(10))
    import_paths(project, [tmp_path / "pictures"], workers=1)
    return drawn


def stored(project: Project) -> dict[str, list[int]]:
    """File name → the colour in its embedding."""
    record = db.images.embeddings.encoder(project.store, MeanColour.identity)
    ids, vectors = db.images.embeddings.get(
        project.store, record.id, sorted(db.images.locations.ids_by_path(project.store).values())
    )
    found = db.images.lookup.by_ids(project.store, [int(image_id) for image_id in ids])
    return {
        Path(image.path).name: np.rint(vector[:3]).astype(int).tolist()
        for image, vector in zip(found, vectors, strict=True)
    }


def expected(paths: list[Path]) -> dict[str, list[int]]:
    return {path.name: list(colour(int(path.stem))) for path in paths}


def test_every_image_gets_its_own_embedding(project, paths):
    summary = embed(project, encoder=MeanColour(), batch_size=3)
    assert stored(project) == expected(paths)
    assert (summary.embedded, summary.already, summary.failed) == (10, 0, [])
    assert summary.rate > 0


def test_a_file_that_cannot_be_read_shifts_nothing(project, paths):
    """The bad ones stand first, in the middle of a batch, and last."""
    bad = [paths[0], paths[4], paths[9]]
    content = paths[4].read_bytes()
    for path in bad:
        status = path.stat()
        path.write_bytes(b"\0" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    summary = embed(project, encoder=MeanColour(), batch_size=4)
    fine = [path for path in paths if path not in bad]
    assert stored(project) == expected(fine)
    assert [Path(path) for path, _ in summary.failed] == bad
    assert all(reason for _, reason in summary.failed)
    assert summary.embedded == 7
    paths[4].write_bytes(content)
    import_paths(project, [paths[4].parent], workers=1)
    assert embed(project, encoder=MeanColour()).embedded == 1


def test_a_deleted_file_is_told_and_the_rest_goes_on(project, paths):
    paths[5].unlink()
    summary = embed(project, encoder=MeanColour())
    assert [Path(path) for path, _ in summary.failed] == [paths[5]]
    assert stored(project) == expected(paths[:5] + paths[6:])


def test_another_picture_under_an_old_path_is_not_taken_for_the_imported_one(project, paths):
    Image.new("RGB", (90, 90), (1, 2, 3)).save(paths[2])
    summary = embed(project, encoder=MeanColour())
    assert [(Path(path), "import it again" in why) for path, why in summary.failed] == [
        (paths[2], True)
    ]
    assert paths[2].name not in stored(project)


def test_a_second_run_takes_only_what_is_new(project, paths):
    embed(project, encoder=MeanColour())
    draw(paths[0].parent, range(10, 13))
    import_paths(project, [paths[0].parent], workers=1)
    encoder = MeanColour()
    summary = embed(project, encoder=encoder)
    assert (summary.embedded, summary.already, encoder.batches) == (3, 10, [3])
    assert embed(project, encoder=encoder).embedded == 0
    assert encoder.batches == [3]


def test_only_the_ids_asked_for(project, paths):
    ids = db.images.locations.ids_by_path(project.store)
    chosen = [ids[str(path)] for path in paths[2:5]]
    embed(project, encoder=MeanColour(), only=chosen[:1])
    summary = embed(project, encoder=MeanColour(), only=chosen)
    assert (summary.embedded, summary.already) == (2, 1)
    assert stored(project) == expected(paths[2:5])
    assert embed(project, encoder=MeanColour(), only=[]).embedded == 0


@pytest.mark.parametrize("stop", [Stopped, KeyboardInterrupt])
def test_stopping_keeps_the_batches_that_were_finished(project, paths, stop):
    def stop_after_the_second_batch(done: int, total: int, what: str) -> None:
        if done >= 6:
            raise stop

    with pytest.raises(stop):
        embed(project, encoder=MeanColour(), batch_size=3, progress=stop_after_the_second_batch)
    assert stored(project) == expected(paths[:6])
    summary = embed(project, encoder=MeanColour(), batch_size=3)
    assert (summary.embedded, summary.already) == (4, 6)
    assert stored(project) == expected(paths)


def test_an_encoder_that_breaks_leaves_what_it_had_done(project, paths):
    class Breaking(MeanColour):
        def encode(self, batch):
            if (batch[:, 0] == colour(5)[0]).any():  # in the second batch, whenever its turn is
                raise MemoryError
            return super().encode(batch)

    with pytest.raises(MemoryError):
        embed(project, encoder=Breaking(), batch_size=4)
    assert stored(project) == expected(paths[:4])


def test_progress_counts_every_image_readable_or_not(project, paths):
    paths[1].unlink()
    told = []
    embed(
        project,
        encoder=MeanColour(),
        batch_size=4,
        progress=lambda done, total, what: told.append((done, total, what)),
    )
    assert told == [(done, 10, "embedding") for done in (0, 4, 8, 10)]


def test_an_encoder_that_changed_under_its_name_mixes_with_nothing(project, paths):
    embed(project, encoder=MeanColour(), only=[1, 2])
    with pytest.raises(StoreError, match="mean-colour"):
        embed(project, encoder=MeanColour(scale=2.0))
    assert len(stored(project)) == 2


def test_nothing_to_do_loads_no_encoder(tmp_path):
    """The weights of this one are not there, and nobody asks for them."""
    project = Project.create(tmp_path / "project", encoder=f"open_clip:RN50/{tmp_path}/gone.pt")
    summary = embed(project)
    assert (summary.embedded, summary.already, summary.failed, summary.rate) == (0, 0, [], 0.0)
    project.close()


def add_version(project: Project) -> Version:
    """An active version with an untrained head for the colours."""
    ids = np.array(sorted(db.images.locations.ids_by_path(project.store).values()))
    values = np.arange(len(ids)) % 11.0
    head = project.models / "v1.0.safetensors"
    save_head(head, Head(MeanColour.width, hidden=8), name="colours", rev="v1.0")
    colours = np.random.default_rng(2).normal(100, 50, (len(ids), MeanColour.width))
    kernel_ordinal.fit(colours.astype(np.float32), values).save(second_opinion_path(head))
    new = NewVersion("v1.0", None, MeanColour.identity, "quick", 0.5, head.name, ids, values)
    return db.versions.registry.add(project.store, new)


def test_the_active_version_predicts_the_new_images(project, paths):
    embed(project, encoder=MeanColour(), only=[1, 2])
    version = add_version(project)
    embed(project, encoder=MeanColour())
    predict_active(project)
    predictions = db.versions.predictions.predictions(project.store, version.id)
    assert sorted(predictions.image_ids) == sorted(
        db.images.locations.ids_by_path(project.store).values()
    )
    assert ((predictions.scores >= 0) & (predictions.scores <= 1)).all()


def test_a_version_predicts_nothing_of_another_encoder(project, paths):
    embed(project, encoder=MeanColour(), only=[1, 2])
    version = add_version(project)

    class Other(MeanColour):
        identity = "other"

    assert embed(project, encoder=Other()).embedded == 10
    predict_active(project)
    predictions = db.versions.predictions.predictions(project.store, version.id)
    assert sorted(predictions.image_ids) == [1, 2]


def test_the_rate_and_the_time_left_are_the_true_ones(project, tmp_path):
    """A slow encoder on a made-up clock: a second an image, first a minute to get ready."""
    draw(tmp_path / "pictures", range(60))
    import_paths(project, [tmp_path / "pictures"], workers=1)
    clock, began, end, pace, told = [60.0], 60.0, 120.0, Pace(), []

    class Slow(MeanColour):
        def encode(self, batch):
            clock[0] += len(batch)
            return super().encode(batch)

    def progress(done: int, total: int, what: str) -> None:
        pace.seen(done, what, clock[0] if done else 0.0)
        told.append((clock[0], done, pace.left(total)))

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        embed(project, encoder=Slow(), batch_size=4, progress=progress)
    finally:
        torch.set_num_threads(before)
    assert (clock[0], told[-1][1:]) == (end, (60, 0.0))
    for now, done, left in told:
        assert now - began - 12 <= done <= now - began  # two batches may wait, one is computed
        if done >= 30:
            assert left == pytest.approx(end - now, abs=12)
