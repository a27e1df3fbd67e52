"""What noise the encoder finds for the images of each label: a mixture of Gaussians.

The encoder's noise is not the standard normal that the KL term asks for; sampling from that would
ask the generator for images it was never shown. A density that is fitted afterwards costs two
seconds and takes most of the distance away (Ghosh et al. 2020, 1903.12436; Dai & Wipf 2019,
1903.05789).
"""

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ITERATIONS = 12
IMAGES_PER_COMPONENT = 200  # fewer would be remembered rather than described
RIDGE = 1e-4


class LatentPrior(nn.Module):
    """(B, 1 + Z) standard normal noise and (B,) labels to (B, Z) noise as the encoder finds it.

    The first number chooses the Gaussian, the others are stretched and moved by it.
    """

    means: Tensor  # (M, Z), the components of all labels one after the other
    factors: Tensor  # (M, Z, Z), Cholesky factors of the covariances
    upto: Tensor  # (M,) weights, cumulated over all components: label k ends at k + 1
    first: Tensor  # (K,) index of the label's first component
    count: Tensor  # (K,)

    def __init__(self, components: int, classes: int, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(components, latent_dim))
        self.register_buffer("factors", torch.eye(latent_dim).repeat(components, 1, 1))
        self.register_buffer("upto", torch.zeros(components, dtype=torch.float64))
        self.register_buffer("first", torch.zeros(classes, dtype=torch.long))
        self.register_buffer("count", torch.ones(classes, dtype=torch.long))

    @classmethod
    def empty_like(cls, state: Mapping[str, Tensor]) -> Self:
        """Empty, of the shape of a saved one."""
        return cls(len(state["means"]), len(state["first"]), state["means"].shape[1])

    def forward(self, noise: Tensor, y: Tensor) -> Tensor:
        share = torch.special.ndtr(noise[:, 0].double()).clamp(1e-9, 1 - 1e-9)
        # `upto` grows from 0 to K over all labels: one search finds the component of each item.
        chosen = torch.searchsorted(self.upto, share + y, right=True)
        last = self.first[y] + self.count[y] - 1
        chosen = torch.minimum(torch.maximum(chosen, self.first[y]), last)
        stretched = torch.einsum("bij,bj->bi", self.factors[chosen], noise[:, 1:])
        return self.means[chosen] + stretched


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
    """(N, Z) noise found by the encoder and (N,) labels; a label may have no image at all.

    Expectation maximisation (Dempster et al. 1977) from k-means++ centres (Arthur & Vassilvitskii
    2007). Covariances are shrunk to the label's, and the label's to that of all labels, so that
    a label with few images stays well described. Where a label has several Gaussians, each is
    stretched by `scale`: a mixture leaves out much of what lies between its parts. `within_covariance` (Z, Z)
    is a covariance within labels that was learned elsewhere, from more images than there are here.
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
    """(Z, Z) covariance around the labels' means, over all labels."""
    scatter = sum(
        (_scatter(g - g.mean(0), torch.ones_like(g[:, 0])) for g in groups if len(g)),
        torch.zeros(z.shape[1], z.shape[1], dtype=z.dtype),
    )
    return scatter / len(z) + RIDGE * torch.eye(z.shape[1], dtype=z.dtype)


def _fit_label(
    z: Tensor, overall: Tensor, within: Tensor, components: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Means (M, Z), covariances (M, Z, Z) and weights (M,) of one label."""
    n, size = z.shape
    if n == 0:
        return overall[None], within[None], torch.ones(1, dtype=z.dtype)
    centred = z - z.mean(0)
    covariance = (centred.T @ centred + size * within) / (n + size)
    m = max(1, min(components, n // IMAGES_PER_COMPONENT))
    if m == 1:
        return z.mean(0)[None], covariance[None], torch.ones(1, dtype=z.dtype)
    strength = size / m**0.5  # images that the label's covariance counts as, in each component
    shares = F.one_hot(torch.cdist(z, _centres(z, m, generator)).argmin(1), m).to(z.dtype)
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
    """(N, M): how likely each component is to have made each point."""
    ridge = RIDGE * torch.eye(z.shape[1], dtype=z.dtype)
    logs = []
    for mean, covariance, weight in zip(means, covariances, weights, strict=True):
        factor = torch.linalg.cholesky(covariance + ridge)
        distance = torch.linalg.solve_triangular(factor, (z - mean).T, upper=False)
        logs.append(weight.log() - 0.5 * distance.square().sum(0) - factor.diagonal().log().sum())
    return torch.stack(logs, 1).softmax(1)


def _centres(z: Tensor, m: int, generator: torch.Generator) -> Tensor:
    """k-means++ and five rounds of k-means."""
    centres = z[torch.randint(len(z), (1,), generator=generator)]
    for _ in range(m - 1):
        distance = torch.cdist(z, centres).min(1).values.square()
        chosen = torch.multinomial(distance + 1e-12, 1, generator=generator)
        centres = torch.cat([centres, z[chosen]])
    for _ in range(5):
        nearest = F.one_hot(torch.cdist(z, centres).argmin(1), m).to(z.dtype)
        mass = nearest.sum(0)
        moved = (nearest.T @ z) / mass.clamp_min(1)[:, None]
        centres = torch.where(mass[:, None] > 0, moved, centres)
    return centres
