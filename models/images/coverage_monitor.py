"""A look at a run from outside, now and then: do its images cover the held-out ones?

Coverage (models.metrics.coverage) falls with every kind of failure, and with those that precision
hides: a generator that gives one good image again and again has a precision of 1.
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

MIN_HOLDOUT_IMAGES = 50  # held-out images; with fewer nothing can be said
MAX_HOLDOUT_IMAGES = 500


class CoverageMonitor:
    """Shows the learner the same held-out images, labels and noise at every look."""

    def __init__(self, trainer: Trainer, data: LabeledImages) -> None:
        self._nets = trainer
        rng = np.random.default_rng((trainer.seed, 2))
        kept = data.holdout
        chosen = np.sort(rng.choice(kept, min(MAX_HOLDOUT_IMAGES, len(kept)), replace=False))
        self._images, self._labels = data.batch(chosen)
        numbers = torch.Generator().manual_seed(trainer.seed)
        self._noise = torch.randn(len(chosen), trainer.noise_size, generator=numbers)

    @torch.no_grad()
    def evaluate(self, logged: Mapping[str, Tensor]) -> dict[str, float]:
        """Measures of the averaged generator as it is now. Empty before the features are learnt, or
        with too few held-out images. Raises NonFiniteLoss when a loss of the last step says that
        there is nothing left to look at."""
        check_finite(self._nets.step, logged)
        features = self._nets.features.frozen
        if features is None or len(self._images) < MIN_HOLDOUT_IMAGES:
            return {}
        *_, real = features.levels(self._images)
        *_, fake = features.levels(self._nets.ema_generator()(self._noise, self._labels))
        found = asdict(compute_prdc(real, fake))
        if self._nets.features.predicts_labels:
            said = features.out(fake).argmax(1)
            found["label_accuracy"] = float((said == self._labels).float().mean())
        return found
