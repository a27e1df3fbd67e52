"""Choice of the numeric columns that get a second step: the position within a bin.

A column has one if the half of its bin that a value is in depends on another column.
"""

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import Column, Tokens
from models.tabular.column_fitting import column_values
from models.tabular.numbers.columns import NumericColumn

MAX_TESTED_ROWS, MAX_TESTED_PARTNERS = 20_000, 24
MIN_DEPENDENCE_SIGMA = 5.0  # standard deviations; smaller deviations are attributed to chance


def add_sub_bins(
    columns: list[Column],
    table: pa.Table,
    labels: Tokens | None,
    seed: int,
    *,
    every_column: bool,
) -> list[Column]:
    """Add a second step to columns whose position within a bin depends on another column.

    With `every_column`, add it to all columns with enough values in bins.
    """
    rng = np.random.default_rng(seed)
    tested = table.slice(0, MAX_TESTED_ROWS)
    binned_indices = [
        i
        for i, column in enumerate(columns)
        if isinstance(column, NumericColumn) and column.layout.bins
    ]
    if not binned_indices:
        return columns
    first_tokens = {
        i: column.encode(column_values(tested, column.name), rng)[0]
        for i, column in enumerate(columns)
    }
    result: list[Column] = list(columns)
    for i in binned_indices:
        column = columns[i]
        assert isinstance(column, NumericColumn)  # noqa: S101 - by construction of `binned_indices`
        refined = column.with_sub_bins(column_values(table, column.name), labels)
        if every_column:
            result[i] = refined
            continue
        partners = [j for j in range(len(columns)) if j != i]
        for j in rng.permutation(partners)[:MAX_TESTED_PARTNERS]:
            if refined is not column and _depends_on(refined, column, tested, first_tokens[j], rng):
                result[i] = refined
                break
    return result


def _depends_on(
    refined: NumericColumn,
    column: NumericColumn,
    table: pa.Table,
    partner: Tokens,
    rng: np.random.Generator,
) -> bool:
    """Return True if the half of its bin that a value is in depends on `partner` (N,).

    For each pair of a bin and a partner's token, (lower - upper)**2 / (lower + upper) has mean 1 if
    both halves are equally likely, and variance at most 2 (a chi-squared statistic).
    """
    tokens = refined.encode(column_values(table, column.name), rng)
    inside = refined.layout.is_bin(tokens[0])
    upper = tokens[1, inside] > refined.layout.sub_bins[0] / 2
    cell = (tokens[0, inside] - refined.layout.exact_values) * (partner.max() + 1) + partner[inside]
    lower_count = np.bincount(cell[~upper], minlength=cell.max() + 1)
    upper_count = np.bincount(cell[upper], minlength=cell.max() + 1)
    total = lower_count + upper_count
    tested = total > 1
    chi_squared = (lower_count - upper_count)[tested] ** 2 / total[tested]
    return float(chi_squared.sum() - tested.sum()) > MIN_DEPENDENCE_SIGMA * float(
        np.sqrt(2 * max(tested.sum(), 1))
    )
