"""Losses of the adversarial game, written from the papers.

Scores are (B,) and belong to pairs: a real item and a generated one with the same label.
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
    """What critic and generator each want to be low: (real scores, fake scores) to a number.

    `shares_backward`: the critic's loss falls strictly as a fake's score does, wherever that is. Then
    one pass back through the critic serves both players (`generator_grad`).
    """

    critic: ScoreLoss
    generator: ScoreLoss
    shares_backward: bool = False


def relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Low when each real one is above its fake."""
    return F.softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(real - fake).mean()


def cross_entropy_critic(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def non_saturating_generator(_real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-fake).mean()


def minimax_generator(_real: Tensor, fake: Tensor) -> Tensor:
    return -F.softplus(fake).mean()


def least_squares_critic(real: Tensor, fake: Tensor) -> Tensor:
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def least_squares_generator(_real: Tensor, fake: Tensor) -> Tensor:
    return (fake - 1).square().mean() / 2


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(_real: Tensor, fake: Tensor) -> Tensor:
    return -fake.mean()


LOSSES: Mapping[str, AdversarialLoss] = {
    # Jolicoeur-Martineau 2019, 1807.00734; Huang et al. 2024, 2501.05441.
    "relativistic": AdversarialLoss(
        relativistic_critic, relativistic_generator, shares_backward=True
    ),
    # Goodfellow et al. 2014, 1406.2661: what they train with, and what they prove with.
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
    """Of this module, or of a package that was installed beside it. Raises KeyError."""
    if name in LOSSES:
        return LOSSES[name]
    return plugins.load(plugins.LOSSES, name, AdversarialLoss)


@dataclass(frozen=True)
class AdversarialStep:
    """Both losses at one pair of scores, and d generator loss / d fake item."""

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
    """Add `share` of the critic's gradients; `real` and `fake` are its scores, `shown` the fake
    items, which require grad. An item's score depends on that item alone.

    Both losses reach the generator through the same scores. So the critic's own gradient at a fake
    item, rescaled by the ratio of the slopes of the two losses, is the generator's: one pass back
    through the critic instead of two. Where the critic's slope may vanish, there are two.
    """
    r, f = real_scores.detach(), fake_scores.detach().requires_grad_(True)
    of_generator = loss.generator(r, f)
    (wanted,) = torch.autograd.grad(of_generator, f)
    of_critic = loss.critic(real_scores, fake_scores)
    if loss.shares_backward:
        (had,) = torch.autograd.grad(loss.critic(r, f), f)
        (fraction * of_critic).backward()
        assert fake_items.grad is not None  # noqa: S101 - the loss depends on it
        ratio = wanted / (had * len(f)).clamp_min(1e-5) * len(f) / fraction
        pull = fake_items.grad * ratio.view(-1, *[1] * (fake_items.ndim - 1))
    else:
        (pull,) = torch.autograd.grad(fake_scores, fake_items, wanted, retain_graph=True)
        (fraction * of_critic).backward()
    return AdversarialStep(of_critic.detach(), of_generator.detach(), pull)


def gradient_penalty(samples: Tensor, scores: Tensor) -> Tensor:
    """Mean over B of the squared norm of d scores / d samples: samples (B, ...), scores (B,).

    `samples` must require grad. R1 on real samples, R2 on fakes (Mescheder et al. 2018,
    1801.04406).
    """
    (gradient,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """(B, Z) moments to the mean over B of KL(N(mean, variance) || N(0, 1)) (Kingma & Welling 2014,
    1312.6114)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
