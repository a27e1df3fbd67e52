"""Rows of which some values are given: what they say, as tokens, and their own values again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.autoregressive_sampler import UNKNOWN_TOKEN
from models.tabular.categorical_columns import CategoricalColumn, Column, Tokens, as_text
from models.tabular.conditions import InvalidPartialRow
from models.tabular.numeric_columns import NumericColumn, numeric_values
from models.tabular.tokenizer import Tokenizer


@dataclass(frozen=True)
class PartialRows:
    """By column, (N,) values and where they are given, elsewhere null; and (S, N) tokens, UNKNOWN
    where nothing is given."""

    values: Mapping[str, pa.Array]
    given: Mapping[str, NDArray[np.bool_]]
    tokens: Tokens

    @classmethod
    def parse(cls, tokenizer: Tokenizer, rows: Sequence[Mapping[str, Any]]) -> Self:
        """Of JSON; null is a missing value. Raises InvalidKnown."""
        names = [column.name for column in tokenizer.columns]
        names += [identifier.name for identifier in tokenizer.id_columns]
        for number, row in enumerate(rows):
            if strange := next((name for name in row if name not in names), None):
                raise InvalidPartialRow(number, strange, "is no column of the model's rows")
        names = [name for name in names if any(name in row for row in rows)]
        values = {name: _column(tokenizer.arrow.field(name), rows) for name in names}
        given = {name: np.array([name in row for row in rows]) for name in names}
        tokens = np.full((len(tokenizer.step_sizes), len(rows)), UNKNOWN_TOKEN)
        for column, steps in zip(tokenizer.columns, tokenizer.column_slices, strict=True):
            if column.name in values:
                mine = given[column.name]
                _check(column, values[column.name], mine)
                tokens[steps] = np.where(
                    mine, column.encode(values[column.name], None), UNKNOWN_TOKEN
                )
        return cls(values, given, tokens)

    def take(self, index: NDArray[np.int64]) -> "PartialRows":
        return PartialRows(
            {name: values.take(pa.array(index)) for name, values in self.values.items()},
            {name: given[index] for name, given in self.given.items()},
            self.tokens[:, index],
        )

    def overwrite(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """`rows` with the given values as they are."""
        columns = [
            pa.compute.if_else(pa.array(self.given[name]), self.values[name], column)
            if name in self.values
            else column
            for name, column in zip(rows.schema.names, rows.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _column(field: pa.Field, rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    values = [row.get(field.name) for row in rows]
    try:
        return pa.array(values).cast(kind)
    except _UNFIT:
        for number, value in enumerate(values):
            try:
                pa.array([value]).cast(kind)
            except _UNFIT as error:
                message = f"the value does not fit {kind}"
                raise InvalidPartialRow(number, field.name, message) from error
    return pa.concat_arrays([pa.array([value]).cast(kind) for value in values])


_UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


def _check(column: Column, values: pa.Array, given: NDArray[np.bool_]) -> None:
    """Raises InvalidKnown unless names were learned, numbers have no more decimals than those that
    were, and missing values are among them."""
    gone = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    known = np.ones(len(values), bool)
    message = "no row that was learned from has it"
    if isinstance(column, CategoricalColumn):
        found = pa.compute.is_in(as_text(values), value_set=column.categories)
        known = found.to_numpy(zero_copy_only=False)
    elif isinstance(column, NumericColumn) and not gone.all():
        plain, _ = numeric_values(column.name, values)
        known[~gone] = column.scale.is_representable(plain)
        message = "has more digits than any that was learned from"
    strange = np.flatnonzero(given & ~gone & ~known)
    if len(strange):
        raise InvalidPartialRow(int(strange[0]), column.name, message)
    missing = np.flatnonzero(given & gone)
    if len(missing) and not column.layout.missing:
        raise InvalidPartialRow(int(missing[0]), column.name, "is never missing")
