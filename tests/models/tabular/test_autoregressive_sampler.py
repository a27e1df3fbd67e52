"""A generator going through the steps of a row."""

import numpy as np
import torch

from models.tabular.autoregressive_networks import Generator
from models.tabular.autoregressive_sampler import AutoregressiveSampler, SubBinStep
from models.tabular.categorical_columns import NO_SUB_BIN

SIZES = [3, 5, 2]
DIGITS: list[SubBinStep] = [
    None,
    (0, 1, 3),
    None,
]  # one atom, two groups of four places; and a column


def test_a_group_always_gets_a_digit_and_nothing_else_does() -> None:
    torch.manual_seed(1)
    nowhere = [np.full(size, np.nan) for size in SIZES]
    network = Generator(SIZES, nowhere, DIGITS, embedding_dim=8, hidden_dim=8, dropout=0.0).eval()
    with torch.no_grad():  # in love with none
        network.heads.biases[1][0, 0, NO_SUB_BIN] = 50.0
    first, digit, _ = AutoregressiveSampler(network, DIGITS).sample_tokens(torch.rand(3, 500), {})
    assert first.unique().tolist() == [0, 1, 2]
    assert (digit[first == 0] == NO_SUB_BIN).all()
    assert digit[first > 0].unique().tolist() == [1, 2, 3, 4]
