"""An attack on samples: was an item learned from? Who holds the item and the samples, and some like
items that were not learned from, looks how much nearer the samples come to it than those do: the
ratio of densities of DOMIAS (van Breugel et al. 2023, 2302.12580), each by a nearest neighbour."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.measures.ranking import area
from models.measures.scores import Measured, Score, resampled, score

FALSE_ALARMS = 0.01  # unseen items that are taken for training items
LEAST = 1e-6  # a distance, so that equal items have a ratio

Items = TypeVar("Items")


def attack(
    members: Items,
    unseen: Items,
    known: Items,
    samples: Items,
    naive: Items,
    *,
    nearest: Callable[[Items, Items], Tensor],
    seed: int,
) -> list[Score]:
    """Training items and unseen ones are attacked by who knows some others; `nearest` has for each
    of the first items the distance to the nearest of the second.

    `membership`: how often a training item is the more suspect of two. `exposed`: training items
    more suspect than nearly all unseen ones, as an average says little of the few that are known
    best (Carlini et al. 2022, 2112.03570). What is found of naive samples, too, is not the model's:
    the unseen items may be of another kind, or chance has divided them.
    """
    attacked = [(items, nearest(items, known)) for items in (members, unseen)]

    def suspicions(made: Items) -> tuple[Tensor, Tensor]:
        one, other = (
            (far + LEAST).log() - (nearest(items, made) + LEAST).log() for items, far in attacked
        )
        return one, other

    found, expected = suspicions(samples), suspicions(naive)
    alarms = max(1, round(FALSE_ALARMS * len(found[1])))
    return [
        score("membership", area(*found), "half", ceiling=0.5, baseline=area(*expected)),
        score(
            "exposed",
            _exposed(*found, alarms, seed),
            "lower",
            ceiling=alarms / (len(found[1]) + 1),
            baseline=_exposed(*expected, alarms, seed),
        ),
    ]


def _exposed(members: Tensor, unseen: Tensor, alarms: int, seed: int) -> Measured:
    suspected = torch.cat([members, unseen]).double().numpy()

    def share(index: NDArray[np.int64]) -> float:
        is_member = index < len(members)
        mine, others = suspected[index[is_member]], suspected[index[~is_member]]
        return float((mine > np.sort(others)[-alarms:][0]).mean())

    return resampled(share, len(suspected), seed)
