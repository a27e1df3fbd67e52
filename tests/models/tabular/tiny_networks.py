"""Small generators with random weights for the tests of sampling."""

from collections.abc import Sequence

import numpy as np
import torch

from models.tabular.autoregressive.networks import Generator
from models.tabular.autoregressive.sampler import SubBinStep
from models.tabular.categorical_columns import Floats


def make_generator(
    sizes: Sequence[int],
    seed: int,
    *,
    sub_bin_steps: Sequence[SubBinStep] | None = None,
    positions: Sequence[Floats] | None = None,
    fine_positions: Sequence[Floats | None] | None = None,
) -> Generator:
    """Return a generator of steps with `sizes` tokens, by default without bins and positions."""
    torch.manual_seed(seed)
    none = [None] * len(sizes)
    network = Generator(
        sizes,
        positions or [np.full(size, np.nan) for size in sizes],
        sub_bin_steps or none,
        fine_positions or none,
        embedding_dim=8,
        hidden_dim=8,
        dropout=0.0,
        frequency_decay=0.0,
    )
    return network.eval()
