"""Tokens of rows whose columns have declared domains, for training with differential privacy.

The tokenizer is built without reading rows, and each row is encoded independently of the others.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute

from models.tabular.categorical_columns import CategoricalColumn, Column, TokenLayout
from models.tabular.data import LabeledRows
from models.tabular.differential_privacy.domains import ColumnDomain
from models.tabular.numbers.bin_edges import equal_bins
from models.tabular.numbers.columns import BINS, MAX_EXACT_VALUES, NumericColumn
from models.tabular.numbers.quantiles import Quantiles
from models.tabular.numbers.scale import Scale
from models.tabular.tokenizer import Tokenizer

QUANTILE_KNOTS = 1_025  # of the uniform distribution between `min` and `max`
ARROW_TYPES = {
    "category": pa.string(),
    "boolean": pa.bool_(),
    "integer": pa.int64(),
    "number": pa.float64(),
}


def tokenizer_for_domains(
    domains: Mapping[str, ColumnDomain], target_column: str | None
) -> Tokenizer:
    """Build a tokenizer from declared domains, without reading rows."""
    arrow = pa.schema([(name, ARROW_TYPES[domain.type]) for name, domain in domains.items()])
    columns = [_column(name, domain) for name, domain in domains.items()]
    columns.sort(key=lambda column: column.name != target_column)
    return Tokenizer(arrow, tuple(columns), (), target_column)


def _column(name: str, domain: ColumnDomain) -> Column:
    arrow = ARROW_TYPES[domain.type]
    if domain.min is None:
        categories = pa.array(domain.values).cast(pa.string())
        return CategoricalColumn(
            name, arrow, categories, TokenLayout(len(categories), missing=domain.missing)
        )
    assert domain.max is not None  # noqa: S101 - `parse` requires both bounds or none
    is_integer = domain.type == "integer"
    scale = Scale(arrow, unit=1) if is_integer else Scale(arrow, decimals=domain.decimals)
    dtype = np.int64 if is_integer else np.float64
    if is_integer and domain.max - domain.min < MAX_EXACT_VALUES:
        exact_values, bins = np.arange(domain.min, domain.max + 1).astype(dtype), 0
    else:
        exact_values, bins = np.array(domain.values, dtype), BINS
    knots = np.linspace(domain.min, domain.max, QUANTILE_KNOTS if bins else 0)
    quantiles = Quantiles.uniform((np.rint(knots) if is_integer else knots).astype(dtype))
    bin_midpoints = (np.arange(bins) + 0.5) / max(bins, 1)
    value_ranks = (exact_values - domain.min) / (domain.max - domain.min)
    layout = TokenLayout(len(exact_values), bins, missing=domain.missing)
    return NumericColumn(
        name,
        scale,
        exact_values,
        quantiles,
        layout,
        equal_bins(bins),
        np.concatenate([value_ranks, bin_midpoints]),
    )


def tokenize_rows(
    rows: LabeledRows, domains: Mapping[str, ColumnDomain], tokenizer: Tokenizer
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return the (S, N) tokens of the training rows; each row is encoded independently."""
    table = rows.take(rows.train)
    arrays = [clamp_to_domain(table.column(name), domain) for name, domain in domains.items()]
    clamped = pa.table(arrays, schema=tokenizer.arrow)
    return np.concatenate(
        [column.encode(clamped.column(column.name).chunk(0), None) for column in tokenizer.columns]
    )


def clamp_to_domain(values: pa.ChunkedArray, domain: ColumnDomain) -> pa.Array:
    """Return the values, each replaced by one of its domain if it is outside.

    A number is clipped to the bounds and rounded. A string or boolean outside the domain becomes
    missing. A missing value becomes `min`, or the first value, unless the domain has `missing`.
    """
    values = values.combine_chunks()
    if domain.min is None:
        allowed = pa.array(domain.values)
        index = pa.compute.index_in(values.cast(pa.string()), allowed.cast(pa.string()))
        return allowed.take(index if domain.missing else index.fill_null(0)).cast(
            ARROW_TYPES[domain.type]
        )
    floats = values.cast(pa.float64(), safe=False)
    numbers = floats.fill_null(np.nan).to_numpy(zero_copy_only=False)
    is_missing = np.isnan(numbers)
    clipped = np.round(
        np.clip(np.where(is_missing, domain.min, numbers), domain.min, domain.max), domain.decimals
    )
    return pa.array(clipped, mask=is_missing if domain.missing else None).cast(
        ARROW_TYPES[domain.type]
    )
