"""How well a critic tells held-out real items from fresh generated ones.

Relativistic losses fix only differences of scores, so 0 is no threshold for them: it is calibrated
on one half of the scores and judged on the other.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CriticAccuracy:
    """Shares in [0, 1]; all three are near .5 for a critic that knows nothing, 1 for a perfect one.

    `pairs` is the share of all (real, fake) pairs in which the real item scores higher, which needs
    no threshold: the area under the ROC curve (Hanley & McNeil 1982).
    """

    real: float
    fake: float
    pairs: float


def critic_accuracy(real: Tensor, fake: Tensor) -> CriticAccuracy:
    """Scores (N,) of held-out real items, which training never saw, and (M,) of fresh fakes.

    Equal scores count one half. N and M are at least 2.
    """
    real, fake = real.detach().float().cpu(), fake.detach().float().cpu()
    threshold = (real[::2].median() + fake[::2].median()) / 2
    return CriticAccuracy(
        real=_share_above(real[1::2], threshold),
        fake=1 - _share_above(fake[1::2], threshold),
        pairs=_share_of_pairs(real, fake),
    )


def _share_above(scores: Tensor, threshold: Tensor) -> float:
    return float((scores > threshold).float().mean() + (scores == threshold).float().mean() / 2)


def _share_of_pairs(real: Tensor, fake: Tensor) -> float:
    ordered = fake.sort().values
    below = torch.searchsorted(ordered, real, right=False).double()
    not_above = torch.searchsorted(ordered, real, right=True).double()
    return float((below + not_above).mean() / 2 / len(fake))
