"""The quantile function of a numeric column."""

import numpy as np
import pytest

from models.tabular.numbers.quantiles import MAX_CELLS, Quantiles

rng = np.random.default_rng(2)


@pytest.mark.parametrize(
    "values",
    [
        rng.normal(0, 1, 500),
        rng.integers(0, 10**6, 500),
        rng.integers(0, 40, 500),
        rng.normal(0, 1, 3 * MAX_CELLS),
        np.array([3.5]),
    ],
    ids=["floats", "integers", "few values", "more values than cells", "one value"],
)
def test_the_value_at_the_rank_of_a_value_is_that_value(values: np.ndarray) -> None:
    quantiles = Quantiles.fit(np.sort(values))
    ranks = quantiles.ranks(values, np.random.default_rng(1))
    assert ((ranks >= 0) & (ranks < 1)).all()
    np.testing.assert_allclose(quantiles.at(ranks), values, atol=1e-5)


def test_values_of_uniform_ranks_are_distributed_as_the_training_values() -> None:
    values = np.sort(rng.lognormal(0, 1, 2_000))
    sampled = Quantiles.fit(values).at(rng.random(20_000))
    levels = np.linspace(0.02, 0.98, 25)
    np.testing.assert_allclose(np.quantile(sampled, levels), np.quantile(values, levels), rtol=0.08)
    assert sampled.min() >= values.min()
    assert sampled.max() <= values.max()


@pytest.mark.parametrize("scale", [1.0, 1_000.0])
def test_a_wide_gap_between_values_stays_empty(scale: float) -> None:
    values = np.sort(np.concatenate([rng.normal(60, 10, 300), rng.normal(900, 10, 20)])) * scale
    if scale > 1:
        values = values.astype(np.int64)
    sampled = Quantiles.fit(values).at(rng.random(50_000)) / scale
    assert not ((sampled > 200) & (sampled < 750)).any()
