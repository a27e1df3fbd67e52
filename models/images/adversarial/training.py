"""Trainer of a conditional GAN: generator and critic both get the label.

Sources: Goodfellow et al. 2014, 1406.2661; Mirza & Osindero 2014, 1411.1784.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import losses, seeding
from models.checkpoint import flatten, pack, unflatten, unpack
from models.images import sample_scorer
from models.images.adversarial import networks
from models.images.adversarial.settings import AdversarialSettings
from models.images.early_stopping import EarlyStopping
from models.images.feature_extractor import FeatureNetwork
from models.images.r1_schedule import r1_gamma
from models.images.trainer import GeneratorFn
from models.images.weights import (
    adamw,
    channels_last,
    ema_copy,
    load_with_label_map,
    restore,
    update_ema,
)
from models.microbatch import accumulate_gradients
from models.training_callbacks import PackedCheckpoint, TrainingCallbacks


class AdversarialTrainer:
    """Implementation of models.images.trainer.Trainer.

    The feature network is used for evaluation only, not for training.
    """

    def __init__(self, settings: AdversarialSettings, seed: int) -> None:
        torch.manual_seed(seed)
        self.settings, self.seed, self.step = settings, seed, 0
        self.microbatch_size = settings.batch_size
        self.features = FeatureNetwork(settings)
        factory = networks.get_network_factory(settings.architecture)
        self.G = channels_last(factory.generator(settings))
        self.D = channels_last(factory.critic(settings))
        self.ema = ema_copy(self.G)
        self.opt_G = adamw(self.G, settings.generator_lr, settings.beta1)
        self.opt_D = adamw(self.D, settings.critic_lr, settings.beta1)
        self.loss = losses.get_loss(settings.loss)
        self.early_stopping = EarlyStopping()
        self.calibration: Sequence[float] | None = None

    @property
    def noise_size(self) -> int:
        return self.settings.latent_dim

    def freeze_features(self) -> None:
        self.features.freeze()

    @property
    def is_generator_only(self) -> bool:
        return False

    @property
    def training_fraction(self) -> float:
        return 1.0

    def finalize(self) -> None:
        """Do nothing: the model is complete after the last step."""

    def train_step(
        self, images: Tensor, y: Tensor, progress: float, callbacks: TrainingCallbacks
    ) -> dict[str, Tensor]:
        settings = self.settings
        # Constant in the first half of the run, then linear decay.
        decay = min(1.0, max(0.02, 2 * (1 - progress)))
        for optimizer, rate in (
            (self.opt_G, settings.generator_lr),
            (self.opt_D, settings.critic_lr),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * decay
                group["betas"] = (settings.beta1, settings.beta2)

        def reset() -> None:
            seeding.seed_step(self.seed, self.step)
            for optimizer in (self.opt_G, self.opt_D):
                optimizer.zero_grad(set_to_none=True)

        def backward(images: Tensor, y: Tensor, share: float) -> dict[str, Tensor]:
            return self.add_gradients(images, y, progress, share)

        self.microbatch_size, logged = accumulate_gradients(
            (images, y), self.microbatch_size, reset, backward, self.step, callbacks
        )
        self.opt_G.step()
        self.opt_D.step()
        update_ema(self.ema, self.G, settings.ema_decay, self.step)
        return logged

    def add_gradients(
        self, real: Tensor, y: Tensor, progress: float, fraction: float = 1.0
    ) -> dict[str, Tensor]:
        """Add the gradients of both networks for `fraction` of a batch. Return values to log."""
        fake = self.G(torch.randn(len(y), self.settings.latent_dim), y)
        # A leaf tensor: the critic's backward pass stops at the images.
        fake_leaf = fake.detach().requires_grad_(True)
        step = losses.critic_step(
            self.loss, self.D(real, y), self.D(fake_leaf, y), fake_leaf, fraction
        )
        # The gradient of this sum with respect to `fake` is exactly d generator loss / d fake.
        (fraction * (fake * step.generator_grad).sum()).backward()
        logged = {"critic_loss": step.critic_loss, "generator_loss": step.generator_loss}
        weight = r1_gamma(self.settings, progress)
        if weight > 0 and self.step % self.settings.r1_interval == 0:
            images = torch.cat([real, fake.detach()]).requires_grad_(True)
            penalty = losses.gradient_penalty(images, self.D(images, torch.cat([y, y])))
            # Half of gamma for R1 and half for R2: the mean covers real and fake images. Times the
            # interval, because the steps in between have no penalty (lazy regularization).
            (fraction * weight * self.settings.r1_interval * penalty).backward()
            logged["gradient_penalty"] = penalty.detach()
        return logged

    def ema_generator(self) -> GeneratorFn:
        return self.ema

    def stateful(self) -> dict[str, Any]:
        return {
            **self.features.stateful(),
            "G": self.G,
            "D": self.D,
            "ema": self.ema,
            "opt_G": self.opt_G,
            "opt_D": self.opt_D,
        }

    def pack(self) -> PackedCheckpoint:
        tensors, structure = flatten(
            {name: dict(part.state_dict()) for name, part in self.stateful().items()}, "state"
        )
        header = {
            "modality": "image.state",
            "numbers": {
                name: getattr(self, name) for name in ("step", "microbatch_size", "calibration")
            },
            "early_stopping": asdict(self.early_stopping),
            "features": self.features.state(),
            "tree": structure,
        }
        model = sample_scorer.pack_sampler(
            {"generator": self.ema},
            self.features,
            self.D,
            self.calibration,
            step=self.step,
            hyperparameters=self.settings.to_dict(),
        )
        parameters = sum(weight.numel() for weight in self.ema.parameters())
        return PackedCheckpoint(pack(tensors, header), model, parameters)

    def load(self, path: Path) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        restore(self.stateful(), tree)
        self.early_stopping = EarlyStopping(**header["early_stopping"])
        self.features.restore(header["features"])
        for name, number in header["numbers"].items():
            setattr(self, name, number)

    def load_pretrained(self, path: Path, label_map: Sequence[int]) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name in ("G", "D", "ema"):
            load_with_label_map(getattr(self, name), tree[name], label_map)
        if header["features"]["frozen"]:
            self.features.load_pretrained(tree["classifier"])
