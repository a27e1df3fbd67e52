"""Training sets of the classifiers that measure the lift."""

import numpy as np

from models.augmentation.training_sets import LabelCounts, TrainingPool

REAL = np.array([0, 1, 0, 0, 1, 0])


def count_labels(pool: TrainingPool, arm: str) -> list[int]:
    return np.bincount(pool.labels[pool.sets[arm]], minlength=2).tolist()  # type: ignore[index]


def test_every_set_contains_the_real_items_and_all_have_equal_size() -> None:
    pool = TrainingPool.build(REAL, [LabelCounts(0, 0, True, True), LabelCounts(1, 2, True, True)])
    assert count_labels(pool, "real") == [4, 2]
    for arm in ("oversampled", "transforms", "model", "combined"):
        assert count_labels(pool, arm) == [4, 5]
        assert set(range(6)) <= set(pool.sets[arm].tolist())  # type: ignore[index]
    assert set(pool.sets["oversampled"].tolist()) == set(range(6))
    assert (pool.transform_counts, pool.model_counts) == ([0, 3], [0, 3])
    assert pool.sets["transforms"].tolist() == list(range(9))
    assert pool.sets["model"].tolist() == [*range(6), 9, 10, 11]
    assert pool.sets["combined"].tolist() == [*range(6), 6, 9, 10]  # items of the augmented dataset


def test_a_label_without_a_source_of_items_is_not_augmented() -> None:
    pool = TrainingPool.build(
        REAL, [LabelCounts(2, 0, True, False), LabelCounts(0, 3, False, True)]
    )
    assert count_labels(pool, "transforms") == [6, 2]
    assert count_labels(pool, "model") == [4, 5]
    assert count_labels(pool, "combined") == [6, 5]
    assert pool.max_size == 11


def test_there_is_no_set_with_samples_without_a_model() -> None:
    pool = TrainingPool.build(
        REAL, [LabelCounts(0, 0, True, False), LabelCounts(2, 0, True, False)]
    )
    assert list(pool.sets) == ["real", "oversampled", "transforms"]
