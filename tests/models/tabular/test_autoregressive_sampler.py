"""Autoregressive sampling of the steps of a row."""

import numpy as np
import pytest
import torch

from models.tabular.autoregressive.sampler import AutoregressiveSampler, SubBinStep
from models.tabular.categorical_columns import NO_SUB_BIN
from tests.models.tabular.tiny_networks import make_generator

STEP_SIZES = [3, 5, 2]
SUB_BIN_STEPS: list[SubBinStep] = [
    None,
    (0, 1, 3),
    None,
]  # one exact value, two bins of four sub-bins, and a column without bins


def test_every_bin_gets_a_sub_bin_and_exact_values_get_none() -> None:
    network = make_generator(STEP_SIZES, seed=1, sub_bin_steps=SUB_BIN_STEPS)
    with torch.no_grad():  # a network that strongly prefers no sub-bin
        network.heads.biases[1][0, 0, NO_SUB_BIN] = 50.0
    tokens, sub_bin, _ = AutoregressiveSampler(network, SUB_BIN_STEPS).sample_tokens(
        torch.rand(3, 500), {}
    )
    assert tokens.unique().tolist() == [0, 1, 2]
    assert (sub_bin[tokens == 0] == NO_SUB_BIN).all()
    assert sub_bin[tokens > 0].unique().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("order", [None, [2, 0, 1]], ids=["in order", "in another order"])
def test_the_sampler_and_training_agree_on_the_likelihood_of_rows(order: list[int] | None) -> None:
    """The sampler looks embeddings up by cell, and training computes them from both tokens."""
    network = make_generator(
        STEP_SIZES,
        seed=2,
        sub_bin_steps=SUB_BIN_STEPS,
        positions=[np.linspace(0, 1, size) for size in STEP_SIZES],
        fine_positions=[None, np.linspace(0, 1, 8), None],
    )
    with torch.no_grad():
        network.heads.free[0].mul_(30)
        network.heads.free[1].mul_(30)
        network.fine.maps.mul_(10)
        network.attention_offsets.normal_()
        network.heads.biases[1][0, 0, NO_SUB_BIN] = -50.0  # never sampled in a bin
    sampler = AutoregressiveSampler(network, SUB_BIN_STEPS)
    rows = torch.tensor([[0, 0, 1, 1, 2, 2], [0, 0, 1, 4, 2, 3], [0, 1, 1, 0, 1, 1]])
    sampled = sampler.sample_tokens(torch.rand(3, 400_000), {}, order)
    ranks = None if order is None else torch.tensor(order).argsort()
    for row in rows.T:
        share = (sampled == row[:, None]).all(0).float().mean()
        likelihood = torch.exp(-network(row[:, None], ranks).sum())
        assert abs(share - likelihood) < 5 * (likelihood / 400_000) ** 0.5
