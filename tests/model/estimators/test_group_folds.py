"""Protects honest figures: what belongs together never crosses a fold, and folds are alike."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.estimators.group_folds import connected_groups, group_folds

PLAIN = 0x0F0F0F0F0F0F0F0F


def test_names_looks_and_embeddings_join_in_chains() -> None:
    names = ["a", None, "a", None, None, None]
    hashes = np.array(
        [PLAIN, PLAIN << 4, 0xAAAAAAAAAAAAAAAA, 0xAAAAAAAAAAAAAAAB, 0, 0], dtype=np.uint64
    )
    embeddings = np.eye(6, dtype=np.float32)
    embeddings[4] = 3 * embeddings[3] + 0.3 * embeddings[4]
    groups = connected_groups(6, names, hashes, embeddings)
    # 0–2 by name, 2–3 by look, 3–4 by embedding: one chain. 1 and 5 (without a hash) are alone.
    assert len({groups[row] for row in (0, 2, 3, 4)}) == 1
    assert len({groups[0], groups[1], groups[5]}) == 3


def test_hashes_join_up_to_four_bits_and_no_further() -> None:
    hashes = np.array([PLAIN, PLAIN ^ 0b1111, PLAIN ^ (0b11111 << 32)], dtype=np.uint64)
    groups = connected_groups(3, hashes=hashes)
    assert groups[0] == groups[1] != groups[2]


def test_nearly_plain_pictures_are_not_alike_by_their_hash() -> None:
    hashes = np.array([0, 0, 1, 2**64 - 1, 2**64 - 2], dtype=np.uint64)
    assert len(set(connected_groups(5, hashes=hashes).tolist())) == 5


def test_embeddings_that_all_point_one_way_are_not_all_alike() -> None:
    draw = np.random.default_rng(0)
    embeddings = (100 + draw.normal(size=(50, 32))).astype(np.float32)
    embeddings[7] = 2 * embeddings[6] + 0.01
    groups = connected_groups(50, embeddings=embeddings)
    assert groups[6] == groups[7]
    assert len(np.unique(groups)) == 49


def test_more_rows_than_one_part_are_all_compared() -> None:
    embeddings = np.random.default_rng(0).normal(size=(1500, 16)).astype(np.float32)
    embeddings[1400] = embeddings[3] * 2
    groups = connected_groups(1500, embeddings=embeddings)
    assert groups[1400] == groups[3]
    assert len(np.unique(groups)) == 1499


@given(
    st.lists(st.tuples(st.integers(0, 10), st.integers(0, 12)), min_size=1, max_size=60),
    st.integers(2, 6),
)
def test_every_image_has_one_fold_and_groups_stay_whole(
    images: list[tuple[int, int]], folds: int
) -> None:
    scores = np.array([score for score, _ in images], dtype=np.float64)
    groups = np.array([group for _, group in images])
    found = group_folds(scores, groups, folds)
    count = min(folds, len(np.unique(groups)))
    assert set(found.tolist()) == set(range(count))
    for group in np.unique(groups):
        assert len(np.unique(found[groups == group])) == 1


def test_folds_are_alike_in_scores_and_size() -> None:
    scores = np.repeat([0.0, 5.0, 10.0], [70, 20, 10])
    folds = group_folds(scores, np.arange(100), 5)
    for fold in range(5):
        inside = scores[folds == fold]
        assert [(inside == value).sum() for value in (0, 5, 10)] == [14, 4, 2]


def test_the_seed_decides() -> None:
    scores, groups = np.arange(40) % 11.0, np.arange(40)
    same = [group_folds(scores, groups, seed=seed).tolist() for seed in (1, 1, 2)]
    assert same[0] == same[1] != same[2]


def test_few_that_pass_are_spread_evenly_whatever_their_scores() -> None:
    for seed in range(40):
        draw = np.random.default_rng(seed)
        scores = np.concatenate([draw.permutation(np.arange(5.0, 11))[:5], draw.integers(0, 5, 55)])
        folds = group_folds(scores, np.arange(60), 5, seed, threshold=0.5)
        assert np.bincount(folds[scores >= 5], minlength=5).tolist() == [1] * 5
        assert np.ptp(np.bincount(folds)) <= 1
