"""Recent latents of the encoder, and the latent prior that is fitted to them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.images.vae_gan.latent_prior import LatentPrior, fit_prior, within_label_covariance
from models.images.vae_gan.settings import VaeGanSettings

SIZE = 4096  # most recent latents, for the prior of previews and checkpoints


class LatentBuffer:
    """Ring buffer of latents and labels, and the prior of a run."""

    saved = ("z", "y", "seen", "pretrained_covariance")

    def __init__(self, settings: VaeGanSettings, seed: int, device: torch.device) -> None:
        self._settings, self._seed, self._device = settings, seed, device
        self.z = torch.zeros(SIZE, settings.latent_dim, device=device)
        self.y = torch.zeros(SIZE, dtype=torch.long, device=device)
        self.seen = 0  # all latents that were written to the buffer
        # Latents of the current step. A step that is repeated, because memory ran out, overwrites
        # them.
        self._staged_z = torch.zeros(settings.batch_size, settings.latent_dim, device=device)
        self._staged_y = torch.zeros(settings.batch_size, dtype=torch.long, device=device)
        # (Z, Z) covariance of latents within labels, from a pretrained model; otherwise empty.
        self.pretrained_covariance = torch.empty(0)
        self._final_prior: LatentPrior | None = None

    def stage(self, start: int, z: Tensor, y: Tensor) -> None:
        """Set the latents of a part of the batch that begins with item `start`."""
        self._staged_z[start : start + len(z)].copy_(z)
        self._staged_y[start : start + len(y)].copy_(y)

    def record_staged(self) -> None:
        """Add the latents of a completed step."""
        self.record(self._staged_z, self._staged_y)

    def record(self, z: Tensor, y: Tensor) -> None:
        start = self.seen % SIZE
        first = min(len(z), SIZE - start)  # the others overwrite the oldest, at the beginning
        for buffer, values in ((self.z, z), (self.y, y)):
            buffer[start : start + first] = values[:first]
            if first < len(values):
                buffer[: len(values) - first] = values[first:]
        self.seen += len(z)

    def prior(self) -> LatentPrior:
        """Return the final prior or, before `fit_final_prior`, one Gaussian per label."""
        if self._final_prior is not None:
            return self._final_prior
        settings, n = self._settings, min(self.seen, SIZE)
        if n == 0:  # an unfitted prior is the standard normal
            prior = LatentPrior(settings.classes, settings.classes, settings.latent_dim)
            return prior.to(self._device)
        return self._fit(self.z[:n], self.y[:n], components=1)

    def fit_final_prior(self, z: Tensor, y: Tensor) -> None:
        """Fit a mixture per label to (N, Z) latents."""
        settings = self._settings
        self._final_prior = self._fit(
            z, y, components=settings.prior_components, scale=settings.prior_scale
        )

    def _fit(self, z: Tensor, y: Tensor, *, components: int, scale: float = 1.0) -> LatentPrior:
        covariance = self.pretrained_covariance if len(self.pretrained_covariance) else None
        # On the CPU: the fit is many small operations in double precision.
        z, y, classes = z.cpu(), y.cpu(), self._settings.classes
        prior = fit_prior(z, y, classes, components, self._seed, scale, covariance)
        return prior.to(self._device)

    def load_pretrained(self, state: Mapping[str, Any]) -> None:
        """Take the covariance within labels from the saved buffer of another run."""
        n = min(state["seen"], SIZE)
        if n > 0:
            z, y = state["z"][:n].double(), state["y"][:n]
            self.pretrained_covariance = within_label_covariance(
                [z[y == label] for label in y.unique()], z
            ).float()
