"""What critic and generator want, and the pass back through the critic that they share."""

import pytest
import torch
from torch import Tensor, nn

from models.losses import LOSSES, AdversarialLoss, critic_step

NAMES = list(LOSSES)


@pytest.fixture
def critic() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(5, 6, generator=generator), torch.randn(5, 6, generator=generator)


def gradients(critic: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in critic.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_shared_turn_gives_each_side_the_gradients_of_its_own_loss(
    critic: nn.Module, name: str, share: float
) -> None:
    loss = LOSSES[name]
    real, fake = pair()
    shown = fake.clone().requires_grad_(True)
    turn = critic_step(loss, critic(real), critic(shown), shown, share)
    shared = gradients(critic)

    critic.zero_grad()
    (share * loss.critic(critic(real), critic(fake))).backward()
    torch.testing.assert_close(shared, gradients(critic))
    alone = fake.clone().requires_grad_(True)
    loss.generator(critic(real).detach(), critic(alone)).backward()
    torch.testing.assert_close(turn.generator_grad, alone.grad)


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_gain_by_what_they_are_there_for(name: str) -> None:
    """A critic by scores that lie right and apart, a generator by a fake's higher score."""
    loss = LOSSES[name]
    wrong, right = torch.tensor([-0.4, -0.4]), torch.tensor([0.4, 0.4])
    assert loss.critic(right, wrong) < loss.critic(wrong, right)
    assert loss.generator(wrong, right) < loss.generator(wrong, wrong)


def test_a_loss_whose_slope_may_vanish_takes_two_passes() -> None:
    """Below -1 the hinge asks nothing more of the critic, and still pulls at the generator."""
    assert not LOSSES["hinge"].shares_backward
    sure = AdversarialLoss(LOSSES["hinge"].critic, LOSSES["hinge"].generator)
    shown = torch.full((3, 1), -5.0, requires_grad=True)
    weight = torch.ones(1, requires_grad=True)
    turn = critic_step(sure, torch.full((3,), 5.0) * weight, (shown * weight)[:, 0], shown)
    torch.testing.assert_close(turn.generator_grad, torch.full((3, 1), -1 / 3))
