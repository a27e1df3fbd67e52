"""What the critic's accuracy means."""

import pytest
import torch

from models.measures.critic import critic_accuracy


@pytest.mark.parametrize("shift", [0.0, 100.0, -3.0])
def test_a_critic_that_knows_nothing_reads_one_half(shift: float) -> None:
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(2_000, generator=generator) + shift
    fake = torch.randn(2_000, generator=generator) + shift
    accuracy = critic_accuracy(real, fake)
    assert accuracy.real == pytest.approx(0.5, abs=0.05)
    assert accuracy.fake == pytest.approx(0.5, abs=0.05)
    assert accuracy.pairs == pytest.approx(0.5, abs=0.05)


def test_a_critic_that_says_the_same_of_all_reads_one_half() -> None:
    accuracy = critic_accuracy(torch.ones(100), torch.ones(100))
    assert (accuracy.real, accuracy.fake, accuracy.pairs) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("shift", [0.0, 100.0, -100.0])
def test_a_perfect_critic_reads_one_wherever_its_scores_lie(shift: float) -> None:
    real, fake = torch.linspace(1, 2, 101) + shift, torch.linspace(-2, -1, 57) + shift
    accuracy = critic_accuracy(real, fake)
    assert (accuracy.real, accuracy.fake, accuracy.pairs) == (1.0, 1.0, 1.0)


def test_a_critic_that_is_always_wrong_reads_zero() -> None:
    accuracy = critic_accuracy(torch.linspace(-2, -1, 50), torch.linspace(1, 2, 50))
    assert (accuracy.real, accuracy.fake, accuracy.pairs) == (0.0, 0.0, 0.0)


def test_the_share_of_pairs_is_counted_over_all_pairs() -> None:
    real, fake = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2.0, 3.0])
    pairs = [(r > f) + (r == f) / 2 for r in real.tolist() for f in fake.tolist()]
    assert critic_accuracy(real, fake).pairs == pytest.approx(sum(pairs) / len(pairs))
