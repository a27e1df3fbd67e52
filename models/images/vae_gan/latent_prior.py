"""Latent prior: a mixture of Gaussians per label, fitted to the encoder's latents.

The encoder's latents do not follow the standard normal distribution that the KL term aims at.
Sampling from the standard normal would give the generator latents that it never saw in training. A
density that is fitted after training takes two seconds and removes most of the resulting Fréchet
distance (Ghosh et al. 2020, 1903.12436; Dai & Wipf 2019, 1903.05789).
"""

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ITERATIONS = 12
IMAGES_PER_COMPONENT = 200  # at least: a component of fewer images would memorize them
RIDGE = 1e-4


class LatentPrior(nn.Module):
    """Map of (B, 1 + Z) standard normal noise and (B,) labels to (B, Z) latents.

    The first number selects component m of the label; the others, eps, become mean_m + L_m eps,
    where L_m is the Cholesky factor of the covariance.
    """

    means: Tensor  # (M, Z), the components of label 0, then those of label 1, and so on
    factors: Tensor  # (M, Z, Z), Cholesky factors of the covariances
    upto: Tensor  # (M,) cumulative weights over all components; those of label k end at k + 1
    first: Tensor  # (K,) index of the label's first component
    count: Tensor  # (K,) components of the label

    def __init__(self, components: int, classes: int, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(components, latent_dim))
        self.register_buffer("factors", torch.eye(latent_dim).repeat(components, 1, 1))
        self.register_buffer("upto", torch.zeros(components, dtype=torch.float64))
        self.register_buffer("first", torch.zeros(classes, dtype=torch.long))
        self.register_buffer("count", torch.ones(classes, dtype=torch.long))

    @classmethod
    def empty_like(cls, state: Mapping[str, Tensor]) -> Self:
        """Create a prior with the shapes of a saved one."""
        return cls(len(state["means"]), len(state["first"]), state["means"].shape[1])

    def forward(self, noise: Tensor, y: Tensor) -> Tensor:
        # The normal distribution function converts the first number to a uniform one.
        uniform = torch.special.ndtr(noise[:, 0].double()).clamp(1e-9, 1 - 1e-9)
        # `upto` grows from 0 to K over all labels: one search selects the component of each item.
        component = torch.searchsorted(self.upto, uniform + y, right=True)
        last = self.first[y] + self.count[y] - 1
        component = torch.minimum(torch.maximum(component, self.first[y]), last)
        deviation = torch.einsum("bij,bj->bi", self.factors[component], noise[:, 1:])
        return self.means[component] + deviation


@torch.no_grad()
def fit_prior(
    z: Tensor,
    y: Tensor,
    classes: int,
    components: int,
    seed: int,
    scale: float = 1.0,
    within_covariance: Tensor | None = None,
) -> LatentPrior:
    """Fit a prior to (N, Z) latents of the encoder and (N,) labels. A label may have no images.

    The method is expectation maximization (Dempster et al. 1977), starting from k-means++ centers
    (Arthur & Vassilvitskii 2007). Each component's covariance is shrunk towards that of its label,
    and the label's towards the covariance within all labels, so that the estimate is stable for
    labels with few images.

    If a label has several components, the standard deviations of each are multiplied by `scale`,
    because a mixture covers the region between its components too thinly. `within_covariance`
    (Z, Z) replaces the covariance within labels by one that was estimated on more images.
    """
    z = z.double()
    generator = torch.Generator().manual_seed(seed)
    groups = [z[y == label] for label in range(classes)]
    within = (
        within_label_covariance(groups, z)
        if within_covariance is None
        else within_covariance.double()
    )
    means, factors, weights = [], [], []
    for group in groups:
        mean, covariance, weight = _fit_label(group, z.mean(0), within, components, generator)
        ridge = RIDGE * torch.eye(z.shape[1], dtype=z.dtype)
        if len(mean) > 1:
            covariance = covariance * scale**2
        means.append(mean)
        factors.append(torch.linalg.cholesky(covariance + ridge))
        weights.append(weight)
    counts = torch.tensor([len(weight) for weight in weights])
    prior = LatentPrior(int(counts.sum()), classes, z.shape[1])
    prior.means.copy_(torch.cat(means))
    prior.factors.copy_(torch.cat(factors))
    prior.upto.copy_(torch.cat([k + weight.cumsum(0) for k, weight in enumerate(weights)]))
    prior.count.copy_(counts)
    prior.first.copy_(counts.cumsum(0) - counts)
    return prior


def within_label_covariance(groups: list[Tensor], z: Tensor) -> Tensor:
    """Return the (Z, Z) covariance of the latents around the mean of their label."""
    scatter = sum(
        (
            _scatter(group - group.mean(0), torch.ones_like(group[:, 0]))
            for group in groups
            if len(group)
        ),
        torch.zeros(z.shape[1], z.shape[1], dtype=z.dtype),
    )
    return scatter / len(z) + RIDGE * torch.eye(z.shape[1], dtype=z.dtype)


def _fit_label(
    z: Tensor, overall: Tensor, within: Tensor, components: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return means (M, Z), covariances (M, Z, Z) and weights (M,) of one label's components."""
    n, size = z.shape
    if n == 0:
        return overall[None], within[None], torch.ones(1, dtype=z.dtype)
    centered = z - z.mean(0)
    covariance = (centered.T @ centered + size * within) / (n + size)
    m = max(1, min(components, n // IMAGES_PER_COMPONENT))
    if m == 1:
        return z.mean(0)[None], covariance[None], torch.ones(1, dtype=z.dtype)
    # The label's covariance counts as this number of images in each component.
    strength = size / m**0.5
    shares = F.one_hot(torch.cdist(z, _centers(z, m, generator)).argmin(1), m).to(z.dtype)
    for _ in range(ITERATIONS):
        mass = shares.sum(0) + 1e-9
        means = (shares.T @ z) / mass[:, None]
        scatter = torch.stack(
            [
                (z - mean).T @ ((z - mean) * share[:, None])
                for mean, share in zip(means, shares.T, strict=True)
            ]
        )
        covariances = (scatter + strength * covariance) / (mass + strength)[:, None, None]
        shares = _responsibilities(z, means, covariances, mass / n)
    return means, covariances, mass / n


def _scatter(z: Tensor, weights: Tensor) -> Tensor:
    return z.T @ (z * weights[:, None])


def _responsibilities(z: Tensor, means: Tensor, covariances: Tensor, weights: Tensor) -> Tensor:
    """Return (N, M) posterior probabilities of the components (the E step)."""
    ridge = RIDGE * torch.eye(z.shape[1], dtype=z.dtype)
    log_densities = []
    for mean, covariance, weight in zip(means, covariances, weights, strict=True):
        factor = torch.linalg.cholesky(covariance + ridge)
        distance = torch.linalg.solve_triangular(factor, (z - mean).T, upper=False)
        log_densities.append(
            weight.log() - 0.5 * distance.square().sum(0) - factor.diagonal().log().sum()
        )
    return torch.stack(log_densities, 1).softmax(1)


def _centers(z: Tensor, m: int, generator: torch.Generator) -> Tensor:
    """Return (M, Z) centers by k-means++ and five rounds of k-means."""
    centers = z[torch.randint(len(z), (1,), generator=generator)]
    for _ in range(m - 1):
        distance = torch.cdist(z, centers).min(1).values.square()
        chosen = torch.multinomial(distance + 1e-12, 1, generator=generator)
        centers = torch.cat([centers, z[chosen]])
    for _ in range(5):
        nearest = F.one_hot(torch.cdist(z, centers).argmin(1), m).to(z.dtype)
        mass = nearest.sum(0)
        updated = (nearest.T @ z) / mass.clamp_min(1)[:, None]
        centers = torch.where(mass[:, None] > 0, updated, centers)
    return centers
