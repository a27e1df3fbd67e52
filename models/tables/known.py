"""Rows of which some values are given: what they say, as tokens, and their own values again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tables.columns import CategoryColumn, Column, Tokens, as_text
from models.tables.conditions import InvalidKnown
from models.tables.encoding import Encoding
from models.tables.generation import UNKNOWN
from models.tables.numbers import NumberColumn, plain_values


@dataclass(frozen=True)
class Known:
    """By column, (N,) values and where they are given, elsewhere null; and (S, N) tokens, UNKNOWN
    where nothing is given."""

    values: Mapping[str, pa.Array]
    given: Mapping[str, NDArray[np.bool_]]
    tokens: Tokens

    @classmethod
    def parse(cls, encoding: Encoding, rows: Sequence[Mapping[str, Any]]) -> Self:
        """Of JSON; null is a missing value. Raises InvalidKnown."""
        names = [column.name for column in encoding.columns]
        names += [identifier.name for identifier in encoding.identifiers]
        for number, row in enumerate(rows):
            if strange := next((name for name in row if name not in names), None):
                raise InvalidKnown(number, strange, "is no column of the model's rows")
        names = [name for name in names if any(name in row for row in rows)]
        values = {name: _column(encoding.arrow.field(name), rows) for name in names}
        given = {name: np.array([name in row for row in rows]) for name in names}
        tokens = np.full((len(encoding.sizes), len(rows)), UNKNOWN)
        for column, steps in zip(encoding.columns, encoding.steps, strict=True):
            if column.name in values:
                mine = given[column.name]
                _check(column, values[column.name], mine)
                tokens[steps] = np.where(mine, column.encode(values[column.name], None), UNKNOWN)
        return cls(values, given, tokens)

    def part(self, index: NDArray[np.int64]) -> "Known":
        return Known(
            {name: values.take(pa.array(index)) for name, values in self.values.items()},
            {name: given[index] for name, given in self.given.items()},
            self.tokens[:, index],
        )

    def put_into(self, rows: pa.RecordBatch) -> pa.RecordBatch:
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
                raise InvalidKnown(number, field.name, message) from error
    return pa.concat_arrays([pa.array([value]).cast(kind) for value in values])


_UNFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


def _check(column: Column, values: pa.Array, given: NDArray[np.bool_]) -> None:
    """Raises InvalidKnown unless names were learned, numbers have no more decimals than those that
    were, and missing values are among them."""
    gone = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    known = np.ones(len(values), bool)
    message = "no row that was learned from has it"
    if isinstance(column, CategoryColumn):
        found = pa.compute.is_in(as_text(values), value_set=column.names)
        known = found.to_numpy(zero_copy_only=False)
    elif isinstance(column, NumberColumn) and not gone.all():
        plain, _ = plain_values(column.name, values)
        known[~gone] = column.scale.holds(plain)
        message = "has more digits than any that was learned from"
    strange = np.flatnonzero(given & ~gone & ~known)
    if len(strange):
        raise InvalidKnown(int(strange[0]), column.name, message)
    missing = np.flatnonzero(given & gone)
    if len(missing) and not column.layout.missing:
        raise InvalidKnown(int(missing[0]), column.name, "is never missing")
