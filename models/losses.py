"""Losses of the adversarial game, written from the papers."""

import torch
import torch.nn.functional as F
from torch import Tensor


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """(B,), (B,) scores of pairs with the same label; low when each real one is above its fake.

    Relativistic pairing (Jolicoeur-Martineau 2019, 1807.00734; Huang et al. 2024, 2501.05441).
    """
    return F.softplus(fake - real).mean()


def generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """(B,), (B,); low when each fake is above its real partner."""
    return F.softplus(real - fake).mean()


def generator_slope(real: Tensor, fake: Tensor) -> Tensor:
    """(B,): what d critic_loss / d fake must be multiplied by to give d generator_loss / d fake.

    Both losses reach the generator through the same scores, so one backward pass through the
    critic serves both networks: its gradient at each fake image is rescaled by this ratio.
    """
    down, up = torch.sigmoid(fake - real), torch.sigmoid(real - fake)
    return -up / down.clamp_min(1e-5)


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
