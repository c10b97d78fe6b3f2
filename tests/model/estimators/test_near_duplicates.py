"""Which pictures count as the same: a hash alone joins nothing, a plain picture tells nothing."""

from __future__ import annotations

import numpy as np
import pytest

from model.estimators.near_duplicates import (
    CONFIRMED_HASH_BITS,
    HASH_BITS,
    Nearness,
    confirmed,
    linking_pairs,
    near_embeddings,
    near_hashes,
    near_pairs,
)

LOOK = 0x0F0F_3355_0F0F_3355
NEARNESS = Nearness(confirmed=0.5, same=0.2)


def hashes(*looks: int) -> np.ndarray:
    return np.array(looks, dtype=np.uint64)


def at(*degrees: float) -> np.ndarray:
    """Unit embeddings (n, 2) at these angles; their distance is 2 sin(half the angle between)."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def sorted_pairs(*blocks: np.ndarray) -> set[tuple[int, ...]]:
    """Pairs of different rows, the lower first."""
    pairs = np.concatenate(blocks).tolist()
    return {tuple(sorted(pair)) for pair in pairs if pair[0] != pair[1]}


def flipped(bits: int) -> int:
    return LOOK ^ ((1 << bits) - 1)


def test_hashes_are_near_up_to_the_bound_and_the_nearest_come_first() -> None:
    others = hashes(
        flipped(CONFIRMED_HASH_BITS), flipped(CONFIRMED_HASH_BITS + 1), flipped(1), flipped(0)
    )
    rows, columns = near_hashes(hashes(LOOK), others)
    assert rows.tolist() == [0, 0, 0]
    assert columns.tolist() == [3, 2, 0]


def test_the_hash_of_a_plain_picture_is_near_to_nothing() -> None:
    plain = hashes(0, 1, 2**64 - 1, 0b11111)
    assert len(near_hashes(plain, plain)[0]) == 0
    assert len(near_hashes(hashes(), hashes(LOOK))[0]) == 0
    assert len(near_hashes(hashes(LOOK), hashes())[0]) == 0


def test_many_hashes_are_compared_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = np.random.default_rng(1).integers(0, 2**63, 50, dtype=np.uint64)
    others = np.concatenate([looks ^ np.uint64(5), looks])
    whole = near_hashes(looks, others)
    monkeypatch.setattr("model.estimators.near_duplicates._FEW_ROWS", 7)
    monkeypatch.setattr("model.estimators.near_duplicates._COLUMNS", 9)
    for mine, expected in zip(near_hashes(looks, others), whole, strict=True):
        np.testing.assert_array_equal(mine, expected)
    assert whole[0].tolist() == np.repeat(np.arange(50), 2).tolist()


def test_a_bound_of_its_own_may_be_asked_for() -> None:
    others = hashes(flipped(HASH_BITS), flipped(HASH_BITS + 1))
    assert near_hashes(hashes(LOOK), others, HASH_BITS)[1].tolist() == [0]


def test_chains_of_near_hashes_are_found_without_comparing_all() -> None:
    looks = hashes(LOOK, flipped(HASH_BITS), LOOK, 0, LOOK ^ (0b11111 << 32), 0)
    assert sorted_pairs(linking_pairs(looks)) == {(0, 2), (0, 1)}
    assert linking_pairs(hashes()).shape == (0, 2)


def test_near_embeddings_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    units = at(0, 90, 20, 21, 91)
    distance = 2 * np.sin(np.radians(1))
    assert sorted_pairs(*near_embeddings(units, distance)) == {(1, 4), (2, 3)}
    monkeypatch.setattr("model.estimators.near_duplicates.BLOCK", 2)
    blocks = list(near_embeddings(units, distance))
    assert len(blocks) == 3
    assert sorted_pairs(*blocks) == {(1, 4), (2, 3)}


def test_embeddings_must_confirm_what_hashes_say() -> None:
    # 2 sin(14°) = 0.484, 2 sin(15°) = 0.518; nothing is known of an image without an embedding.
    nothing = np.zeros((1, 2), dtype=np.float32)
    others = np.concatenate([at(28, 30), nothing])
    assert confirmed(at(0, 0, 0), others, NEARNESS).tolist() == [True, False, False]


def test_pairs_need_a_near_hash_or_very_near_embeddings() -> None:
    looks = hashes(LOOK, flipped(2), flipped(30), flipped(30), 0)
    near = near_pairs(looks, at(0, 20, 8, 90, 91), NEARNESS)
    assert np.argwhere(np.triu(near)).tolist() == [[0, 1], [0, 2], [3, 4]]
    assert not near.diagonal().any()


def test_images_without_embeddings_are_no_near_duplicates() -> None:
    nothing = np.zeros((2, 2), dtype=np.float32)
    assert not near_pairs(hashes(LOOK, LOOK), nothing, NEARNESS).any()


def test_how_near_is_told_by_the_collection() -> None:
    # The median of the distances between 0°, 60° and 180° is 2 sin 60°.
    found = Nearness.among(at(0, 60, 180))
    assert found.confirmed == pytest.approx(0.35 * np.sqrt(3), abs=1e-6)
    assert found.same == pytest.approx(0.15 * np.sqrt(3), abs=1e-6)


def test_one_pair_is_told_as_many_are() -> None:
    cosine = float(np.cos(np.radians(20)))
    assert NEARNESS.same_picture(LOOK, flipped(2), cosine)
    assert not NEARNESS.same_picture(LOOK, flipped(20), cosine)
    assert not NEARNESS.same_picture(None, None, cosine)
    assert NEARNESS.same_picture(None, LOOK, 0.999)
