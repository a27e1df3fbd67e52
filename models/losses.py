"""Adversarial losses, written from the papers.

Scores are critic outputs (logits) of shape (B,). `real` and `fake` are paired: item i of both has
the same label. Equations write r and f for the scores of real and fake items, and omit the mean
over B.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models import plugins

ScoreLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class AdversarialLoss:
    """Losses that the critic and the generator minimize, as functions of (real, fake) scores.

    `shares_backward` is True if d critic loss / d fake score is positive everywhere. Then one
    backward pass through the critic serves both players (see `critic_step`).
    """

    critic: ScoreLoss
    generator: ScoreLoss
    shares_backward: bool = False


def relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return softplus(f - r), which is low when each real item scores above its fake."""
    return F.softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """Return softplus(r - f)."""
    return F.softplus(real - fake).mean()


def cross_entropy_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return -log sigmoid(r) - log(1 - sigmoid(f)), the binary cross-entropy of the scores."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def non_saturating_generator(_real: Tensor, fake: Tensor) -> Tensor:
    """Return -log sigmoid(f)."""
    return F.softplus(-fake).mean()


def minimax_generator(_real: Tensor, fake: Tensor) -> Tensor:
    """Return log(1 - sigmoid(f)), whose gradient vanishes where the critic rejects the fakes."""
    return -F.softplus(fake).mean()


def least_squares_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return ((r - 1)^2 + f^2) / 2."""
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def least_squares_generator(_real: Tensor, fake: Tensor) -> Tensor:
    """Return (f - 1)^2 / 2."""
    return (fake - 1).square().mean() / 2


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return max(0, 1 - r) + max(0, 1 + f)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(_real: Tensor, fake: Tensor) -> Tensor:
    """Return -f."""
    return -fake.mean()


LOSSES: Mapping[str, AdversarialLoss] = {
    # Jolicoeur-Martineau 2019, 1807.00734; Huang et al. 2024, 2501.05441.
    "relativistic": AdversarialLoss(
        relativistic_critic, relativistic_generator, shares_backward=True
    ),
    # Goodfellow et al. 2014, 1406.2661: the loss of their experiments, then of their proofs.
    "non_saturating": AdversarialLoss(
        cross_entropy_critic, non_saturating_generator, shares_backward=True
    ),
    "minimax": AdversarialLoss(cross_entropy_critic, minimax_generator, shares_backward=True),
    # Mao et al. 2017, 1611.04076.
    "least_squares": AdversarialLoss(least_squares_critic, least_squares_generator),
    # Lim & Ye 2017, 1705.02894.
    "hinge": AdversarialLoss(hinge_critic, hinge_generator),
}


def get_loss(name: str) -> AdversarialLoss:
    """Return a loss of this module, or one that an installed package registers.

    Raises:
        KeyError: No loss has this name.
    """
    if name in LOSSES:
        return LOSSES[name]
    return plugins.load(plugins.LOSSES, name, AdversarialLoss)


@dataclass(frozen=True)
class AdversarialStep:
    """Both losses of one batch, and d generator loss / d fake item."""

    critic_loss: Tensor
    generator_loss: Tensor
    generator_grad: Tensor


def critic_step(
    loss: AdversarialLoss,
    real_scores: Tensor,
    fake_scores: Tensor,
    fake_items: Tensor,
    fraction: float = 1.0,
) -> AdversarialStep:
    """Add `fraction` of the critic's gradients, and compute the generator's gradient.

    `fake_items` (B, ...) must require grad, and the score of an item must depend on that item only.

    Both losses depend on a fake item x through its score f(x) only. So d generator loss / d x is
    d critic loss / d x, rescaled per item by (d generator loss / d f) / (d critic loss / d f): one
    backward pass through the critic instead of two. Losses whose denominator can vanish
    (`shares_backward` is False) need both passes.
    """
    real, fake = real_scores.detach(), fake_scores.detach().requires_grad_(True)
    generator_loss = loss.generator(real, fake)
    (generator_slope,) = torch.autograd.grad(generator_loss, fake)
    critic_loss = loss.critic(real_scores, fake_scores)
    if loss.shares_backward:
        (critic_slope,) = torch.autograd.grad(loss.critic(real, fake), fake)
        (critic_loss if fraction == 1 else fraction * critic_loss).backward()
        assert fake_items.grad is not None  # noqa: S101 - the critic's loss depends on the fakes
        # Times B: the losses are means, and the bound must not depend on the size of the batch.
        per_item_slope = (critic_slope * len(fake)).clamp_min(1e-5)
        ratio = generator_slope / per_item_slope * len(fake) / fraction
        generator_grad = fake_items.grad * ratio.view(-1, *[1] * (fake_items.ndim - 1))
    else:
        (generator_grad,) = torch.autograd.grad(
            fake_scores, fake_items, generator_slope, retain_graph=True
        )
        (critic_loss if fraction == 1 else fraction * critic_loss).backward()
    return AdversarialStep(critic_loss.detach(), generator_loss.detach(), generator_grad)


def gradient_penalty(samples: Tensor, scores: Tensor) -> Tensor:
    """Return the mean over B of the squared norm of d scores / d samples.

    `samples` (B, ...) must require grad; `scores` is (B,). This is R1 on real samples and R2 on
    fakes (Mescheder et al. 2018, 1801.04406).
    """
    (gradient,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the mean over B of KL(N(mean, variance) || N(0, 1)), for moments of shape (B, Z).

    Source: Kingma & Welling 2014, 1312.6114.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
