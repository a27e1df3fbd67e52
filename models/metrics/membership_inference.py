"""Membership inference attack on samples (DOMIAS, van Breugel et al. 2023, 2302.12580).

The attacker has the samples and some reference items that were not trained on. An item is suspected
to be a training item if it is much closer to a sample than to a reference item. This estimates the
ratio of two densities, each by the distance to the nearest neighbor.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.metrics.roc import roc_auc
from models.metrics.scores import Estimate, Score, bootstrap, create_score

MAX_FALSE_POSITIVE_RATE = 0.01  # share of non-members that the attacker may take for members
MIN_DISTANCE = 1e-6  # added to distances, so that equal items have a finite ratio

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
    """Attack members (training items) and non-members (holdout items).

    `nearest(a, b)` returns the distance of each item of `a` to the nearest item of `b`. There are
    two scores:

    - `membership_inference_auc`: the probability that a random member is more suspicious than a
      random non-member.
    - `membership_inference_tpr_at_1pct_fpr`: the share of members that are more suspicious than
      99 % of the non-members. An average over all items hides the few that an attacker recognizes
      with certainty (Carlini et al. 2022, 2112.03570).

    If naive samples reach the same score, the model is not the cause: members and non-members then
    differ by chance, or because the holdout follows another distribution.
    """
    attacked = [(items, nearest(items, reference)) for items in (members, non_members)]

    def suspicion(samples: Items) -> tuple[Tensor, Tensor]:
        """Return log(distance to reference / distance to samples) of members and non-members."""
        of_members, of_non_members = (
            (reference_distance + MIN_DISTANCE).log()
            - (nearest(items, samples) + MIN_DISTANCE).log()
            for items, reference_distance in attacked
        )
        return of_members, of_non_members

    model_suspicion, naive_suspicion = suspicion(samples), suspicion(naive_samples)
    false_positives = max(1, round(MAX_FALSE_POSITIVE_RATE * len(model_suspicion[1])))
    return [
        create_score(
            "membership_inference_auc",
            roc_auc(*model_suspicion),
            real_reference=0.5,
            naive_baseline=roc_auc(*naive_suspicion),
        ),
        create_score(
            "membership_inference_tpr_at_1pct_fpr",
            _tpr_at_max_fpr(*model_suspicion, false_positives, seed),
            real_reference=false_positives / (len(model_suspicion[1]) + 1),
            naive_baseline=_tpr_at_max_fpr(*naive_suspicion, false_positives, seed),
        ),
    ]


def _tpr_at_max_fpr(
    members: Tensor, non_members: Tensor, false_positives: int, seed: int
) -> Estimate:
    suspicion = torch.cat([members, non_members]).double().numpy()

    def true_positive_rate(index: NDArray[np.int64]) -> float:
        is_member = index < len(members)
        of_members, of_non_members = suspicion[index[is_member]], suspicion[index[~is_member]]
        return float((of_members > np.sort(of_non_members)[-false_positives:][0]).mean())

    return bootstrap(true_positive_rate, len(suspicion), seed)
