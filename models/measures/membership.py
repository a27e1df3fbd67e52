"""An attack on samples: was an item learned from? Who holds the item and the samples, and some like
items that were not learned from, looks how much nearer the samples come to it than those do: the
ratio of densities of DOMIAS (van Breugel et al. 2023, 2302.12580), each by a nearest neighbour."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.measures.ranking import area
from models.measures.scores import Score, resampled, score

FALSE_ALARMS = 0.01  # unseen items that are taken for training items
LEAST = 1e-6  # a distance, so that equal items have a ratio


def suspicion(to_sample: Tensor, to_other: Tensor) -> Tensor:
    """(N,) from the distances of (N,) items to the nearest sample, and to the nearest real item
    that is neither a training item nor attacked itself."""
    return (to_other + LEAST).log() - (to_sample + LEAST).log()


def attack(members: Tensor, unseen: Tensor, seed: int) -> list[Score]:
    """What (N,) training items and (M,) unseen ones are suspected by. `membership`: how often a
    training item is the more suspect of two. `exposed`: training items more suspect than nearly all
    unseen ones, as an average says little of the few that are known best (Carlini et al. 2022,
    2112.03570)."""
    alarms = max(1, round(FALSE_ALARMS * len(unseen)))
    suspected = torch.cat([members, unseen]).double().numpy()

    def found(index: NDArray[np.int64]) -> float:
        is_member = index < len(members)
        mine, others = suspected[index[is_member]], suspected[index[~is_member]]
        return float((mine > np.sort(others)[-alarms:][0]).mean())

    exposed = resampled(found, len(suspected), seed)
    return [
        score("membership", area(members, unseen), "half", ceiling=0.5),
        score("exposed", exposed, "lower", ceiling=alarms / (len(unseen) + 1)),
    ]
