"""Labels and indices of the items that a request names."""

import numpy as np

from models.sampling_plan import LabelSamplingPlan, plan_by_count, plan_by_label

LABEL_WEIGHTS = (900.0, 90.0, 10.0)


def list_items(plan: LabelSamplingPlan, size: int) -> list[tuple[int, int]]:
    return [
        (int(label), int(index))
        for labels, indices in plan.batches(size)
        for label, index in zip(labels, indices, strict=True)
    ]


def test_counts_are_exact_and_in_request_order() -> None:
    plan = plan_by_label({2: 3, 0: 2}, seed=1, offset=10, label_weights=LABEL_WEIGHTS)
    assert list_items(plan, 64) == [(2, 10), (2, 11), (2, 12), (0, 10), (0, 11)]
    assert plan.count == 5


def test_the_batch_size_does_not_change_the_items() -> None:
    plan = plan_by_label({0: 100, 1: 1, 2: 70}, seed=1, offset=0, label_weights=LABEL_WEIGHTS)
    assert list_items(plan, 7) == list_items(plan, 64) == list_items(plan, 1_000)


def test_all_batches_but_the_last_are_full() -> None:
    plan = plan_by_label(dict.fromkeys(range(3), 10), seed=1, offset=0, label_weights=LABEL_WEIGHTS)
    assert [len(labels) for labels, _ in plan.batches(16)] == [16, 14]


def test_pages_add_up_to_the_whole_sequence() -> None:
    def page(offset: int, count: int) -> list[tuple[int, int]]:
        plan = plan_by_count(
            count, seed=5, offset=offset, label_weights=LABEL_WEIGHTS, balance_labels=False
        )
        return list_items(plan, 64)

    assert page(0, 1_000) == [item for start in range(0, 1_000, 100) for item in page(start, 100)]


def test_labels_follow_the_training_shares() -> None:
    plan = plan_by_count(
        20_000, seed=5, offset=0, label_weights=LABEL_WEIGHTS, balance_labels=False
    )
    labels = np.array([label for label, _ in list_items(plan, 4_096)])
    assert np.allclose(np.bincount(labels) / len(labels), [0.9, 0.09, 0.01], atol=0.01)


def test_balanced_labels_alternate() -> None:
    plan = plan_by_count(7, seed=5, offset=1, label_weights=LABEL_WEIGHTS, balance_labels=True)
    assert [label for label, _ in list_items(plan, 4)] == [1, 2, 0, 1, 2, 0, 1]


def test_all_items_of_a_model_without_labels_have_label_index_zero() -> None:
    plan = plan_by_count(3, seed=5, offset=0, label_weights=(), balance_labels=False)
    assert list_items(plan, 64) == [(0, 0), (0, 1), (0, 2)]
