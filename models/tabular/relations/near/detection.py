"""Near relations: numbers that are simpler given another number of the row.

A number may nearly follow from another one (rooms and bedrooms of a block) or from a product of two
(charges of a month and months), or often be a copy (a payment of the whole balance) or close to
another one (balances of two months). Such a column is coded as its ratio to the other one or to the
product, with a mark where both are equal, or with the ratio where both are close
(`close_columns.py`). The coding that saves most bits on held-out rows is used, if it saves enough
of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.numbers.grid import NumberGrid, exact_numbers, is_numeric
from models.tabular.relations.coded_columns import BoundedColumn, CodedColumn
from models.tabular.relations.held_out_bits import held_out_bits, sampled_rows
from models.tabular.relations.near.close_codings import (
    close_bits,
    close_coding,
    proportional_coding,
)
from models.tabular.relations.near.close_columns import CloseColumn
from models.tabular.relations.near.codings import (
    MIN_ROWS,
    ComparedNumber,
    codings,
    near_bits,
    product_codings,
)
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.rows import array, as_floats

MAX_COLUMNS = 40  # that are compared with each other
MIN_GAIN_BITS = {"ratio": 1.0, "copy": 0.2}  # per held-out value
MIN_RATIOS_GAIN_BITS = 1.0  # per row, of ratios instead of differences from bounds
MIN_CLOSE_GAIN_BITS = 0.2  # more than by other codings: it adds a column
MIN_CLOSE_OVER_COPY_BITS = 0.05  # a mark of copies loses numbers that are nearly equal
MIN_PRODUCT_GAIN_BITS = 0.5  # more than by other codings


def find_near_columns(
    table: pa.Table,
    types: Mapping[str, str],
    excluded: Collection[str],
    bounded: Collection[str] = (),
    learned: Collection[str] = (),
) -> list[NearColumn | CloseColumn]:
    """Return the columns to code; each has one base, which comes before it in the table.

    `types` are those of the columns by name. The columns in `excluded` are neither coded nor bases,
    unless they are `learned`: then they are only bases. Those in `bounded` may be coded as
    differences, too, so they are only coded as ratios, of all rows or of all positive numbers.
    """
    numeric = {*exact_numbers(table, types), *_durations(table, types)}
    names = [name for name in types if name in numeric]
    names = [name for name in names if name not in excluded or name in learned]
    rows, is_fitted = sampled_rows(len(table))
    if len(rows) < MIN_ROWS:
        return []
    sample = table.select(list(names)).take(pa.array(rows))
    numbers = [ComparedNumber.fit(name, array(sample, name)) for name in names]
    fine = [number for number in numbers if number.is_fine][:MAX_COLUMNS]
    found = []
    for i, number in enumerate(fine):
        if number.name in learned:
            continue
        before, is_bounded = numbers[: numbers.index(number)], number.name in bounded
        coding = _best_coding(number, fine[:i], before, is_fitted, table.schema.names, is_bounded)
        if coding is not None:
            found.append(_with_range(coding, array(table, number.name)))
    return found


def _durations(table: pa.Table, types: Mapping[str, str]) -> list[str]:
    """Return the durations, such as that of a run, to which its distance and pace are relative."""
    names = [name for name, type in types.items() if type == "duration"]
    return [name for name in names if is_numeric(table.schema.field(name).type)]


def saved_bits(table: pa.Table, columns: Sequence[CodedColumn]) -> float:
    """Return how many bits the ratios and differences among `columns` save in a held-out row."""
    rows, is_fitted = sampled_rows(len(table))
    saved = 0.0
    for column in columns:
        names = [column.name, *column.sources]
        # Numbers have no ratios to dates over columns, which are no columns of the table.
        if not isinstance(column, BoundedColumn | NearColumn | CloseColumn) or not (
            set(names) <= set(table.column_names)
        ):
            continue
        sample = table.select(names).take(pa.array(rows))
        number = ComparedNumber.fit(column.name, array(sample, column.name))
        one = number.unit_of(len(rows))
        if isinstance(column, BoundedColumn):
            coded = as_floats(column.encode(sample, sample.schema.field(column.name).type))
            bits = held_out_bits(coded, is_fitted, one)
        else:
            base = ComparedNumber.fit(column.base, array(sample, column.base))
            if isinstance(column, CloseColumn):
                bits = close_bits(column, number, base, is_fitted, one)
            else:
                if column.factor:
                    factor = ComparedNumber.fit(column.factor, array(sample, column.factor))
                    base = base.combined(factor, column.operation)
                bits = near_bits(column, number, base, is_fitted, one)
        saved += float(np.nanmean(held_out_bits(number.values, is_fitted, one) - bits))
    return saved


def _best_coding(
    number: ComparedNumber,
    bases: Sequence[ComparedNumber],
    factors: Sequence[ComparedNumber],
    is_fitted: NDArray[np.bool_],
    names: Sequence[str],
    only_ratio: bool,
) -> NearColumn | CloseColumn | None:
    """Return the coding of a column that saves most bits, or None if none saves enough of them.

    `factors` are those of products. `names` are those of the table, which has no room for a ratio
    of the same name.
    """
    one = number.unit_of(len(is_fitted))
    plain_bits = held_out_bits(number.values, is_fitted, one)
    gains: dict[NearColumn | CloseColumn, float] = {}
    close_gains: dict[NearColumn | CloseColumn, float] = {}
    for base in bases:
        for column in codings(number, base):
            if only_ratio and column.kind != "ratio":
                continue
            gain = np.nanmean(plain_bits - near_bits(column, number, base, is_fitted, one))
            if gain > MIN_GAIN_BITS[column.kind]:
                gains[column] = float(gain)
        find_coding = proportional_coding if only_ratio else close_coding
        coding = find_coding(number, base, plain_bits, is_fitted, one)
        if coding is not None and coding[0].ratio_name not in names:
            close_gains |= dict([coding])
    least = MIN_CLOSE_GAIN_BITS
    for other, other_gain in gains.items():
        is_copy = isinstance(other, NearColumn) and other.kind == "copy"
        margin = MIN_CLOSE_OVER_COPY_BITS if is_copy else MIN_CLOSE_GAIN_BITS
        least = max(least, other_gain + margin)
    gains |= {close: gain for close, gain in close_gains.items() if gain > least}
    least = max(gains.values(), default=MIN_GAIN_BITS["ratio"]) + MIN_PRODUCT_GAIN_BITS
    for column, product in product_codings(number, factors):
        gain = np.nanmean(plain_bits - near_bits(column, number, product, is_fitted, one))
        if gain > least:
            gains[column] = float(gain)
    return max(gains, key=gains.__getitem__) if gains else None


def _with_range(column: NearColumn | CloseColumn, values: pa.Array) -> NearColumn | CloseColumn:
    """Return a copy with the range of all values, of which the coding saw a sample."""
    numbers, is_missing = NumberGrid(values.type, column.decimals).to_grid(values)
    low, high = float(numbers[~is_missing].min()), float(numbers[~is_missing].max())
    if isinstance(column, CloseColumn):
        return replace(column, low=low, high=high)
    # The mark of copies is so far below that no other value equals it.
    mark = low - max(high - low, 1.0) if column.kind == "copy" else column.first_mark
    step = column.step
    if step > 1:
        step = int(np.gcd.reduce(numbers[~is_missing] - numbers[~is_missing].min()))
    return replace(column, low=low, high=high, first_mark=mark, step=step)
