"""Combinations of values that the constraint `fixed_combinations` allows, as tokens."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Column, Tokens
from models.tabular.column_fitting import column_values
from models.tabular.constraints.declarations import Constraint
from models.tabular.schema import UnsupportedColumn


def fit_combinations(
    constraints: Sequence[Constraint],
    columns: Sequence[Column],
    table: pa.Table,
    seed: int,
    min_value_count: int,
) -> Iterator[Tokens]:
    """Yield the (S', U) combinations that `min_value_count` rows have, of each such constraint.

    Raises UnsupportedColumn if a column has too many values, or if there is no combination.
    """
    rng = np.random.default_rng(seed)
    for constraint in constraints:
        if constraint.kind != "fixed_combinations":
            continue
        members = [column for column in columns if column.name in constraint.columns]
        for column in members:
            if column.needs_uniform:
                raise UnsupportedColumn(column.name, "has too many values for `fixed_combinations`")
        tokens = np.concatenate(
            [column.encode(column_values(table, column.name), rng) for column in members]
        )
        combinations, counts = np.unique(tokens, axis=1, return_counts=True)
        if not (counts >= min_value_count).any():
            message = f"no combination of its values occurs in at least {min_value_count} rows"
            raise UnsupportedColumn(constraint.columns[0], message)
        yield combinations[:, counts >= min_value_count]


def is_one_of(tokens: Tokens, combinations: Tokens) -> NDArray[np.bool_]:
    """Return the (N,) mask of `tokens` (S', N) columns that occur in `combinations` (S', U)."""
    _, unique_index = np.unique(
        np.concatenate([combinations, tokens], axis=1), axis=1, return_inverse=True
    )
    unique_index = unique_index.reshape(-1)
    return np.isin(unique_index[combinations.shape[1] :], unique_index[: combinations.shape[1]])
