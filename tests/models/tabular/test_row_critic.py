"""Realness scores of rows by the critic."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.placement import CPU
from models.tabular.autoregressive.networks import build_critic
from models.tabular.row_critic import RowCritic
from models.tabular.sampling import TableSampler
from tests.models.tabular.tiny_tables import make_people, make_settings, train_sampler


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    """Return a sampler with an untrained critic; its scores do not matter here."""
    table, schema = make_people(200)
    trained = train_sampler(table, schema, tmp_path_factory.mktemp("model"), label="label", steps=4)
    torch.manual_seed(0)
    critic = build_critic(trained.tokenizer, make_settings(table)).eval()
    return replace(trained, critic=RowCritic(critic, -100.0, trained.batch_size, CPU))


def test_realness_of_a_row_does_not_depend_on_its_batch(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(1_100)).rows
    together = sampler.realness(rows)
    assert together.shape == (1_100,)
    assert ((together > 0) & (together < 1)).all()
    for index in (0, 700, 1_050):
        assert sampler.realness(rows.slice(index, 1))[0] == pytest.approx(together[index], abs=1e-6)


def test_realness_is_the_probability_for_the_critic_score(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(3)).rows
    assert sampler.critic is not None
    constant = replace(sampler, critic=replace(sampler.critic, network=ConstantCritic()))
    assert constant.realness(rows) == pytest.approx([0.75] * 3)


class ConstantCritic(torch.nn.Module):
    """Critic that gives every row odds of three to one."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.full((tokens.shape[1],), float(np.log(3.0)))
