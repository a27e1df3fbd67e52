"""Permutations of the integers below a number."""

import numpy as np
import pytest

from models.permutation import permute


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1_000, 4_097])
def test_every_rank_has_its_own_image_below_the_size(size: int) -> None:
    images = permute(np.arange(size, dtype=np.uint64), size, 7)
    assert sorted(images.tolist()) == list(range(size))


def test_different_keys_give_different_permutations() -> None:
    ranks = np.arange(1_000, dtype=np.uint64)
    same = permute(ranks, 10**15, 1) == permute(ranks, 10**15, 2)
    assert same.sum() == 0
