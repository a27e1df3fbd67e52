"""Coverage tells apart what precision and recall confuse."""

import pytest
import torch

from models.metrics.coverage import compute_prdc


def cloud(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def test_two_draws_from_one_distribution_cover_each_other() -> None:
    found = compute_prdc(cloud(400, 1), cloud(400, 2))
    assert found.coverage > 0.9
    assert found.precision > 0.9
    assert found.recall > 0.8
    assert found.density == pytest.approx(1, abs=0.15)


def test_one_good_item_again_and_again_is_precise_and_covers_nothing() -> None:
    real = cloud(400, 1)
    again = real.mean(0) + 1e-3 * cloud(400, 2)
    found = compute_prdc(real, again)
    assert found.precision == 1
    assert found.recall == 0
    assert found.coverage < 0.2


def test_noise_far_away_is_neither() -> None:
    found = compute_prdc(cloud(400, 1), cloud(400, 2) + 100)
    assert (found.precision, found.coverage, found.density) == (0, 0, 0)
