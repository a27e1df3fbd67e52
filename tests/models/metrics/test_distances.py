"""Fréchet and kernel distances between sets of features, with their intervals."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.metrics.distances import frechet_distance, kernel_distance


def sample_features(count: int, shift: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 8, generator=generator) + shift


def never_stop() -> None:
    return


def test_the_kernel_distance_averages_all_pairs_of_different_items() -> None:
    real, fake = sample_features(30, 0.0, 1).double(), sample_features(24, 0.5, 2).double()

    def mean(a: Tensor, b: Tensor, *, same: bool) -> float:
        similarities = [
            float((a[i] @ b[j] / 8 + 1) ** 3)
            for i in range(len(a))
            for j in range(len(b))
            if not (same and i == j)
        ]
        return float(np.mean(similarities))

    expected = mean(real, real, same=True) + mean(fake, fake, same=True)
    expected -= 2 * mean(real, fake, same=False)
    assert kernel_distance(real, fake, never_stop).value == pytest.approx(expected)


def test_the_interval_of_the_kernel_distance_covers_the_true_distance() -> None:
    for shift in (0.0, 0.3):
        large_samples = [
            kernel_distance(
                sample_features(4_000, 0, -s), sample_features(4_000, shift, 1_000 + s), never_stop
            )
            for s in (1, 2)
        ]
        truth = float(np.mean([distance.value for distance in large_samples])) if shift else 0.0
        covered, widths = 0, []
        for seed in range(40):
            low, high = kernel_distance(
                sample_features(200, 0, seed), sample_features(200, shift, 500 + seed), never_stop
            ).ci95
            covered += low <= truth <= high
            widths.append(high - low)
        assert covered >= 34
        assert not shift or np.mean(widths) < 2 * truth  # the interval excludes zero


def test_the_frechet_distance_is_zero_for_equal_sets_and_the_square_of_a_shift() -> None:
    real = sample_features(500, 0.0, 1)
    assert frechet_distance(real, real) == pytest.approx(0.0, abs=1e-6)
    assert frechet_distance(real, real + 2.0) == pytest.approx(8 * 4.0, rel=1e-4)
