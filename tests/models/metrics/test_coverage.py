"""Precision, recall, density and coverage."""

import pytest
import torch

from models.metrics.coverage import compute_prdc


def sample_gaussian(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def test_two_samples_of_one_distribution_cover_each_other() -> None:
    prdc = compute_prdc(sample_gaussian(400, 1), sample_gaussian(400, 2))
    assert prdc.coverage > 0.9
    assert prdc.precision > 0.9
    assert prdc.recall > 0.8
    assert prdc.density == pytest.approx(1, abs=0.15)


def test_a_repeated_item_has_high_precision_and_low_coverage() -> None:
    real = sample_gaussian(400, 1)
    repeated = real.mean(0) + 1e-3 * sample_gaussian(400, 2)
    prdc = compute_prdc(real, repeated)
    assert prdc.precision == 1
    assert prdc.recall == 0
    assert prdc.coverage < 0.2


def test_distant_noise_has_no_precision_and_no_coverage() -> None:
    prdc = compute_prdc(sample_gaussian(400, 1), sample_gaussian(400, 2) + 100)
    assert (prdc.precision, prdc.coverage, prdc.density) == (0, 0, 0)
