"""Monitor of the coverage of held-out images during a run.

Coverage (models.metrics.coverage) falls with every kind of failure, including those that precision
hides: a generator that repeats one good image has a precision of 1.
"""

from dataclasses import asdict

import numpy as np
import torch

from models.images.data import LabeledImages
from models.images.feature_extractor import FeatureNetwork
from models.images.main_phase import MainPhase
from models.metrics.coverage import compute_prdc
from models.microbatch import apply_in_parts

MIN_HOLDOUT_IMAGES = 50  # with fewer held-out images, coverage is too noisy to act on
MAX_HOLDOUT_IMAGES = 500


class CoverageMonitor:
    """Evaluates a generator with the same held-out images, labels and noise every time."""

    def __init__(
        self, networks: MainPhase, features: FeatureNetwork, data: LabeledImages, seed: int
    ) -> None:
        self._networks, self._features, self._device = networks, features, data.device
        rng = np.random.default_rng((seed, 2))
        holdout = data.holdout
        chosen = np.sort(rng.choice(holdout, min(MAX_HOLDOUT_IMAGES, len(holdout)), replace=False))
        self._images, self._labels = data.batch(chosen)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(chosen), networks.noise_size, generator=generator)
        self._noise = noise.to(data.device)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return the metrics of the current averaged generator.

        The result is empty before the feature network is frozen, and with too few held-out images.
        """
        features = self._features.frozen
        if features is None or len(self._images) < MIN_HOLDOUT_IMAGES:
            return {}
        generator = self._networks.ema_generator()
        real = apply_in_parts(lambda x: features.levels(x)[-1], self._images, device=self._device)
        fake = apply_in_parts(
            lambda noise, y: features.levels(generator(noise, y))[-1],
            self._noise,
            self._labels,
            device=self._device,
        )
        metrics = asdict(compute_prdc(real.cpu(), fake.cpu()))
        if self._features.predicts_labels:
            predictions = features.out(fake).argmax(1)
            metrics["label_accuracy"] = float((predictions == self._labels).float().mean())
        return metrics
