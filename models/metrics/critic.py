"""Accuracy of a critic on held-out real items and new fakes, and calibration of its scores.

Relativistic losses determine only differences of scores, so a threshold of 0 is meaningless. The
threshold is chosen on one half of the scores, and the accuracy is measured on the other half.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.metrics.roc import roc_auc

NEWTON_STEPS = 15


@dataclass(frozen=True)
class CriticAccuracy:
    """Shares in [0, 1]: about 0.5 for a critic that guesses, 1 for a perfect critic.

    `real` and `fake` are the shares of correctly classified items. `auc` is the area under the ROC
    curve, which needs no threshold: the share of all (real, fake) pairs in which the real item
    scores higher (Hanley & McNeil 1982).
    """

    real: float
    fake: float
    auc: float

    def to_metrics(self) -> dict[str, float]:
        """Return the metrics that a training reports."""
        return {
            "critic_accuracy_real": self.real,
            "critic_accuracy_fake": self.fake,
            "critic_auc": self.auc,
        }


def critic_accuracy(real: Tensor, fake: Tensor) -> CriticAccuracy:
    """Return the accuracy for (N,) scores of held-out real items and (M,) scores of new fakes.

    Scores that equal the threshold, or each other, count one half. N and M must be at least 2.
    """
    real, fake = real.detach().float().cpu(), fake.detach().float().cpu()
    threshold = (real[::2].median() + fake[::2].median()) / 2
    return CriticAccuracy(
        real=_share_above(real[1::2], threshold),
        fake=1 - _share_above(fake[1::2], threshold),
        auc=roc_auc(real, fake).value,
    )


def calibration(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Return the slope and intercept that convert scores to probabilities (Platt scaling).

    sigmoid(slope * score + intercept) is the probability that an item is real, where half of all
    items are real. The slope is 0 for a critic that is wrong more often than right. The scores are
    (N,) and (M,), as for `critic_accuracy`.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999. The targets are those
    of the paper, (N + 1) / (N + 2) and 1 / (M + 2) instead of 1 and 0. They keep the slope finite
    if the scores separate both sets perfectly.
    """
    scores = torch.cat([real, fake]).detach().double().cpu().numpy()
    mean, deviation = scores.mean(), max(scores.std(), 1e-12)
    x = np.stack([(scores - mean) / deviation, np.ones(len(scores))], axis=1)
    n, m = len(real), len(fake)
    target = np.repeat([(n + 1) / (n + 2), 1 / (m + 2)], [n, m])
    weight = np.repeat([0.5 / n, 0.5 / m], [n, m])
    parameters = np.zeros(2)  # slope and intercept of the standardized scores
    for _ in range(NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-(x @ parameters)))
        gradient = x.T @ (weight * (probability - target))
        hessian = x.T @ ((weight * probability * (1 - probability))[:, None] * x) + 1e-9 * np.eye(2)
        # Bounded, because the first full Newton steps overshoot if the sets are well separated.
        parameters -= np.clip(np.linalg.solve(hessian, gradient), -2, 2)
    slope, intercept = parameters.tolist()
    if slope <= 0:
        return 0.0, 0.0
    return float(slope / deviation), float(intercept - slope * mean / deviation)


def _share_above(scores: Tensor, threshold: Tensor) -> float:
    return float((scores > threshold).float().mean() + (scores == threshold).float().mean() / 2)
