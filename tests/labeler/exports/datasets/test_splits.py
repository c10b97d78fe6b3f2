"""Protects the splits: seeded, alike in every export, families whole, and none moved by others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import db.images.embeddings
import db.images.lookup
from labeler.collection.arrays import images_now
from labeler.collection.importing import import_paths
from labeler.core.errors import BadInput
from labeler.core.project import Project
from labeler.exports.datasets.plan import Plan
from labeler.exports.datasets.rows import dataset_of
from labeler.exports.datasets.split_groups import split_groups
from labeler.exports.datasets.splits import SPLITS, SplitShares, read_shares, splits_of
from model.estimators.near_duplicates import linking_pairs
from tests.support.exported import embed, image_ids, make_exported, score
from tests.support.pictures import make_jpeg

THIRDS = Plan(split="34:33:33")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = make_exported(tmp_path)
    yield project
    project.close()


def splits(project: Project, plan: Plan = THIRDS) -> dict[int, str]:
    dataset = dataset_of(project, plan)
    return dict(zip(dataset.ids.tolist(), dataset.splits_of(dataset.ids), strict=True))


def test_shares_are_kept_on_many_keys_and_a_seed_draws_anew() -> None:
    keys = [f"key {number}" for number in range(20_000)]
    drawn = splits_of(keys, SplitShares(), seed=0)
    assert np.allclose(np.bincount(drawn) / len(keys), [0.8, 0.1, 0.1], atol=0.01)
    assert (splits_of(keys, SplitShares(), seed=0) == drawn).all()
    other = splits_of(keys, SplitShares(), seed=1)
    assert 0.6 < (other == drawn).mean() < 0.72  # 0.8² + 0.1² + 0.1² by chance


@pytest.mark.parametrize(
    ("text", "told"),
    [("80:10:10", "80:10:10"), ("8:1:1", "80:10:10"), ("90:10", "90:0:10"), ("1:0:0", "100:0:0")],
)
def test_shares_are_read_as_people_write_them(text: str, told: str) -> None:
    assert str(read_shares(text)) == told


@pytest.mark.parametrize("text", ["", "80", "a:b:c", "-1:1:1", "0:0:0", "nan:1:1", "1:2:3:4"])
def test_shares_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"80:10:10"):
        read_shares(text)


def test_a_share_of_nothing_stays_empty() -> None:
    keys = [f"key {number}" for number in range(5000)]
    assert set(splits_of(keys, read_shares("80:20:0"), 3).tolist()) == {0, 1}
    assert set(splits_of(keys, read_shares("0:0:1"), 3).tolist()) == {2}


def test_an_image_is_in_the_same_split_in_every_export(project: Project) -> None:
    everything = splits(project)
    scored = splits(project, Plan(split=THIRDS.split, scored_only=True))
    assert set(everything.values()) == set(SPLITS)
    assert scored.items() <= everything.items()
    assert splits(project, Plan(split=THIRDS.split, seed=7)) != everything


def test_images_that_come_later_move_no_others(project: Project, tmp_path: Path) -> None:
    before = splits(project)
    for number in range(12):
        make_jpeg(tmp_path / "later" / f"{number}.jpg", 500 + number)
    import_paths(project, [tmp_path / "later"], workers=1)
    embed(project, image_ids(project))
    score(project, [(image_ids(project)[30], 5)], "ann")
    after = splits(project)
    assert len(after) == len(before) + 12
    assert before.items() <= after.items()


def test_a_group_and_near_duplicates_stay_together(project: Project, tmp_path: Path) -> None:
    ids = image_ids(project)
    again = tmp_path / "again"
    again.mkdir()
    for number in range(8):  # the same pictures, encoded once more
        picture = Image.open(tmp_path / "a" / f"{number:03}.jpg")
        picture.save(again / f"{number}.jpg", quality=60)
    import_paths(project, [again], workers=1)
    twins = [each for each in image_ids(project) if each not in ids]
    drawn = splits(project)
    originals = {
        Path(image.path).name: image.id
        for image in db.images.lookup.by_ids(project.store, ids[:20])
    }
    for image in db.images.lookup.by_ids(project.store, twins):
        original = originals[f"00{Path(image.path).stem}.jpg"]
        assert drawn[image.id] == drawn[original]
    for seed in range(5):
        of = splits(project, Plan(split=THIRDS.split, seed=seed))
        assert of[ids[0]] == of[ids[9]]


def test_embeddings_that_are_nearly_equal_join_a_family(project: Project) -> None:
    ids = image_ids(project)
    vectors = embed(project, ids)
    vectors[20] = vectors[4] * 1.5 + 0.01
    known = db.images.embeddings.encoder(project.store, project.encoder)
    db.images.embeddings.put(project.store, known.id, np.array(ids), vectors)
    oldest = split_groups(project, images_now(project))
    assert (oldest[20], oldest[4], oldest[9], oldest[0]) == (4, 4, 0, 0)
    assert len(np.unique(oldest)) == len(ids) - 2


def test_hashes_are_found_near_as_if_all_were_compared() -> None:
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 1 << 64, 300, dtype=np.uint64)
    for row in range(100):  # from 0 to 9 bits away from another
        flipped = generator.choice(64, row % 10, replace=False).astype(np.uint64)
        hashes[200 + row] = hashes[row] ^ np.bitwise_or.reduce(
            np.uint64(1) << flipped, initial=np.uint64(0)
        )
    hashes[:3] = 0, 1, np.uint64((1 << 64) - 1)  # nearly plain: near to nothing
    found = {tuple(sorted(pair)) for pair in linking_pairs(hashes).tolist()}
    bits = np.bitwise_count(hashes)
    telling = (bits >= 6) & (bits <= 58)
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    near = {
        (a, b)
        for a, b in zip(*np.nonzero(apart <= 4), strict=True)
        if a < b and telling[a] and telling[b]
    }
    assert {pair for pair in found if pair[0] != pair[1]} == near
