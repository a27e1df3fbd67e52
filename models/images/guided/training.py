"""A conditional generator against a critic, guided by an encoder.

A variational autoencoder whose decoder is the generator of an adversarial game (VAE/GAN, Larsen et
al. 2016, 1512.09300; CVAE-GAN, Bao et al. 2017, 1703.10155), in three phases: a small classifier
learns what the images differ in; encoder and generator learn to reconstruct images in pixels and in
its features; then a critic joins, which compares each image with its own reconstruction. New images
are drawn from a prior that is fitted to the noise that the encoder finds (guided.prior).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import chance, losses
from models.images.guided.settings import GuidedSettings
from models.images.guided.state import State
from models.images.penalty import gamma
from models.microbatch import in_parts
from models.precision import mixed
from models.run import Run


class Guided(State):
    """As models.images.learner.Learner."""

    def learn(self, images: Tensor, y: Tensor, progress: float, run: Run) -> dict[str, Tensor]:
        set_rates(self, progress)

        def begin() -> None:
            chance.begin_step(self.seed, self.step)
            for optimizer in (self.opt_G, self.opt_D):
                optimizer.zero_grad(set_to_none=True)

        def add(images: Tensor, y: Tensor, share: float) -> dict[str, Tensor]:
            with mixed():
                return gradients(self, images, y, progress, share)

        self.at_once, logged = in_parts((images, y), self.at_once, begin, add, self.step, run)
        nn.utils.clip_grad_norm_(self.made_by.parameters(), 5.0)
        self.opt_G.step()
        if progress >= self.settings.critic_from:
            self.opt_D.step()
        self.update_average()
        return logged


def gradients(
    nets: State, real: Tensor, y: Tensor, progress: float, share: float = 1.0
) -> dict[str, Tensor]:
    """Add the gradients of both games to both sides, for `share` of a batch; no parameter changes.

    The generator's share that comes through the critic is taken from the critic's own backward pass
    (losses.critic_turn).
    """
    settings, features = nets.settings, nets.features.frozen
    assert features is not None  # noqa: S101 - settled before the first call
    with torch.no_grad():
        truth = [real, *features.levels(real)]
    mean, log_variance = nets.E(truth[2].flatten(1), y)
    z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    nets.remember(z.detach(), y)
    made = nets.G(z, y)
    found = [made, *features.levels(made)]
    errors = [
        scale * F.mse_loss(a, b)
        for scale, a, b in zip(nets.scales.tolist(), found, truth, strict=True)
    ]
    kl = losses.kl_to_standard_normal(mean, log_variance)
    loss = settings.pixel_weight * errors[0] + settings.feature_weight * sum(errors[1:])
    loss = loss + settings.kl_weight * kl
    logged = {"pixel_error": errors[0].detach(), "kl": kl.detach()}
    if progress >= settings.critic_from:
        pull, more = critic_gradients(nets, real, made.detach(), y, progress, share)
        loss = loss + settings.adversarial_weight * (made * pull).sum()
        logged |= more
    (share * loss).backward()
    return logged


def critic_gradients(
    nets: State, real: Tensor, made: Tensor, y: Tensor, progress: float, share: float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add `share` of the critic's gradients; returns d generator_loss / d made, too."""
    settings = nets.settings
    shown = made.clone().requires_grad_(True)
    both = torch.cat([y, y])
    of_real, of_made = nets.D(torch.cat([real, shown]), both).chunk(2)
    turn = losses.critic_turn(losses.named(settings.loss), of_real, of_made, shown, share)
    logged = {"critic_loss": turn.critic, "generator_loss": turn.generator}
    if nets.step % settings.penalty_every == 0:
        images = torch.cat([real, made]).requires_grad_(True)
        penalty = losses.gradient_penalty(images, nets.D(images, both))
        # Half gamma on each of R1 and R2, times the steps that it stands for.
        (share * gamma(settings, progress) * settings.penalty_every * penalty).backward()
        logged["penalty"] = penalty.detach()
    return turn.pull, logged


def set_rates(nets: State, progress: float) -> None:
    """Each phase warms up; the game's rates fall linearly in the second half of its time."""
    settings: GuidedSettings = nets.settings
    playing = progress >= settings.critic_from
    middle = (1 + min(settings.critic_from, 0.5)) / 2
    falling = 1.0 if progress < middle else max(0.02, (1 - progress) / (1 - middle))
    since_start = (progress - settings.features_until) / 0.02
    since_critic = (progress - settings.critic_from) / 0.02
    for optimizer, rate, warm, beta1 in (
        (nets.opt_G, settings.rate, since_start, settings.beta1 if playing else 0.9),
        (nets.opt_D, settings.critic_rate, since_critic, settings.beta1),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * falling * min(1.0, max(0.05, warm))
            group["betas"] = (beta1, settings.beta2)
