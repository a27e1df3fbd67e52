"""Latent prior: samples of each label follow the latents that it was fitted to."""

import torch

from models.images.vae_gan.latent_prior import LatentPrior, fit_prior


def sample_prior(prior: LatentPrior, label: int, count: int = 20_000) -> torch.Tensor:
    noise = torch.randn(count, 1 + prior.means.shape[1], generator=torch.Generator().manual_seed(1))
    return prior(noise, torch.full((count,), label))


def make_clusters() -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents and labels of two clusters (label 0) and one stretched cluster (label 1).

    A quarter of label 0 is near -5, the rest near 5. Label 2 has no latents.
    """
    torch.manual_seed(0)
    two_clusters = torch.where(torch.rand(4000, 1) < 0.25, -5.0, 5.0) + 0.3 * torch.randn(4000, 3)
    stretched = torch.randn(4000, 3) * torch.tensor([0.1, 1.0, 3.0]) + 1
    return torch.cat([two_clusters, stretched]), torch.arange(2).repeat_interleave(4000)


def test_a_label_with_two_clusters_is_sampled_as_two_clusters() -> None:
    prior = fit_prior(*make_clusters(), classes=3, components=4, seed=1)
    z = sample_prior(prior, 0)
    assert ((z.abs() - 5).abs() < 1.5).all(1).float().mean() > 0.99
    assert abs((z[:, 0] < 0).float().mean() - 0.25) < 0.02


def test_a_label_keeps_its_mean_and_spread() -> None:
    z = sample_prior(fit_prior(*make_clusters(), classes=3, components=4, seed=1), 1)
    torch.testing.assert_close(z.mean(0), torch.ones(3), atol=0.2, rtol=0)
    torch.testing.assert_close(z.std(0), torch.tensor([0.1, 1.0, 3.0]), atol=0.15, rtol=0.05)


def test_a_label_without_images_can_be_sampled() -> None:
    assert torch.isfinite(
        sample_prior(fit_prior(*make_clusters(), classes=3, components=4, seed=1), 2)
    ).all()


def test_few_images_are_fitted_by_one_gaussian() -> None:
    z, y = torch.randn(30, 3), torch.zeros(30, dtype=torch.long)
    prior = fit_prior(z, y, classes=1, components=10, seed=1)
    assert prior.count.tolist() == [1]


def test_extreme_noise_stays_with_its_label() -> None:
    prior = fit_prior(*make_clusters(), classes=3, components=4, seed=1)
    noise = torch.zeros(4, 4)
    noise[:, 0] = torch.tensor([-40.0, 40.0, -40.0, 40.0])
    z = prior(noise, torch.tensor([0, 0, 1, 1]))
    assert (z[:2].abs() > 3).all()
    assert (z[2:, 0].abs() < 3).all()  # label 1 is near 1 there
