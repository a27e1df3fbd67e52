"""Numbers in small tables: the generator learns smooth functions of them first."""

import numpy as np
import torch

from models.tabular.autoregressive.token_embeddings import TokenEmbeddings
from models.tabular.settings import TableData, resolve


def distance_of_neighbors(frequency_decay: float) -> float:
    """Return the distance of the embeddings of neighboring numbers, relative to all numbers."""
    torch.manual_seed(1)
    positions = np.linspace(0, 1, 64)
    embeddings = TokenEmbeddings([64], [positions], 32, frequency_decay)().detach()
    return float(torch.cdist(embeddings, embeddings).diagonal(1).mean() / embeddings.std())


def test_a_decay_of_the_frequencies_brings_neighboring_numbers_closer() -> None:
    assert distance_of_neighbors(1.0) < distance_of_neighbors(0.0) / 2


def test_small_tables_are_learned_with_a_decay() -> None:
    def decay(rows: int, *, differential_privacy: bool = False) -> float:
        data = TableData(rows, columns=5)
        settings = resolve(data, "fast", {}, differential_privacy=differential_privacy)
        return settings.frequency_decay

    assert decay(9_999) > 0
    assert decay(10_000) == 0
    assert decay(9_999, differential_privacy=True) == 0
