"""Training of a conditional VAE whose decoder is also the generator of a GAN.

Sources: VAE/GAN, Larsen et al. 2016, 1512.09300; CVAE-GAN, Bao et al. 2017, 1703.10155. Training
has three phases:

1. A small classifier learns features of the images (models.images.feature_extractor).
2. Encoder and generator learn to reconstruct images, in pixels and in these features.
3. A critic joins, which compares each image with its own reconstruction.

New images are sampled from a prior that is fitted to the encoder's latents (vae_gan.latent_prior).
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import losses
from models.autocast import bf16_autocast
from models.checkpoint import Resumable
from models.device import release_memory
from models.images.adaptive_augmentation import NUM_UNIFORMS, create_augmentation
from models.images.data import ImageBatches, LabeledImages
from models.images.feature_extractor import FeatureNetwork
from models.images.main_phase import GeneratorFn
from models.images.r1_schedule import r1_gamma
from models.images.vae_gan.latent_buffer import LatentBuffer
from models.images.vae_gan.networks import Critic, Encoder, Generator
from models.images.vae_gan.settings import VaeGanSettings
from models.images.weights import adamw, channels_last, load_with_label_map
from models.microbatch import Part, Position, apply_in_parts, smaller_microbatch
from models.placement import upload
from models.weight_average import WeightAverage

# The prior of the finished model is fitted to half as many images as the encoder was trained on,
# within these limits, so that a short run spends a bounded share of its budget on it.
MIN_ENCODED_IMAGES, MAX_ENCODED_IMAGES = 1_000, 30_000
ENCODING_BATCH_SIZE = 500
MEASURED_IMAGES = 512  # for the scales of the reconstruction errors


class VaeGan:
    """Encoder, generator and critic: the second and the third phase (see MainPhase)."""

    saved = ("G", "E", "D", "average", "opt_G", "opt_D", "scales", "microbatch_size")

    def __init__(
        self, settings: VaeGanSettings, data: LabeledImages, features: FeatureNetwork, seed: int
    ) -> None:
        self.settings, self.data, self.features, self.seed = settings, data, features, seed
        self.augmentation = create_augmentation(settings, data)
        uniforms_size = NUM_UNIFORMS if self.augmentation else 0
        self.batches = ImageBatches(
            data, settings.batch_size, seed, settings.latent_dim, uniforms_size
        )
        self.microbatch_size: int | None = settings.batch_size
        self.G = channels_last(Generator(settings)).to(data.device)
        self.E = Encoder(settings, features.classifier.second_size).to(data.device)
        self.D = channels_last(Critic(settings)).to(data.device)
        self.autoencoder = nn.ModuleDict({"G": self.G, "E": self.E})
        self.average = WeightAverage(self.autoencoder, settings.ema_decay)
        self.opt_G = adamw(self.autoencoder, settings.generator_lr, 0.9)
        self.opt_D = adamw(self.D, settings.critic_lr, settings.beta1)
        self.optimizers = (self.opt_G, self.opt_D)
        self.latents = LatentBuffer(settings, seed, data.device)
        # 1 / variance of the pixels and of each feature level; empty until the features are frozen.
        self.scales = torch.empty(0, device=data.device)
        self.penalty_weight = torch.zeros((), device=data.device)  # of this step

    @property
    def noise_size(self) -> int:
        return 1 + self.settings.latent_dim

    @property
    def is_generator_only(self) -> bool:
        return self.settings.critic_start_fraction == 1

    @property
    def training_fraction(self) -> float:
        return 1 - self.settings.prior_budget_fraction

    def prepare(self) -> None:
        """Measure the variance of the frozen features' levels on some images.

        If memory runs out, fewer images must do.
        """
        count: int | None = MEASURED_IMAGES
        while count is not None:
            try:
                self._measure_scales(count)
                count = None
            except Exception as error:
                count = smaller_microbatch(count, error)
            if count is not None:  # outside of the handler, because the error refers to tensors
                release_memory(self.data.device)

    @torch.no_grad()
    def _measure_scales(self, count: int) -> None:
        torch.manual_seed(self.seed)
        train = self.data.train
        images, _ = self.data.batch(train[torch.randperm(len(train))[:count].sort().values])
        assert self.features.frozen is not None  # noqa: S101 - frozen before this phase
        levels = [images, *self.features.frozen.levels(images)]
        self.scales = torch.stack([1 / (level.var() + 1e-4) for level in levels])

    def begin_step(self, position: Position) -> Hashable | None:
        """Set the weight of the penalty. Return whether the critic and its penalty take part.

        Other packages may register losses that cannot be recorded.
        """
        settings = self.settings
        has_critic, has_penalty = self._kind_of(position)
        if has_penalty:
            # Times the interval, because the steps in between have no penalty (lazy
            # regularization).
            self.penalty_weight.fill_(r1_gamma(settings, position.progress) * settings.r1_interval)
        is_recordable = not has_critic or settings.loss in losses.LOSSES
        return (has_critic, has_penalty) if is_recordable else None

    def _kind_of(self, position: Position) -> tuple[bool, bool]:
        has_critic = position.progress >= self.settings.critic_start_fraction
        return has_critic, has_critic and position.step % self.settings.r1_interval == 0

    def add_gradients(self, part: Part) -> dict[str, Tensor]:
        """Add the gradients of all networks. Return values to log.

        The loss of encoder and generator is

            pixel_weight * mse(x, x') + feature_weight * sum_l mse(f_l(x), f_l(x'))
            + kl_weight * KL(q(z | x, y) || N(0, 1)) + adversarial_weight * L_G(x'),

        where x' = G(z, y) is the reconstruction, f_l is level l of the frozen features, and each
        mse is divided by the variance of its level. The gradient of L_G comes from the critic's own
        backward pass (losses.critic_step).
        """
        settings, features = self.settings, self.features.frozen
        assert features is not None  # noqa: S101 - frozen before this phase
        real, y, noise, *uniforms = part.batch
        has_critic, has_penalty = self._kind_of(part.position)
        with bf16_autocast(real.device):
            with torch.no_grad():
                real_levels = [real, *features.levels(real)]
            # Level 2 is features.encoder_features(real), which is the encoder's input.
            mean, log_variance = self.E(real_levels[2].flatten(1), y)
            z = mean + noise * (0.5 * log_variance).exp()
            self.latents.stage(part.start, z.detach(), y)
            fake = self.G(z, y)
            fake_levels = [fake, *features.levels(fake)]
            errors = [
                scale * F.mse_loss(a, b)
                for scale, a, b in zip(self.scales.unbind(), fake_levels, real_levels, strict=True)
            ]
            kl = losses.kl_to_standard_normal(mean, log_variance)
            loss = settings.pixel_weight * errors[0] + settings.feature_weight * sum(errors[1:])
            loss = loss + settings.kl_weight * kl
            logged = {"pixel_error": errors[0].detach(), "kl": kl.detach()}
            if has_critic:
                fake_leaf = fake.detach().clone().requires_grad_(True)
                labels = torch.cat([y, y])
                seen = torch.cat([real, fake_leaf])
                if self.augmentation:  # A pair shares its transforms: only the images differ.
                    seen = self.augmentation.transform(seen, uniforms[0].repeat(2, 1))
                real_scores, fake_scores = self.D(seen, labels).chunk(2)
                if self.augmentation:
                    self.augmentation.observe(part.start, real_scores, fake_scores)
                    logged["augmentation_prob"] = self.augmentation.prob.clone()
                adversarial = losses.get_loss(settings.loss)
                critic = losses.critic_step(
                    adversarial, real_scores, fake_scores, fake_leaf, part.share
                )
                # The gradient of this sum with respect to `fake` is exactly d L_G / d fake.
                loss = loss + settings.adversarial_weight * (fake * critic.generator_grad).sum()
                logged["critic_loss"] = critic.critic_loss
                logged["generator_loss"] = critic.generator_loss
                if has_penalty:
                    images = seen.detach().requires_grad_(True)
                    penalty = losses.gradient_penalty(images, self.D(images, labels))
                    # Half of gamma for R1 and half for R2: the mean covers real and fake images.
                    part.backward(self.penalty_weight * penalty)
                    logged["gradient_penalty"] = penalty.detach()
            part.backward(loss)
        return logged

    def apply_gradients(self, position: Position) -> None:
        set_learning_rates(self, position.progress)
        nn.utils.clip_grad_norm_(self.autoencoder.parameters(), 5.0)
        for optimizer in self.optimizers:
            optimizer.step()  # Without gradients, as those of the critic at first, it does nothing.

    def update_average(self, step: int) -> None:
        self.average.update(step)
        self.latents.record_staged()
        if self.augmentation:
            self.augmentation.update()

    @torch.no_grad()
    def finalize(self) -> None:
        """Fit the final prior, with a mixture per label, to latents of the averaged encoder."""
        if self.features.frozen is None:
            return
        torch.manual_seed(self.seed)
        train = self.data.train
        count = min(max(self.latents.seen // 2, MIN_ENCODED_IMAGES), MAX_ENCODED_IMAGES)
        order = torch.randperm(len(train))[:count].sort().values.numpy()
        latents, labels = [], []
        for start in range(0, len(order), ENCODING_BATCH_SIZE):
            index = train[order[start : start + ENCODING_BATCH_SIZE]]
            noise = torch.randn(len(index), self.settings.latent_dim)
            latents.append(
                apply_in_parts(
                    self._encode, torch.from_numpy(index), noise, device=self.data.device
                )
            )
            labels.append(torch.from_numpy(self.data.labels[index]).long())
        self.latents.fit_final_prior(torch.cat(latents), torch.cat(labels))

    def _encode(self, index: Tensor, noise: Tensor) -> Tensor:
        """Return (B, Z) latents of the averaged encoder. All tensors are on the CPU."""
        assert self.features.frozen is not None  # noqa: S101 - frozen before the encoder is trained
        images, y = self.data.batch(index.numpy())
        mean, log_variance = self.ema_encoder(self.features.frozen.encoder_features(images), y)
        return (mean + upload(noise, self.data.device) * (0.5 * log_variance).exp()).cpu()

    @property
    def ema_encoder(self) -> nn.Module:
        return self.average.network.get_submodule("E")

    def ema_generator(self) -> GeneratorFn:
        generator, prior = self.average.network.get_submodule("G"), self.latents.prior()
        return lambda noise, y: generator(prior(noise, y), y)

    def sampling_networks(self) -> dict[str, nn.Module]:
        return {
            "generator": self.average.network.get_submodule("G"),
            "prior": self.latents.prior(),
        }

    def resumable(self) -> dict[str, Resumable]:
        augmentation = {"augmentation": self.augmentation} if self.augmentation else {}
        return {"networks": self, "latents": self.latents, **augmentation}

    def load_pretrained(
        self, state: Mapping[str, Mapping[str, Any]], label_map: Sequence[int]
    ) -> None:
        networks = state["networks"]
        for name in ("G", "E", "D"):
            load_with_label_map(getattr(self, name), networks[name], label_map)
        load_with_label_map(self.average.network, networks["average"], label_map)
        self.scales = networks["scales"].to(self.data.device, copy=True)
        self.latents.load_pretrained(state["latents"])


def set_learning_rates(networks: VaeGan, progress: float) -> None:
    """Set the learning rates and betas of a step.

    Each phase warms up over 2 % of the budget. The rates are constant until the middle of the
    adversarial phase (of the second half of the run, if the critic joins late), and then decay
    linearly to 2 %.
    """
    settings = networks.settings
    critic_active = progress >= settings.critic_start_fraction
    middle = (1 + min(settings.critic_start_fraction, 0.5)) / 2
    decay = 1.0 if progress < middle else max(0.02, (1 - progress) / (1 - middle))
    generator_warmup = (progress - settings.feature_budget_fraction) / 0.02
    critic_warmup = (progress - settings.critic_start_fraction) / 0.02
    for optimizer, rate, warmup, beta1 in (
        (
            networks.opt_G,
            settings.generator_lr,
            generator_warmup,
            settings.beta1 if critic_active else 0.9,
        ),
        (networks.opt_D, settings.critic_lr, critic_warmup, settings.beta1),
    ):
        for group in optimizer.param_groups:
            group["lr"] = rate * decay * min(1.0, max(0.05, warmup))
            group["betas"] = (beta1, settings.beta2)
