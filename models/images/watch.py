"""A look at a run from outside, now and then: do its images cover the held-out ones?

Coverage (models.measures.coverage) falls with every kind of failure, and with those that precision
hides: a generator that gives one good image again and again has a precision of 1.
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from models.images.data import LabelledImages
from models.images.learner import Learner
from models.measures.coverage import coverage
from models.run import check_finite

ENOUGH = 50  # held-out images; with fewer nothing can be said
MOST = 500


class Watch:
    """Shows the learner the same held-out images, labels and noise at every look."""

    def __init__(self, nets: Learner, data: LabelledImages) -> None:
        self._nets = nets
        rng = np.random.default_rng((nets.seed, 2))
        kept = data.held_out
        chosen = np.sort(rng.choice(kept, min(MOST, len(kept)), replace=False))
        self._images, self._labels = data.batch(chosen)
        numbers = torch.Generator().manual_seed(nets.seed)
        self._noise = torch.randn(len(chosen), nets.noise_size, generator=numbers)

    @torch.no_grad()
    def look(self, logged: Mapping[str, Tensor]) -> dict[str, float]:
        """Measures of the averaged generator as it is now. Empty before the features are learnt, or
        with too few held-out images. Raises NonFiniteLoss when a loss of the last step says that
        there is nothing left to look at."""
        check_finite(self._nets.step, logged)
        features = self._nets.features.frozen
        if features is None or len(self._images) < ENOUGH:
            return {}
        *_, real = features.levels(self._images)
        *_, fake = features.levels(self._nets.draw()(self._noise, self._labels))
        found = asdict(coverage(real, fake))
        if self._nets.features.tells_labels:
            said = features.out(fake).argmax(1)
            found["label_agreement"] = float((said == self._labels).float().mean())
        return found
