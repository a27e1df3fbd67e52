"""What a critic thinks of rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.tabular.autoregressive_networks import build_critic
from models.tabular.sample_scorer import realness
from models.tabular.sampling import TableSampler
from tests.models.tabular.tiny_tables import make_people, make_settings, train_sampler


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    """With a critic that has learned nothing, of which only the form matters here."""
    table, schema = make_people(200)
    found = train_sampler(table, schema, tmp_path_factory.mktemp("model"), label="label", steps=4)
    torch.manual_seed(0)
    critic = build_critic(found.tokenizer, make_settings(table)).eval()
    return replace(found, critic=critic, always_accept_score=-100.0)


def test_a_row_has_the_chance_that_it_has_alone(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(1_100)).rows
    together = realness(sampler, rows)
    assert together.shape == (1_100,)
    assert ((together > 0) & (together < 1)).all()
    for k in (0, 700, 1_050):
        assert realness(sampler, rows.slice(k, 1))[0] == pytest.approx(together[k], abs=1e-6)


def test_a_chance_is_the_critics_odds(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(3)).rows
    sure = replace(sampler, critic=Sure())
    assert realness(sure, rows) == pytest.approx([0.75] * 3)


class Sure(torch.nn.Module):
    """Three to one for every row."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.full((tokens.shape[1],), float(np.log(3.0)))
