"""Exponential moving average of the weights of a network.

Adversarial training makes the weights oscillate, so the average generates better samples than the
last weights (Yazici et al. 2019, 1806.04498).
"""

import copy
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class WeightAverage(Generic[Network]):
    """The averaged network: a copy for inference, updated after each step of the trained one."""

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        # Weights and the running moments of norms. Integers, such as counters of batches, are not
        # averaged. The tensors are views: they follow the networks, also after a state is loaded.
        pairs = [
            (average, current)
            for average, current in zip(
                self.network.state_dict().values(), network.state_dict().values(), strict=True
            )
            if average.is_floating_point()
        ]
        self._averages = [average for average, _ in pairs]
        self._weights = [current for _, current in pairs]

    def update(self, step: int) -> None:
        """Move the average towards the current weights.

        The decay rises from 0.1 at step 0 to its final value, so that the first weights, which are
        random, are soon forgotten.
        """
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state)
