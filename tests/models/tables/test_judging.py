"""What a critic thinks of rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.tables.judging import realness
from models.tables.networks import critic_of
from models.tables.sampling import RowSampler
from tests.models.tables.tables import people, settings_of, trained


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> RowSampler:
    """With a critic that has learned nothing, of which only the form matters here."""
    table, schema = people(200)
    found = trained(table, schema, tmp_path_factory.mktemp("model"), label="label", steps=4)
    torch.manual_seed(0)
    critic = critic_of(found.encoding, settings_of(table)).eval()
    return replace(found, critic=critic, kept_from=-100.0)


def test_a_row_has_the_chance_that_it_has_alone(sampler: RowSampler) -> None:
    rows = sampler.draw(1, np.arange(1_100)).rows
    together = realness(sampler, rows)
    assert together.shape == (1_100,)
    assert ((together > 0) & (together < 1)).all()
    for k in (0, 700, 1_050):
        assert realness(sampler, rows.slice(k, 1))[0] == pytest.approx(together[k], abs=1e-6)


def test_a_chance_is_the_critics_odds(sampler: RowSampler) -> None:
    rows = sampler.draw(1, np.arange(3)).rows
    sure = replace(sampler, critic=Sure())
    assert realness(sure, rows) == pytest.approx([0.75] * 3)


class Sure(torch.nn.Module):
    """Three to one for every row."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.full((tokens.shape[1],), float(np.log(3.0)))
