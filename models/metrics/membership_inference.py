"""An attack on samples: was an item learned from? Who holds the item and the samples, and some like
items that were not learned from, looks how much nearer the samples come to it than those do: the
ratio of densities of DOMIAS (van Breugel et al. 2023, 2302.12580), each by a nearest neighbour."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.metrics.roc import roc_auc
from models.metrics.scores import Estimate, Score, bootstrap, create_score

MAX_FALSE_POSITIVE_RATE = 0.01  # unseen items that are taken for training items
MIN_DISTANCE = 1e-6  # a distance, so that equal items have a ratio

Items = TypeVar("Items")


def attack_membership(
    members: Items,
    non_members: Items,
    reference: Items,
    samples: Items,
    naive_samples: Items,
    *,
    nearest: Callable[[Items, Items], Tensor],
    seed: int,
) -> list[Score]:
    """Training items and unseen ones are attacked by who knows some others; `nearest` has for each
    of the first items the distance to the nearest of the second.

    `membership_inference_auc`: how often a training item is the more suspect of two. `membership_inference_tpr_at_1pct_fpr`: training items
    more suspect than nearly all unseen ones, as an average says little of the few that are known
    best (Carlini et al. 2022, 2112.03570). What is found of naive samples, too, is not the model's:
    the unseen items may be of another kind, or chance has divided them.
    """
    attacked = [(items, nearest(items, reference)) for items in (members, non_members)]

    def suspicions(made: Items) -> tuple[Tensor, Tensor]:
        one, other = (
            (far + MIN_DISTANCE).log() - (nearest(items, made) + MIN_DISTANCE).log()
            for items, far in attacked
        )
        return one, other

    found, expected = suspicions(samples), suspicions(naive_samples)
    alarms = max(1, round(MAX_FALSE_POSITIVE_RATE * len(found[1])))
    return [
        create_score(
            "membership_inference_auc",
            roc_auc(*found),
            "target",
            real_reference=0.5,
            naive_baseline=roc_auc(*expected),
        ),
        create_score(
            "membership_inference_tpr_at_1pct_fpr",
            _tpr_at_max_fpr(*found, alarms, seed),
            "lower",
            real_reference=alarms / (len(found[1]) + 1),
            naive_baseline=_tpr_at_max_fpr(*expected, alarms, seed),
        ),
    ]


def _tpr_at_max_fpr(
    members: Tensor, non_members: Tensor, false_positives: int, seed: int
) -> Estimate:
    suspected = torch.cat([members, non_members]).double().numpy()

    def share(index: NDArray[np.int64]) -> float:
        is_member = index < len(members)
        mine, others = suspected[index[is_member]], suspected[index[~is_member]]
        return float((mine > np.sort(others)[-false_positives:][0]).mean())

    return bootstrap(share, len(suspected), seed)
