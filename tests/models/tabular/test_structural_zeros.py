"""Pairs of values that never occur together."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.tabular.autoregressive.exclusions import Exclusions
from models.tabular.autoregressive.sampler import AutoregressiveSampler
from models.tabular.autoregressive.structural_zeros import StructuralZeros
from models.tabular.categorical_columns import Tokens
from models.tabular.sampled_values import UNKNOWN_TOKEN
from models.tabular.schema import ColumnSchema, ColumnType
from models.tabular.tokenizer import Tokenizer
from models.tabular.tokenizer_tensors import from_tensors, to_tensors
from tests.models.tabular.tiny_networks import make_generator
from tests.models.tabular.tiny_tables import Schema, train_sampler

SIZES = [3, 4, 2]


def teams(rows: int, seed: int = 0) -> Tokens:
    """Return (3, N) tokens: a league, a team that only some leagues have, and noise."""
    rng = np.random.default_rng(seed)
    league = rng.integers(0, 3, rows)
    team = np.where(rng.random(rows) < 0.3, 3, league)  # team 3 was in every league
    return np.stack([league, team, rng.integers(0, 2, rows)])


def broken(tokens: torch.Tensor) -> torch.Tensor:
    return (tokens[1] != tokens[0]) & (tokens[1] != 3)


def test_pairs_that_chance_would_join_but_no_row_has_are_zeros() -> None:
    zeros = StructuralZeros.fit(teams(2_000), SIZES, range(3))
    expected = np.concatenate([np.eye(3, dtype=bool), np.ones((3, 1), bool)], axis=1)
    assert list(zeros.may_meet) == [(0, 1)]
    np.testing.assert_array_equal(zeros.may_meet[0, 1], expected)


def test_independent_columns_and_few_rows_have_no_zeros() -> None:
    rng = np.random.default_rng(1)
    independent = np.stack([rng.integers(0, size, 2_000) for size in (30, 40)])
    assert not StructuralZeros.fit(independent, [30, 40], range(2)).may_meet
    assert not StructuralZeros.fit(teams(900), SIZES, range(3)).may_meet


def test_columns_with_many_pairs_of_a_single_row_have_no_zeros() -> None:
    tokens = teams(2_000)
    tokens[:2, :3] = [0, 1, 2], [1, 2, 0]  # three new pairs
    assert not StructuralZeros.fit(tokens, SIZES, range(3)).may_meet


def test_a_rare_value_may_meet_all_values_that_its_rows_do_not_rule_out() -> None:
    tokens = teams(5_000)
    tokens[:2, :4] = [0, 0, 0, 0], [4, 5, 5, 5]
    zeros = StructuralZeros.fit(tokens, [3, 6, 2], range(3))
    may_meet = zeros.may_meet[0, 1]
    assert may_meet[:, 4].all()  # a single row
    assert may_meet[:, 5].all()  # three rows of one league of three, by a chance of 1 in 9
    assert not may_meet[0, 1]


def test_a_value_with_another_one_in_each_row_may_meet_all_values() -> None:
    tokens = teams(5_000)
    tokens[0] = np.arange(5_000) % 50
    tokens[1] = tokens[0]
    tokens[1, :5] = 50  # five rows of different leagues
    zeros = StructuralZeros.fit(tokens, [50, 51, 2], range(2))
    assert zeros.may_meet[0, 1][:, 50].all()
    assert not zeros.may_meet[0, 1][0, 1]


def test_a_rare_value_is_kept_from_values_that_its_rows_rule_out() -> None:
    tokens = teams(5_000)
    tokens[0] = np.arange(5_000) % 50
    tokens[1] = tokens[0]
    tokens[1, :5_000:500] = 50  # ten rows of the first league
    zeros = StructuralZeros.fit(tokens, [50, 51, 2], range(2))
    assert zeros.may_meet[0, 1][:, 50].tolist() == [True] + [False] * 49


@pytest.mark.parametrize("order", [None, [1, 2, 0]], ids=["in order", "in another order"])
def test_samples_have_no_zeros_in_any_order(order: list[int] | None) -> None:
    zeros = StructuralZeros.fit(teams(2_000), SIZES, range(3))
    u = torch.rand(3, 1_000)
    without = AutoregressiveSampler(make_generator(SIZES, seed=1), [None] * 3).sample_tokens(
        u, {}, order
    )
    sampler = AutoregressiveSampler(
        make_generator(SIZES, seed=1), [None] * 3, exclusions=Exclusions(zeros=zeros)
    )
    assert broken(without).float().mean() > 0.2
    assert not broken(sampler.sample_tokens(u, {}, order)).any()


def test_completed_rows_have_no_zeros() -> None:
    zeros = StructuralZeros.fit(teams(2_000), SIZES, range(3))
    sampler = AutoregressiveSampler(
        make_generator(SIZES, seed=2), [None] * 3, exclusions=Exclusions(zeros=zeros)
    )
    given = torch.full((3, 200), UNKNOWN_TOKEN)
    given[1] = torch.arange(200) % 4
    tokens = sampler.complete(torch.rand(3, 200 * 64), torch.rand(4, 200).double(), given)
    assert (tokens[1] == given[1]).all()
    assert not broken(tokens).any()


def test_completed_rows_are_distributed_like_samples() -> None:
    """A value given later must not change how likely the values before it are."""
    network = make_generator([2, 4, 4], seed=2)
    with torch.no_grad():
        for free in network.heads.free:
            free.mul_(20)
    is_low = np.arange(4) < 2
    zeros = StructuralZeros({(1, 2): is_low[:, None] == is_low})
    sampler = AutoregressiveSampler(network, [None] * 3, exclusions=Exclusions(zeros=zeros))
    samples = sampler.sample_tokens(torch.rand(3, 300_000), {})
    given = torch.full((3, 4_000), UNKNOWN_TOKEN)
    given[2] = 1
    completed = sampler.complete(torch.rand(3, 4_000 * 64), torch.rand(4, 4_000).double(), given)
    shares = [
        torch.bincount(tokens[0] * 4 + tokens[1], minlength=8) / tokens.shape[1]
        for tokens in (samples[:, samples[2] == 1], completed)
    ]
    assert torch.allclose(*shares, atol=0.03), shares


def test_given_values_that_never_meet_are_kept() -> None:
    zeros = StructuralZeros.fit(teams(2_000), SIZES, range(3))
    sampler = AutoregressiveSampler(
        make_generator(SIZES, seed=3), [None] * 3, exclusions=Exclusions(zeros=zeros)
    )
    given = torch.tensor([[0], [1], [UNKNOWN_TOKEN]]).repeat(1, 200)
    tokens = sampler.complete(torch.rand(3, 800), torch.rand(4, 200).double(), given)
    assert (tokens[:2] == given[:2]).all()
    assert tokens[2].unique().tolist() == [0, 1]


def make_players(rows: int) -> tuple[pa.Table, Schema]:
    tokens = teams(rows)
    table = pa.table(
        {
            "league": [f"league {token}" for token in tokens[0]],
            "team": [f"team {token}" for token in tokens[1]],
            "size": np.random.default_rng(2).normal(size=rows),
        }
    )
    types: tuple[ColumnType, ...] = ("category", "category", "number")
    return table, tuple(map(ColumnSchema, table.column_names, types))


@pytest.mark.parametrize(
    ("options", "are_avoided"),
    [({}, True), ({"relations": False}, False), ({"min_value_count": 5}, False)],
    ids=["by default", "without relations", "with protected rare values"],
)
def test_a_trained_model_avoids_zeros(
    options: dict[str, object], are_avoided: bool, tmp_path: Path
) -> None:
    table, schema = make_players(1_500)
    sampler = train_sampler(table, schema, tmp_path, label="league", steps=3, **options)
    rows = sampler.sample(1, np.arange(500)).rows.to_pylist()
    pairs = {(row["league"][-1], row["team"][-1]) for row in rows}
    assert all(team in (league, "3") for league, team in pairs) is are_avoided


def test_zeros_are_stored_with_the_model() -> None:
    table, schema = make_players(1_500)
    tokenizer = Tokenizer.fit(table, schema, target_column="league", seed=1)
    tokenizer = tokenizer.with_exclusions(tokenizer.encode(table, 1))
    copy = from_tensors(*to_tensors(tokenizer))
    assert (
        tokenizer.exclusions.zeros.may_meet.keys()
        == copy.exclusions.zeros.may_meet.keys()
        == {(0, 1)}
    )
    np.testing.assert_array_equal(
        tokenizer.exclusions.zeros.may_meet[0, 1], copy.exclusions.zeros.may_meet[0, 1]
    )


def test_rare_values_beyond_all_rows_of_a_category_are_zeros_together() -> None:
    rng = np.random.default_rng(0)
    rate = np.minimum(rng.geometric(0.04, 4_000), 100) - 1  # large rates have few rows each
    grade = np.digitize(rate, [10, 25])
    tokens, positions = np.stack([grade, rate]), np.linspace(0, 1, 100)
    zeros = StructuralZeros.fit(tokens, [3, 100], range(2), {1: positions})
    assert not zeros.may_meet[0, 1][0, 10:].any()
    assert not zeros.may_meet[0, 1][2, :25].any()
    assert zeros.may_meet[0, 1][grade, rate].all()
    without_order = StructuralZeros.fit(tokens, [3, 100], range(2))
    assert without_order.may_meet.get((0, 1), np.ones((3, 100)))[0, 10:].any()


def test_values_that_are_missing_for_one_number_only_are_missing_nowhere_else() -> None:
    rng = np.random.default_rng(0)
    tenure = np.r_[np.zeros(12, np.int64), rng.integers(1, 72, 6_000)]
    charges = np.where(tenure == 0, 40, rng.integers(0, 40, len(tenure)))  # 40: missing
    positions = {0: np.linspace(0, 1, 72), 1: np.append(np.linspace(0, 1, 40), np.nan)}
    zeros = StructuralZeros.fit(np.stack([tenure, charges]), [72, 41], range(2), positions)
    may_meet = zeros.may_meet[0, 1]
    assert may_meet[:, 40].tolist() == [True] + [False] * 71
    assert may_meet[1:, :40].all()
