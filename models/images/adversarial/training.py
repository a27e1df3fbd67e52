"""Training of a conditional GAN: generator and critic both get the label.

Sources: Goodfellow et al. 2014, 1406.2661; Mirza & Osindero 2014, 1411.1784.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models import losses
from models.checkpoint import Resumable
from models.images.adaptive_augmentation import NUM_UNIFORMS, create_augmentation
from models.images.adversarial import networks
from models.images.adversarial.settings import AdversarialSettings
from models.images.data import ImageBatches, LabeledImages
from models.images.main_phase import GeneratorFn
from models.images.r1_schedule import r1_gamma
from models.images.weights import adamw, channels_last, load_with_label_map
from models.microbatch import Part, Position
from models.weight_average import WeightAverage


class Gan:
    """Generator and critic (see MainPhase).

    The feature network is used for evaluation only, not for training.
    """

    saved = ("G", "D", "average", "opt_G", "opt_D", "microbatch_size")
    is_generator_only = False
    training_fraction = 1.0

    def __init__(self, settings: AdversarialSettings, data: LabeledImages, seed: int) -> None:
        self.settings = settings
        self.augmentation = create_augmentation(settings, data)
        uniforms_size = NUM_UNIFORMS if self.augmentation else 0
        self.batches = ImageBatches(
            data, settings.batch_size, seed, settings.latent_dim, uniforms_size
        )
        self.microbatch_size: int | None = settings.batch_size
        factory = networks.get_network_factory(settings.architecture)
        self.G = channels_last(factory.generator(settings)).to(data.device)
        self.D = channels_last(factory.critic(settings)).to(data.device)
        self.average = WeightAverage(self.G, settings.ema_decay)
        self.opt_G = adamw(self.G, settings.generator_lr, settings.beta1)
        self.opt_D = adamw(self.D, settings.critic_lr, settings.beta1)
        self.optimizers = (self.opt_G, self.opt_D)
        self.loss = losses.get_loss(settings.loss)
        # Networks and losses of other packages may not be recordable.
        self._is_recordable = (
            settings.architecture in networks.BUILTIN and settings.loss in losses.LOSSES
        )
        self.penalty_weight = torch.zeros((), device=data.device)  # of this step

    @property
    def noise_size(self) -> int:
        return self.settings.latent_dim

    def prepare(self) -> None:
        """Do nothing: the features are not used for training."""

    def begin_step(self, position: Position) -> Hashable | None:
        """Set the weight of the penalty. Return whether there is one."""
        has_penalty = self._has_penalty(position)
        if has_penalty:
            # Times the interval, because the steps in between have no penalty (lazy
            # regularization).
            weight = r1_gamma(self.settings, position.progress) * self.settings.r1_interval
            self.penalty_weight.fill_(weight)
        return has_penalty if self._is_recordable else None

    def _has_penalty(self, position: Position) -> bool:
        return self.settings.r1_gamma_start > 0 and position.step % self.settings.r1_interval == 0

    def add_gradients(self, part: Part) -> dict[str, Tensor]:
        """Add the gradients of both networks. Return values to log."""
        real, y, z, *uniforms = part.batch
        fake = self.G(z, y)
        # A leaf tensor: the critic's backward pass stops at the images.
        fake_leaf = fake.detach().requires_grad_(True)
        seen, seen_fake = real, fake_leaf  # by the critic
        if self.augmentation:  # A pair shares its transforms: only the images differ.
            both = self.augmentation.transform(
                torch.cat([real, fake_leaf]), uniforms[0].repeat(2, 1)
            )
            seen, seen_fake = both[: len(real)].detach(), both[len(real) :]
        real_scores, fake_scores = self.D(seen, y), self.D(seen_fake, y)
        critic = losses.critic_step(self.loss, real_scores, fake_scores, fake_leaf, part.share)
        # The gradient of this sum with respect to `fake` is exactly d generator loss / d fake.
        part.backward((fake * critic.generator_grad).sum())
        logged = {"critic_loss": critic.critic_loss, "generator_loss": critic.generator_loss}
        if self.augmentation:
            self.augmentation.observe(part.start, real_scores, fake_scores)
            logged["augmentation_prob"] = self.augmentation.prob.clone()
        if self._has_penalty(part.position):
            images = torch.cat([seen, seen_fake]).detach().requires_grad_(True)
            penalty = losses.gradient_penalty(images, self.D(images, torch.cat([y, y])))
            # Half of gamma for R1 and half for R2: the mean covers real and fake images.
            part.backward(self.penalty_weight * penalty)
            logged["gradient_penalty"] = penalty.detach()
        return logged

    def apply_gradients(self, position: Position) -> None:
        """Take a step; the rates are constant in the first half of the run, then decay linearly."""
        settings = self.settings
        decay = min(1.0, max(0.02, 2 * (1 - position.progress)))
        for optimizer, rate in (
            (self.opt_G, settings.generator_lr),
            (self.opt_D, settings.critic_lr),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * decay
                group["betas"] = (settings.beta1, settings.beta2)
            optimizer.step()

    def update_average(self, step: int) -> None:
        self.average.update(step)
        if self.augmentation:
            self.augmentation.update()

    def finalize(self) -> None:
        """Do nothing: the model is complete after the last step."""

    def ema_generator(self) -> GeneratorFn:
        return self.average.network

    def sampling_networks(self) -> dict[str, nn.Module]:
        return {"generator": self.average.network}

    def resumable(self) -> dict[str, Resumable]:
        augmentation = {"augmentation": self.augmentation} if self.augmentation else {}
        return {"networks": self, **augmentation}

    def load_pretrained(
        self, state: Mapping[str, Mapping[str, Any]], label_map: Sequence[int]
    ) -> None:
        for name in ("G", "D"):
            load_with_label_map(getattr(self, name), state["networks"][name], label_map)
        load_with_label_map(self.average.network, state["networks"]["average"], label_map)
