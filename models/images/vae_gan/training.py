"""A conditional generator against a critic, guided by an encoder.

A variational autoencoder whose decoder is the generator of an adversarial game (VAE/GAN, Larsen et
al. 2016, 1512.09300; CVAE-GAN, Bao et al. 2017, 1703.10155), in three phases: a small classifier
learns what the images differ in; encoder and generator learn to reconstruct images in pixels and in
its features; then a critic joins, which compares each image with its own reconstruction. New images
are drawn from a prior that is fitted to the noise that the encoder finds (vae_gan.latent_prior).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import losses, seeding
from models.autocast import bf16_autocast
from models.images.r1_schedule import r1_gamma
from models.images.vae_gan.settings import VaeGanSettings
from models.images.vae_gan.state import VaeGanState
from models.microbatch import accumulate_gradients
from models.training_callbacks import TrainingCallbacks


class VaeGanTrainer(VaeGanState):
    """As models.images.trainer.Trainer."""

    def train_step(
        self, images: Tensor, y: Tensor, progress: float, callbacks: TrainingCallbacks
    ) -> dict[str, Tensor]:
        set_learning_rates(self, progress)

        def begin() -> None:
            seeding.seed_step(self.seed, self.step)
            for optimizer in (self.opt_G, self.opt_D):
                optimizer.zero_grad(set_to_none=True)

        def add(images: Tensor, y: Tensor, share: float) -> dict[str, Tensor]:
            with bf16_autocast():
                return add_gradients(self, images, y, progress, share)

        self.microbatch_size, logged = accumulate_gradients(
            (images, y), self.microbatch_size, begin, add, self.step, callbacks
        )
        nn.utils.clip_grad_norm_(self.autoencoder.parameters(), 5.0)
        self.opt_G.step()
        if progress >= self.settings.critic_start_fraction:
            self.opt_D.step()
        self.update_ema()
        return logged


def add_gradients(
    trainer: VaeGanState, real: Tensor, y: Tensor, progress: float, fraction: float = 1.0
) -> dict[str, Tensor]:
    """Add the gradients of both games to both sides, for `share` of a batch; no parameter changes.

    The generator's share that comes through the critic is taken from the critic's own backward pass
    (losses.critic_step).
    """
    settings, features = trainer.settings, trainer.features.frozen
    assert features is not None  # noqa: S101 - settled before the first call
    with torch.no_grad():
        truth = [real, *features.levels(real)]
    mean, log_variance = trainer.E(truth[2].flatten(1), y)
    z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    trainer.record_latents(z.detach(), y)
    made = trainer.G(z, y)
    found = [made, *features.levels(made)]
    errors = [
        scale * F.mse_loss(a, b)
        for scale, a, b in zip(trainer.scales.tolist(), found, truth, strict=True)
    ]
    kl = losses.kl_to_standard_normal(mean, log_variance)
    loss = settings.pixel_weight * errors[0] + settings.feature_weight * sum(errors[1:])
    loss = loss + settings.kl_weight * kl
    logged = {"pixel_error": errors[0].detach(), "kl": kl.detach()}
    if progress >= settings.critic_start_fraction:
        pull, more = add_critic_gradients(trainer, real, made.detach(), y, progress, fraction)
        loss = loss + settings.adversarial_weight * (made * pull).sum()
        logged |= more
    (fraction * loss).backward()
    return logged


def add_critic_gradients(
    trainer: VaeGanState,
    real: Tensor,
    fake: Tensor,
    y: Tensor,
    progress: float,
    fraction: float = 1.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add `share` of the critic's gradients; returns d generator_loss / d made, too."""
    settings = trainer.settings
    shown = fake.clone().requires_grad_(True)
    both = torch.cat([y, y])
    of_real, of_made = trainer.D(torch.cat([real, shown]), both).chunk(2)
    turn = losses.critic_step(losses.get_loss(settings.loss), of_real, of_made, shown, fraction)
    logged = {"critic_loss": turn.critic_loss, "generator_loss": turn.generator_loss}
    if trainer.step % settings.r1_interval == 0:
        images = torch.cat([real, fake]).requires_grad_(True)
        penalty = losses.gradient_penalty(images, trainer.D(images, both))
        # Half gamma on each of R1 and R2, times the steps that it stands for.
        (fraction * r1_gamma(settings, progress) * settings.r1_interval * penalty).backward()
        logged["gradient_penalty"] = penalty.detach()
    return turn.generator_grad, logged


def set_learning_rates(trainer: VaeGanState, progress: float) -> None:
    """Each phase warms up; the game's rates fall linearly in the second half of its time."""
    settings: VaeGanSettings = trainer.settings
    playing = progress >= settings.critic_start_fraction
    middle = (1 + min(settings.critic_start_fraction, 0.5)) / 2
    falling = 1.0 if progress < middle else max(0.02, (1 - progress) / (1 - middle))
    since_start = (progress - settings.feature_budget_fraction) / 0.02
    since_critic = (progress - settings.critic_start_fraction) / 0.02
    for optimizer, rate, warm, beta1 in (
        (trainer.opt_G, settings.generator_lr, since_start, settings.beta1 if playing else 0.9),
        (trainer.opt_D, settings.critic_lr, since_critic, settings.beta1),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * falling * min(1.0, max(0.05, warm))
            group["betas"] = (beta1, settings.beta2)
