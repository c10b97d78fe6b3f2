"""The nearest embeddings are found through sketches, but exactly; and sketches heal themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import db.images.embeddings
from db.records import EncoderRecord
from db.store.store import Store
from labeler.core.errors import LabelerError
from labeler.core.project import Project
from labeler.embedding.nearest import cosine, nearest
from labeler.embedding.quantized_index import QuantizedFiles, quantize, quantized_files
from labeler.versions import browse
from tests.support.store_rows import add_images, new_store

WIDTH = 24
Found = tuple[list[int], list[float]]


class Scene:
    """Images with random embeddings, the store's own truth, and a way to ask."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.project = Project(folder, store)
        self.ids = add_images(store, 300)
        # The numbers of one encoder's embeddings have gaps where another's lie.
        self.other = db.images.embeddings.register_encoder(store, "other", 2, False, {})
        self.encoder = db.images.embeddings.register_encoder(store, "lite", WIDTH, False, {})
        self.draw = np.random.default_rng(5)
        self.vectors: dict[int, np.ndarray] = {}
        self.embed(self.ids[:200])

    def embed(self, ids: list[int], like: np.ndarray | None = None) -> None:
        new = self.draw.normal(size=(len(ids), WIDTH)).astype(np.float32)
        new = new if like is None else like + 0.01 * new
        store = self.project.store
        db.images.embeddings.put(
            store, self.other.id, ids, np.ones((len(ids), 2), dtype=np.float32)
        )
        db.images.embeddings.put(store, self.encoder.id, ids, new)
        self.vectors |= dict(zip(ids, new, strict=True))

    def truth(self, own: np.ndarray, limit: int, among: list[int] | None = None) -> Found:
        ids = np.array(sorted(self.vectors if among is None else among))
        cosines = cosine(np.stack([self.vectors[i] for i in ids.tolist()]), own)
        order = np.lexsort((ids, -cosines))[:limit]
        return ids[order].tolist(), cosines[order].tolist()

    def ask(self, image_id: int, limit: int, among: list[int] | None = None) -> Found:
        return nearest(self.project, self.encoder, self.vectors[image_id], limit, among)

    def is_right(self, image_id: int, limit: int = 9, among: list[int] | None = None) -> bool:
        found, cosines = self.ask(image_id, limit, among)
        ids, expected = self.truth(self.vectors[image_id], limit, among)
        return found == ids and np.allclose(cosines, expected, atol=1e-12)

    def reopened(self) -> Project:
        """The same project as another process has it: nothing of it is in memory."""
        self.project = Project(self.project.folder, Store(self.project.store.path))
        return self.project

    def files(self) -> list[str]:
        return sorted(path.name for path in self.project.sketches.iterdir())


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr("labeler.embedding.quantized_index.MOST", 64)
    monkeypatch.setattr("labeler.embedding.quantized_index._AT_ONCE", 25)
    monkeypatch.setattr("labeler.embedding.nearest._BLOCK", 10)
    monkeypatch.setattr("labeler.embedding.nearest._READ_AT_ONCE", 3)
    with new_store(tmp_path) as store:
        yield Scene(tmp_path, store)


def test_the_nearest_are_exactly_those_that_all_embeddings_tell(scene: Scene) -> None:
    assert all(scene.is_right(image_id) for image_id in scene.ids[:40])
    assert scene.is_right(scene.ids[0], limit=500)
    assert scene.is_right(scene.ids[0], limit=1)


def test_near_ties_that_no_sketch_can_tell_apart_are_in_order(scene: Scene) -> None:
    scene.embed(scene.ids[50:120], like=scene.vectors[scene.ids[3]])
    assert scene.is_right(scene.ids[3], limit=20)
    own = scene.vectors[scene.ids[3]]
    db.images.embeddings.put(
        scene.project.store, scene.encoder.id, scene.ids[9:12], np.stack([own] * 3)
    )
    scene.vectors |= dict.fromkeys(scene.ids[9:12], own)
    found, cosines = scene.ask(scene.ids[3], 4)
    assert found == [scene.ids[3], *scene.ids[9:12]]  # of equal ones the older first
    assert len(set(cosines)) == 1


def test_the_search_can_be_narrowed(scene: Scene) -> None:
    assert scene.is_right(scene.ids[7], among=scene.ids[20:150:3])
    assert scene.ask(scene.ids[7], 5, among=[scene.ids[4], 10**9]) == scene.truth(
        scene.vectors[scene.ids[7]], 5, among=[scene.ids[4]]
    )
    assert scene.ask(scene.ids[7], 5, among=[]) == ([], [])


def test_a_vector_of_zeros_has_cosine_zero(scene: Scene) -> None:
    zero = np.zeros((1, WIDTH), dtype=np.float32)
    db.images.embeddings.put(scene.project.store, scene.encoder.id, scene.ids[:1], zero)
    scene.vectors[scene.ids[0]] = zero[0]
    assert scene.is_right(scene.ids[5], limit=200)
    assert scene.ask(scene.ids[0], 2) == (scene.ids[:2], [0.0, 0.0])


def test_embeddings_that_are_added_or_replaced_are_found_at_once(scene: Scene) -> None:
    assert scene.is_right(scene.ids[0])
    scene.embed(scene.ids[200:290])
    assert scene.is_right(scene.ids[250])
    # Far from where its sketch was.
    scene.embed([scene.ids[30]], like=scene.vectors[scene.ids[250]])
    assert scene.is_right(scene.ids[250])
    assert scene.ids[30] in scene.ask(scene.ids[250], 2)[0]
    scene.embed([scene.ids[30]], like=-scene.vectors[scene.ids[250]])
    assert scene.ids[30] not in scene.ask(scene.ids[250], 250)[0]
    scene.reopened()
    assert scene.is_right(scene.ids[250])


def test_files_are_kept_and_only_the_last_is_made_longer(scene: Scene) -> None:
    scene.ask(scene.ids[0], 1)
    made = scene.files()
    assert len(made) == 4
    stamps = {name: (scene.project.sketches / name).stat().st_mtime_ns for name in made}
    scene.embed(scene.ids[200:210])
    scene.reopened()
    assert scene.is_right(scene.ids[205])
    kept = scene.files()
    assert len(kept) == 4
    assert kept[:3] == made[:3]
    again = {name: (scene.project.sketches / name).stat().st_mtime_ns for name in kept[:3]}
    assert again == {name: stamps[name] for name in kept[:3]}


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "harm",
    [cut_short, Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_text("x")],
    ids=["cut short", "gone", "empty", "something else"],
)
@pytest.mark.parametrize("which", [0, 2, 3])
def test_a_damaged_file_is_made_again(
    scene: Scene, harm: Callable[[Path], None], which: int
) -> None:
    scene.ask(scene.ids[0], 1)
    harm(sorted(scene.project.sketches.iterdir(), key=lambda path: path.stat().st_mtime_ns)[which])
    scene.reopened()
    assert scene.is_right(scene.ids[0])
    assert scene.is_right(scene.ids[190])


def test_what_a_crash_leaves_half_written_is_not_read(scene: Scene) -> None:
    scene.ask(scene.ids[0], 1)
    (scene.project.sketches / ".labeler-abc.part").write_bytes(b"half of it")
    (scene.project.sketches / f"{scene.encoder.id}-0-much.npy").write_bytes(b"not ours")
    scene.reopened()
    assert scene.is_right(scene.ids[0])


def test_sketches_of_another_store_are_thrown_away(scene: Scene) -> None:
    scene.embed(scene.ids[200:])
    scene.ask(scene.ids[0], 1)
    with scene.project.store.transaction() as session:
        session.connection().exec_driver_sql("DELETE FROM embeddings WHERE image_id > 150")
    for image_id in scene.ids[150:]:
        del scene.vectors[image_id]
    scene.reopened()
    assert scene.is_right(scene.ids[0])
    scene.embed(scene.ids[150:299])
    scene.reopened()
    assert scene.is_right(scene.ids[200])


def test_two_processes_that_sketch_at_once_agree(scene: Scene) -> None:
    one, other = (
        QuantizedFiles(Store(scene.project.store.path), scene.project.sketches, scene.encoder)
        for _ in range(2)
    )
    assert len(one.now()) == len(other.now()) == 200
    scene.embed(scene.ids[200:240])
    longer = one.now()
    scene.embed(scene.ids[240:250])
    assert len(other.now()) == 250
    assert len(one.now()) == 250
    # What was handed out before is still there to read.
    assert sum(int(part[-1].any()) for part in longer.parts) == len(longer.parts)
    scene.reopened()
    assert scene.is_right(scene.ids[245])


def test_an_encoder_without_embeddings_has_nothing_near(scene: Scene) -> None:
    empty = db.images.embeddings.register_encoder(scene.project.store, "third", WIDTH, False, {})
    own = np.ones(WIDTH, dtype=np.float32)
    assert nearest(scene.project, empty, own, 5) == ([], [])


def test_a_folder_that_takes_no_files_is_named(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.project.store.set_setting("encoder", "lite")
    scene.project.sketches.write_text("in the way")
    with pytest.raises(LabelerError, match="sketches"):
        browse.similar(scene.project, scene.ids[0])
    with pytest.raises(LabelerError, match="sketches"):
        browse.make_ready(scene.project)


def test_sketches_can_be_made_ahead(scene: Scene) -> None:
    browse.make_ready(scene.project)  # nothing to do: no encoder of that name is known
    assert not scene.project.sketches.exists()
    scene.project.store.set_setting("encoder", "lite")
    browse.make_ready(scene.project)
    assert len(scene.files()) == 4


def test_a_sketch_knows_how_wrong_it_is() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, WIDTH)).astype(np.float32)
    vectors[7] = 0
    records = quantize(np.arange(50), np.arange(50), vectors)
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    apart = np.linalg.norm(units - records["scale"][:, None] * records["codes"], axis=1)
    np.testing.assert_allclose(records["error"], apart, atol=1e-6)
    assert records["error"].max() < 0.02
    assert np.abs(records["codes"].astype(int)).max(axis=1)[[0, 7]].tolist() == [127, 0]


def test_one_project_has_one_reader(scene: Scene) -> None:
    again = EncoderRecord(scene.encoder.id, "lite", WIDTH, False, {"size": 1})
    assert quantized_files(scene.project, scene.encoder) is quantized_files(scene.project, again)
