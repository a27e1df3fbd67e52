"""Distances between sets of features, and how sure they are."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.metrics.distances import frechet_distance, kernel_distance


def drawn(n: int, shift: float, seed: int) -> Tensor:
    numbers = torch.Generator().manual_seed(seed)
    return torch.randn(n, 8, generator=numbers) + shift


def go_on() -> None:
    return


def test_the_kernel_distance_is_that_of_all_pairs_of_different_items() -> None:
    real, fake = drawn(30, 0.0, 1).double(), drawn(24, 0.5, 2).double()

    def mean(a: Tensor, b: Tensor, *, same: bool) -> float:
        similar = [
            float((a[i] @ b[j] / 8 + 1) ** 3)
            for i in range(len(a))
            for j in range(len(b))
            if not (same and i == j)
        ]
        return float(np.mean(similar))

    expected = mean(real, real, same=True) + mean(fake, fake, same=True)
    expected -= 2 * mean(real, fake, same=False)
    assert kernel_distance(real, fake, go_on).value == pytest.approx(expected)


def test_the_interval_of_the_kernel_distance_holds_what_many_items_find() -> None:
    for shift in (0.0, 0.3):
        many = [
            kernel_distance(drawn(4_000, 0, -s), drawn(4_000, shift, 1_000 + s), go_on)
            for s in (1, 2)
        ]
        truth = float(np.mean([found.value for found in many])) if shift else 0.0
        held, widths = 0, []
        for seed in range(40):
            low, high = kernel_distance(
                drawn(200, 0, seed), drawn(200, shift, 500 + seed), go_on
            ).ci95
            held += low <= truth <= high
            widths.append(high - low)
        assert held >= 34
        assert not shift or np.mean(widths) < 2 * truth  # and tells the two apart


def test_equal_sets_are_at_no_distance_and_a_shift_is_its_square() -> None:
    real = drawn(500, 0.0, 1)
    assert frechet_distance(real, real) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(real, real + 2.0) == pytest.approx(8 * 4.0, rel=1e-4)
