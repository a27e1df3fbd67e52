"""Which items a request names."""

import numpy as np

from models.images.sampling_plan import ImageSamplingPlan, plan_by_count, plan_by_label

SHARES = (900.0, 90.0, 10.0)


def items(order: ImageSamplingPlan, size: int) -> list[tuple[int, int]]:
    return [
        (int(label), int(number))
        for labels, numbers in order.batches(size)
        for label, number in zip(labels, numbers, strict=True)
    ]


def test_counts_are_exact_and_in_the_requests_order() -> None:
    order = plan_by_label({2: 3, 0: 2}, seed=1, offset=10, label_weights=SHARES)
    assert items(order, 64) == [(2, 10), (2, 11), (2, 12), (0, 10), (0, 11)]
    assert order.count == 5


def test_the_size_of_a_batch_changes_nothing() -> None:
    order = plan_by_label({0: 100, 1: 1, 2: 70}, seed=1, offset=0, label_weights=SHARES)
    assert items(order, 7) == items(order, 64) == items(order, 1_000)


def test_batches_are_full_but_for_the_last() -> None:
    order = plan_by_label(dict.fromkeys(range(3), 10), seed=1, offset=0, label_weights=SHARES)
    assert [len(labels) for labels, _ in order.batches(16)] == [16, 14]


def test_pages_of_a_count_equal_the_whole() -> None:
    def page(offset: int, count: int) -> list[tuple[int, int]]:
        order = plan_by_count(
            count, seed=5, offset=offset, label_weights=SHARES, balance_labels=False
        )
        return items(order, 64)

    assert page(0, 1_000) == [item for start in range(0, 1_000, 100) for item in page(start, 100)]


def test_labels_come_in_the_learned_shares() -> None:
    order = plan_by_count(20_000, seed=5, offset=0, label_weights=SHARES, balance_labels=False)
    labels = np.array([label for label, _ in items(order, 4_096)])
    assert np.allclose(np.bincount(labels) / len(labels), [0.9, 0.09, 0.01], atol=0.01)


def test_balance_goes_round_the_labels() -> None:
    order = plan_by_count(7, seed=5, offset=1, label_weights=SHARES, balance_labels=True)
    assert [label for label, _ in items(order, 4)] == [1, 2, 0, 1, 2, 0, 1]


def test_a_model_without_labels_has_one_kind_of_item() -> None:
    order = plan_by_count(3, seed=5, offset=0, label_weights=(), balance_labels=False)
    assert items(order, 64) == [(0, 0), (0, 1), (0, 2)]
