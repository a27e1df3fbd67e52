"""Monitor of the coverage of held-out images during a run.

Coverage (models.metrics.coverage) falls with every kind of failure, including those that precision
hides: a generator that repeats one good image has a precision of 1.
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from models.images.data import LabeledImages
from models.images.trainer import Trainer
from models.metrics.coverage import compute_prdc
from models.training_callbacks import check_finite

MIN_HOLDOUT_IMAGES = 50  # with fewer held-out images, coverage is too noisy to act on
MAX_HOLDOUT_IMAGES = 500


class CoverageMonitor:
    """Evaluates a trainer with the same held-out images, labels and noise every time."""

    def __init__(self, trainer: Trainer, data: LabeledImages) -> None:
        self._trainer = trainer
        rng = np.random.default_rng((trainer.seed, 2))
        holdout = data.holdout
        chosen = np.sort(rng.choice(holdout, min(MAX_HOLDOUT_IMAGES, len(holdout)), replace=False))
        self._images, self._labels = data.batch(chosen)
        generator = torch.Generator().manual_seed(trainer.seed)
        self._noise = torch.randn(len(chosen), trainer.noise_size, generator=generator)

    @torch.no_grad()
    def evaluate(self, logged: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the metrics of the current averaged generator.

        The result is empty before the feature network is frozen, and with too few held-out images.
        `logged` holds the losses of the last step.

        Raises:
            NonFiniteLoss: A logged loss is infinite or NaN, so the weights are unusable.
        """
        check_finite(self._trainer.step, logged)
        features = self._trainer.features.frozen
        if features is None or len(self._images) < MIN_HOLDOUT_IMAGES:
            return {}
        *_, real = features.levels(self._images)
        *_, fake = features.levels(self._trainer.ema_generator()(self._noise, self._labels))
        metrics = asdict(compute_prdc(real, fake))
        if self._trainer.features.predicts_labels:
            predictions = features.out(fake).argmax(1)
            metrics["label_accuracy"] = float((predictions == self._labels).float().mean())
        return metrics
