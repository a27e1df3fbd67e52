"""Adversarial losses and the backward pass through the critic that both players share."""

import pytest
import torch
from torch import Tensor, nn

from models.losses import LOSSES, AdversarialLoss, critic_step

LOSS_NAMES = list(LOSSES)


@pytest.fixture
def critic() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))


def make_real_and_fake() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(5, 6, generator=generator), torch.randn(5, 6, generator=generator)


def copy_gradients(critic: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in critic.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", LOSS_NAMES)
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_shared_backward_pass_gives_each_network_its_own_gradients(
    critic: nn.Module, name: str, share: float
) -> None:
    loss = LOSSES[name]
    real, fake = make_real_and_fake()
    critic_input = fake.clone().requires_grad_(True)
    step = critic_step(loss, critic(real), critic(critic_input), critic_input, share)
    shared_gradients = copy_gradients(critic)

    critic.zero_grad()
    (share * loss.critic(critic(real), critic(fake))).backward()
    torch.testing.assert_close(shared_gradients, copy_gradients(critic))
    generator_input = fake.clone().requires_grad_(True)
    loss.generator(critic(real).detach(), critic(generator_input)).backward()
    torch.testing.assert_close(step.generator_grad, generator_input.grad)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_losses_reward_correct_critic_scores_and_convincing_fakes(name: str) -> None:
    """The critic gains by scoring real items higher, the generator by a higher fake score."""
    loss = LOSSES[name]
    low, high = torch.tensor([-0.4, -0.4]), torch.tensor([0.4, 0.4])
    assert loss.critic(high, low) < loss.critic(low, high)
    assert loss.generator(low, high) < loss.generator(low, low)


def test_a_loss_with_a_vanishing_slope_takes_two_backward_passes() -> None:
    """Below -1 the hinge loss has no gradient for the critic, but it has one for the generator."""
    assert not LOSSES["hinge"].shares_backward
    loss = AdversarialLoss(LOSSES["hinge"].critic, LOSSES["hinge"].generator)
    critic_input = torch.full((3, 1), -5.0, requires_grad=True)
    weight = torch.ones(1, requires_grad=True)
    step = critic_step(
        loss, torch.full((3,), 5.0) * weight, (critic_input * weight)[:, 0], critic_input
    )
    torch.testing.assert_close(step.generator_grad, torch.full((3, 1), -1 / 3))
