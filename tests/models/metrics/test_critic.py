"""Accuracy and calibration of a critic."""

import pytest
import torch

from models.metrics.critic import calibration, critic_accuracy


@pytest.mark.parametrize("shift", [0.0, 100.0, -3.0])
def test_a_random_critic_has_an_accuracy_of_one_half(shift: float) -> None:
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(2_000, generator=generator) + shift
    fake = torch.randn(2_000, generator=generator) + shift
    accuracy = critic_accuracy(real, fake)
    assert accuracy.real == pytest.approx(0.5, abs=0.05)
    assert accuracy.fake == pytest.approx(0.5, abs=0.05)
    assert accuracy.auc == pytest.approx(0.5, abs=0.05)


def test_a_constant_critic_has_an_accuracy_of_one_half() -> None:
    accuracy = critic_accuracy(torch.ones(100), torch.ones(100))
    assert (accuracy.real, accuracy.fake, accuracy.auc) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("shift", [0.0, 100.0, -100.0])
def test_a_perfect_critic_has_an_accuracy_of_one_at_any_score_offset(shift: float) -> None:
    real, fake = torch.linspace(1, 2, 101) + shift, torch.linspace(-2, -1, 57) + shift
    accuracy = critic_accuracy(real, fake)
    assert (accuracy.real, accuracy.fake, accuracy.auc) == (1.0, 1.0, 1.0)


def test_a_critic_that_is_always_wrong_has_an_accuracy_of_zero() -> None:
    accuracy = critic_accuracy(torch.linspace(-2, -1, 50), torch.linspace(1, 2, 50))
    assert (accuracy.real, accuracy.fake, accuracy.auc) == (0.0, 0.0, 0.0)


def test_auc_is_the_share_of_correctly_ordered_pairs() -> None:
    real, fake = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2.0, 3.0])
    pairs = [(r > f) + (r == f) / 2 for r in real.tolist() for f in fake.tolist()]
    assert critic_accuracy(real, fake).auc == pytest.approx(sum(pairs) / len(pairs))


def test_calibration_recovers_the_true_probabilities() -> None:
    generator = torch.Generator().manual_seed(2)
    scores = 40 + 5 * torch.randn(40_000, generator=generator)
    probability = (0.3 * (scores - 40)).sigmoid()
    real = torch.rand(40_000, generator=generator) < probability
    slope, intercept = calibration(scores[real], scores[~real])
    assert slope == pytest.approx(0.3, rel=0.03)
    assert -intercept / slope == pytest.approx(40, abs=0.2)


@pytest.mark.parametrize("offset", [3.0, 1e6])
def test_calibration_is_finite_for_perfectly_separated_scores(offset: float) -> None:
    real, fake = torch.linspace(1, 2, 100) + offset, torch.linspace(0, 1, 100)
    slope, intercept = calibration(real, fake)
    assert slope * real.min() + intercept > 1 > -1 > slope * fake.max() + intercept
    assert slope * (real.max() - fake.min()) < 100


@pytest.mark.parametrize("real", [torch.ones(9), torch.linspace(-2, -1, 50)])
def test_a_constant_or_wrong_critic_is_calibrated_to_one_half(real: torch.Tensor) -> None:
    assert calibration(real, torch.ones(9)) == (0.0, 0.0)
