"""How well a critic tells held-out real items from fresh generated ones.

Relativistic losses fix only differences of scores, so 0 is no threshold for them: it is calibrated
on one half of the scores and judged on the other.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.metrics.roc import roc_auc

NEWTON_STEPS = 15


@dataclass(frozen=True)
class CriticAccuracy:
    """Shares in [0, 1]; all three are near .5 for a critic that knows nothing, 1 for a perfect one.

    `pairs` is the share of all (real, fake) pairs in which the real item scores higher, which needs
    no threshold: the area under the ROC curve (Hanley & McNeil 1982).
    """

    real: float
    fake: float
    auc: float


def critic_accuracy(real: Tensor, fake: Tensor) -> CriticAccuracy:
    """Scores (N,) of held-out real items, which training never saw, and (M,) of fresh fakes.

    Equal scores count one half. N and M are at least 2.
    """
    real, fake = real.detach().float().cpu(), fake.detach().float().cpu()
    threshold = (real[::2].median() + fake[::2].median()) / 2
    return CriticAccuracy(
        real=_share_above(real[1::2], threshold),
        fake=1 - _share_above(fake[1::2], threshold),
        auc=roc_auc(real, fake).value,
    )


def calibration(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Slope and intercept: sigmoid(slope * score + intercept) is the chance that an item is real
    where half of all are (Platt, "Probabilistic outputs for support vector machines", 1999; his
    targets keep it finite where the scores part without a mistake). The slope is 0 for a critic
    that is wrong more often than right.

    Scores (N,) and (M,) as for `critic_accuracy`.
    """
    scores = torch.cat([real, fake]).detach().double().cpu().numpy()
    mean, deviation = scores.mean(), max(scores.std(), 1e-12)
    x = np.stack([(scores - mean) / deviation, np.ones(len(scores))], axis=1)
    n, m = len(real), len(fake)
    target = np.repeat([(n + 1) / (n + 2), 1 / (m + 2)], [n, m])
    weight = np.repeat([0.5 / n, 0.5 / m], [n, m])
    line = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-(x @ line)))
        gradient = x.T @ (weight * (chance - target))
        hessian = x.T @ ((weight * chance * (1 - chance))[:, None] * x) + 1e-9 * np.eye(2)
        # Bounded: where scores lie far apart, the first full steps would go beyond the minimum.
        line -= np.clip(np.linalg.solve(hessian, gradient), -2, 2)
    slope, intercept = line.tolist()
    if slope <= 0:
        return 0.0, 0.0
    return float(slope / deviation), float(intercept - slope * mean / deviation)


def _share_above(scores: Tensor, threshold: Tensor) -> float:
    return float((scores > threshold).float().mean() + (scores == threshold).float().mean() / 2)
