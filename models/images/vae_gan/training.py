"""Trainer of a conditional VAE whose decoder is also the generator of a GAN.

Sources: VAE/GAN, Larsen et al. 2016, 1512.09300; CVAE-GAN, Bao et al. 2017, 1703.10155. Training
has three phases:

1. A small classifier learns features of the images (models.images.feature_extractor).
2. Encoder and generator learn to reconstruct images, in pixels and in these features.
3. A critic joins, which compares each image with its own reconstruction.

New images are sampled from a prior that is fitted to the encoder's latents (vae_gan.latent_prior).
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
    """Implementation of models.images.trainer.Trainer."""

    def train_step(
        self, images: Tensor, y: Tensor, progress: float, callbacks: TrainingCallbacks
    ) -> dict[str, Tensor]:
        set_learning_rates(self, progress)

        def reset() -> None:
            seeding.seed_step(self.seed, self.step)
            for optimizer in (self.opt_G, self.opt_D):
                optimizer.zero_grad(set_to_none=True)

        def backward(images: Tensor, y: Tensor, share: float) -> dict[str, Tensor]:
            with bf16_autocast():
                return add_gradients(self, images, y, progress, share)

        self.microbatch_size, logged = accumulate_gradients(
            (images, y), self.microbatch_size, reset, backward, self.step, callbacks
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
    """Add the gradients of all networks for `fraction` of a batch. Return values to log.

    The loss of encoder and generator is

        pixel_weight * mse(x, x') + feature_weight * sum_l mse(f_l(x), f_l(x'))
        + kl_weight * KL(q(z | x, y) || N(0, 1)) + adversarial_weight * L_G(x'),

    where x' = G(z, y) is the reconstruction, f_l is level l of the frozen features, and each mse is
    divided by the variance of its level. The gradient of L_G comes from the critic's own backward
    pass (losses.critic_step).
    """
    settings, features = trainer.settings, trainer.features.frozen
    assert features is not None  # noqa: S101 - frozen before the first call
    with torch.no_grad():
        real_levels = [real, *features.levels(real)]
    # Level 2 is features.encoder_features(real), which is the encoder's input.
    mean, log_variance = trainer.E(real_levels[2].flatten(1), y)
    z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    trainer.record_latents(z.detach(), y)
    fake = trainer.G(z, y)
    fake_levels = [fake, *features.levels(fake)]
    errors = [
        scale * F.mse_loss(a, b)
        for scale, a, b in zip(trainer.scales.tolist(), fake_levels, real_levels, strict=True)
    ]
    kl = losses.kl_to_standard_normal(mean, log_variance)
    loss = settings.pixel_weight * errors[0] + settings.feature_weight * sum(errors[1:])
    loss = loss + settings.kl_weight * kl
    logged = {"pixel_error": errors[0].detach(), "kl": kl.detach()}
    if progress >= settings.critic_start_fraction:
        generator_grad, critic_logged = add_critic_gradients(
            trainer, real, fake.detach(), y, progress, fraction
        )
        # The gradient of this sum with respect to `fake` is exactly d L_G / d fake.
        loss = loss + settings.adversarial_weight * (fake * generator_grad).sum()
        logged |= critic_logged
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
    """Add `fraction` of the critic's gradients. Return d generator loss / d fake and the losses."""
    settings = trainer.settings
    fake_leaf = fake.clone().requires_grad_(True)
    labels = torch.cat([y, y])
    real_scores, fake_scores = trainer.D(torch.cat([real, fake_leaf]), labels).chunk(2)
    step = losses.critic_step(
        losses.get_loss(settings.loss), real_scores, fake_scores, fake_leaf, fraction
    )
    logged = {"critic_loss": step.critic_loss, "generator_loss": step.generator_loss}
    if trainer.step % settings.r1_interval == 0:
        images = torch.cat([real, fake]).requires_grad_(True)
        penalty = losses.gradient_penalty(images, trainer.D(images, labels))
        # Half of gamma for R1 and half for R2: the mean covers real and fake images. Times the
        # interval, because the steps in between have no penalty (lazy regularization).
        (fraction * r1_gamma(settings, progress) * settings.r1_interval * penalty).backward()
        logged["gradient_penalty"] = penalty.detach()
    return step.generator_grad, logged


def set_learning_rates(trainer: VaeGanState, progress: float) -> None:
    """Set the learning rates and betas of a step.

    Each phase warms up over 2 % of the budget. The rates are constant until the middle of the
    adversarial phase (of the second half of the run, if the critic joins late), and then decay
    linearly to 2 %.
    """
    settings: VaeGanSettings = trainer.settings
    critic_active = progress >= settings.critic_start_fraction
    middle = (1 + min(settings.critic_start_fraction, 0.5)) / 2
    decay = 1.0 if progress < middle else max(0.02, (1 - progress) / (1 - middle))
    generator_warmup = (progress - settings.feature_budget_fraction) / 0.02
    critic_warmup = (progress - settings.critic_start_fraction) / 0.02
    for optimizer, rate, warmup, beta1 in (
        (
            trainer.opt_G,
            settings.generator_lr,
            generator_warmup,
            settings.beta1 if critic_active else 0.9,
        ),
        (trainer.opt_D, settings.critic_lr, critic_warmup, settings.beta1),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * decay * min(1.0, max(0.05, warmup))
            group["betas"] = (beta1, settings.beta2)
