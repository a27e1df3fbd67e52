"""The prior: what it is fitted to comes back, label by label."""

import torch

from models.images.vae_gan.latent_prior import LatentPrior, fit_prior


def drawn(prior: LatentPrior, label: int, count: int = 20_000) -> torch.Tensor:
    noise = torch.randn(count, 1 + prior.means.shape[1], generator=torch.Generator().manual_seed(1))
    return prior(noise, torch.full((count,), label))


def two_heaps() -> tuple[torch.Tensor, torch.Tensor]:
    """Label 0: a quarter near -5, the rest near 5; label 1: one heap, stretched; label 2: none."""
    torch.manual_seed(0)
    heaps = torch.where(torch.rand(4000, 1) < 0.25, -5.0, 5.0) + 0.3 * torch.randn(4000, 3)
    stretched = torch.randn(4000, 3) * torch.tensor([0.1, 1.0, 3.0]) + 1
    return torch.cat([heaps, stretched]), torch.arange(2).repeat_interleave(4000)


def test_a_label_of_two_heaps_is_drawn_as_two_heaps() -> None:
    prior = fit_prior(*two_heaps(), classes=3, components=4, seed=1)
    z = drawn(prior, 0)
    assert ((z.abs() - 5).abs() < 1.5).all(1).float().mean() > 0.99
    assert abs((z[:, 0] < 0).float().mean() - 0.25) < 0.02


def test_a_label_keeps_its_mean_and_spread() -> None:
    z = drawn(fit_prior(*two_heaps(), classes=3, components=4, seed=1), 1)
    torch.testing.assert_close(z.mean(0), torch.ones(3), atol=0.2, rtol=0)
    torch.testing.assert_close(z.std(0), torch.tensor([0.1, 1.0, 3.0]), atol=0.15, rtol=0.05)


def test_a_label_without_images_is_drawn_all_the_same() -> None:
    assert torch.isfinite(drawn(fit_prior(*two_heaps(), classes=3, components=4, seed=1), 2)).all()


def test_few_images_are_described_by_one_gaussian_rather_than_remembered() -> None:
    z, y = torch.randn(30, 3), torch.zeros(30, dtype=torch.long)
    prior = fit_prior(z, y, classes=1, components=10, seed=1)
    assert prior.count.tolist() == [1]


def test_the_furthest_noise_stays_with_its_label() -> None:
    prior = fit_prior(*two_heaps(), classes=3, components=4, seed=1)
    noise = torch.zeros(4, 4)
    noise[:, 0] = torch.tensor([-40.0, 40.0, -40.0, 40.0])
    z = prior(noise, torch.tensor([0, 0, 1, 1]))
    assert (z[:2].abs() > 3).all()
    assert (z[2:, 0].abs() < 3).all()  # label 1 is near 1 there
