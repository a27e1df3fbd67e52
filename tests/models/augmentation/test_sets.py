"""The sets that a classifier learns from in turn."""

import numpy as np

from models.augmentation.sets import Made, Pool

REAL = np.array([0, 1, 0, 0, 1, 0])


def counts(pool: Pool, arm: str) -> list[int]:
    return np.bincount(pool.labels[pool.sets[arm]], minlength=2).tolist()  # type: ignore[index]


def test_every_set_has_the_real_items_and_all_are_of_one_size() -> None:
    pool = Pool.of(REAL, [Made(0, 0, True, True), Made(1, 2, True, True)])
    assert counts(pool, "real") == [4, 2]
    for arm in ("repeated", "classical", "gan", "both"):
        assert counts(pool, arm) == [4, 5]
        assert set(range(6)) <= set(pool.sets[arm].tolist())  # type: ignore[index]
    assert set(pool.sets["repeated"].tolist()) == set(range(6))
    assert (pool.classical, pool.gan) == ([0, 3], [0, 3])
    assert pool.sets["classical"].tolist() == list(range(9))
    assert pool.sets["gan"].tolist() == [*range(6), 9, 10, 11]
    assert pool.sets["both"].tolist() == [*range(6), 6, 9, 10]  # those of the new dataset


def test_a_source_that_a_label_cannot_have_leaves_it_as_it_is() -> None:
    pool = Pool.of(REAL, [Made(2, 0, True, False), Made(0, 3, False, True)])
    assert counts(pool, "classical") == [6, 2]
    assert counts(pool, "gan") == [4, 5]
    assert counts(pool, "both") == [6, 5]
    assert pool.largest == 11


def test_without_a_model_there_is_no_set_with_samples() -> None:
    pool = Pool.of(REAL, [Made(0, 0, True, False), Made(2, 0, True, False)])
    assert list(pool.sets) == ["real", "repeated", "classical"]
