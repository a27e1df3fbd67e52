"""Training state of `vae_gan` and `cvae`: everything that a checkpoint must hold."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.checkpoint import flatten, pack, unflatten, unpack
from models.images import sample_scorer
from models.images.data import LabeledImages
from models.images.early_stopping import EarlyStopping
from models.images.feature_extractor import FeatureNetwork
from models.images.trainer import GeneratorFn
from models.images.vae_gan.latent_prior import LatentPrior, fit_prior, within_label_covariance
from models.images.vae_gan.networks import Critic, Encoder, Generator
from models.images.vae_gan.settings import VaeGanSettings
from models.images.weights import (
    adamw,
    channels_last,
    ema_copy,
    load_with_label_map,
    restore,
    update_ema,
)
from models.training_callbacks import PackedCheckpoint

LATENT_BUFFER_SIZE = 4096  # most recent latents, for the prior of previews and checkpoints
MAX_ENCODED_IMAGES = 30_000  # for the prior of the finished model
ENCODING_BATCH_SIZE = 500


class VaeGanState:
    """Networks, averaged weights, optimizers, feature network, latent buffer and step."""

    def __init__(self, settings: VaeGanSettings, data: LabeledImages, seed: int) -> None:
        torch.manual_seed(seed)
        self.settings, self.data, self.seed, self.step = settings, data, seed, 0
        self.microbatch_size = settings.batch_size  # lowered when memory runs out
        self.features = FeatureNetwork(settings)
        self.G = channels_last(Generator(settings))
        self.E = Encoder(settings, self.features.classifier.second_size)
        self.D = channels_last(Critic(settings))
        self.ema = ema_copy(nn.ModuleDict({"G": self.G, "E": self.E}))
        self.autoencoder = nn.ModuleDict({"G": self.G, "E": self.E})
        self.opt_G = adamw(self.autoencoder, settings.generator_lr, 0.9)
        self.opt_D = adamw(self.D, settings.critic_lr, settings.beta1)
        # Ring buffer of latents and labels; `seen` counts all latents that were written to it.
        self.seen_z = torch.zeros(LATENT_BUFFER_SIZE, settings.latent_dim)
        self.seen_y = torch.zeros(LATENT_BUFFER_SIZE, dtype=torch.long)
        self.seen = 0
        # 1 / variance of the pixels and of each feature level; empty until the features are frozen.
        self.scales = torch.empty(0)
        self.final_prior: LatentPrior | None = None
        # (Z, Z) covariance of latents within labels, from a pretrained model; otherwise empty.
        self.pretrained_covariance = torch.empty(0)
        self.early_stopping = EarlyStopping()
        self.calibration: Sequence[float] | None = None

    @property
    def noise_size(self) -> int:
        return 1 + self.settings.latent_dim

    @property
    def is_generator_only(self) -> bool:
        return self.settings.critic_start_fraction == 1

    @property
    def training_fraction(self) -> float:
        return 1 - self.settings.prior_budget_fraction

    def freeze_features(self) -> None:
        """Freeze the feature network and measure the variance of its levels on 512 images."""
        torch.manual_seed(self.seed)
        train = self.data.train
        images, _ = self.data.batch(train[torch.randperm(len(train))[:512].sort().values])
        self.features.freeze()
        assert self.features.frozen is not None  # noqa: S101 - just frozen
        with torch.no_grad():
            levels = [images, *self.features.frozen.levels(images)]
        self.scales = torch.stack([1 / (level.var() + 1e-4) for level in levels])

    def record_latents(self, z: Tensor, y: Tensor) -> None:
        slots = (self.seen + torch.arange(len(z))) % LATENT_BUFFER_SIZE
        self.seen_z[slots], self.seen_y[slots] = z, y
        self.seen += len(z)

    def prior(self) -> LatentPrior:
        """Return the final prior or, before `finalize`, one Gaussian per label."""
        if self.final_prior is not None:
            return self.final_prior
        n = min(self.seen, LATENT_BUFFER_SIZE)
        if n == 0:  # an unfitted prior is the standard normal
            return LatentPrior(
                self.settings.classes, self.settings.classes, self.settings.latent_dim
            )
        return self.fit_latent_prior(self.seen_z[:n], self.seen_y[:n], components=1)

    def fit_latent_prior(
        self, z: Tensor, y: Tensor, *, components: int, scale: float = 1.0
    ) -> LatentPrior:
        covariance = self.pretrained_covariance if len(self.pretrained_covariance) else None
        return fit_prior(z, y, self.settings.classes, components, self.seed, scale, covariance)

    @torch.no_grad()
    def finalize(self) -> None:
        """Fit the final prior, with a mixture per label, to latents of the averaged encoder."""
        if self.features.frozen is None:
            return
        torch.manual_seed(self.seed)
        train = self.data.train
        order = torch.randperm(len(train))[:MAX_ENCODED_IMAGES].sort().values.numpy()
        latents, labels = [], []
        for start in range(0, len(order), ENCODING_BATCH_SIZE):
            images, y = self.data.batch(train[order[start : start + ENCODING_BATCH_SIZE]])
            mean, log_variance = self.ema["E"](self.features.frozen.encoder_features(images), y)
            latents.append(mean + torch.randn_like(mean) * (0.5 * log_variance).exp())
            labels.append(y)
        settings = self.settings
        self.final_prior = self.fit_latent_prior(
            torch.cat(latents),
            torch.cat(labels),
            components=settings.prior_components,
            scale=settings.prior_scale,
        )

    def ema_generator(self) -> GeneratorFn:
        prior = self.prior()
        return lambda noise, y: self.ema["G"](prior(noise, y), y)

    def update_ema(self) -> None:
        update_ema(self.ema, self.autoencoder, self.settings.ema_decay, self.step)

    def stateful(self) -> dict[str, Any]:
        return {
            **self.features.stateful(),
            "G": self.G,
            "E": self.E,
            "D": self.D,
            "ema": self.ema,
            "opt_G": self.opt_G,
            "opt_D": self.opt_D,
        }

    def pack(self) -> PackedCheckpoint:
        """Serialize the training state and the model.

        Raises:
            NonFiniteState: A weight or a statistic is infinite or NaN.
        """
        tree: dict[str, Any] = {
            name: dict(part.state_dict()) for name, part in self.stateful().items()
        }
        tree |= {
            name: getattr(self, name)
            for name in ("seen_z", "seen_y", "scales", "pretrained_covariance")
        }
        tensors, structure = flatten(tree, "state")
        numbers = ("step", "seen", "microbatch_size", "calibration")
        header = {
            "modality": "image.state",
            "numbers": {name: getattr(self, name) for name in numbers},
            "early_stopping": asdict(self.early_stopping),
            "features": self.features.state(),
            "tree": structure,
        }
        model = sample_scorer.pack_sampler(
            {"generator": self.ema["G"], "prior": self.prior()},
            self.features,
            self.D,
            self.calibration,
            step=self.step,
            hyperparameters=self.settings.to_dict(),
        )
        parameters = sum(weight.numel() for weight in self.ema["G"].parameters())
        return PackedCheckpoint(pack(tensors, header), model, parameters)

    def load(self, path: Path) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        restore(self.stateful(), tree)
        for name in ("seen_z", "seen_y", "scales", "pretrained_covariance"):
            setattr(self, name, tree[name].clone())
        self.early_stopping = EarlyStopping(**header["early_stopping"])
        self.features.restore(header["features"])
        for name, number in header["numbers"].items():
            setattr(self, name, number)

    def load_pretrained(self, path: Path, label_map: Sequence[int]) -> None:
        tensors, header = unpack(path)
        tree = unflatten(header["tree"], tensors)
        for name in ("G", "E", "D", "ema"):
            load_with_label_map(getattr(self, name), tree[name], label_map)
        if header["features"]["frozen"]:
            self.features.load_pretrained(tree["classifier"])
            self.scales = tree["scales"].clone()
        n = min(header["numbers"]["seen"], LATENT_BUFFER_SIZE)
        if n > 0:
            z, y = tree["seen_z"][:n].double(), tree["seen_y"][:n]
            self.pretrained_covariance = within_label_covariance(
                [z[y == label] for label in y.unique()], z
            ).float()
