"""Partial rows to be completed: the given values, and their tokens."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import (
    CategoricalColumn,
    Column,
    Tokens,
    as_text,
    similar_values,
)
from models.tabular.completion.given_columns import (
    NEVER_MISSING,
    check_dates_over_columns,
    check_derived_values,
    check_missing_values,
    check_parts,
    given_column,
)
from models.tabular.completion.key_values import add_values_of_keys, check_combinations
from models.tabular.completion.text_sources import with_sources
from models.tabular.conditions.condition import (
    NO_SUCH_VALUE,
    Alternatives,
    InvalidPartialRow,
    not_a_column,
)
from models.tabular.conditions.given_values import check_given_values
from models.tabular.numbers.columns import NumericColumn
from models.tabular.numbers.scale import numeric_values
from models.tabular.relations.coded_columns import DerivedColumn
from models.tabular.relations.dates.calendar_columns import CalendarColumn
from models.tabular.relations.dates.solving import (
    add_spread_dates,
    has_given_dates,
    with_given_distances,
)
from models.tabular.relations.marked_columns import MarkedColumn
from models.tabular.relations.near.close_columns import CloseColumn
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.solving import follow_dates, solve_sources
from models.tabular.sampled_values import UNKNOWN_TOKEN
from models.tabular.tokenizer import Tokenizer

MAX_SOLVING_ROUNDS = 20  # with several relations between the same columns, solutions are iterated


@dataclass(frozen=True)
class PartialRows:
    """N rows with some given values.

    By column, `values` (N,) are null where `given` (N,) is False. `tokens` (S, N) hold
    UNKNOWN_TOKEN where nothing is given.
    """

    values: Mapping[str, pa.Array]
    given: Mapping[str, NDArray[np.bool_]]
    tokens: Tokens

    @classmethod
    def parse(cls, tokenizer: Tokenizer, rows: Sequence[Mapping[str, Any]]) -> Self:
        """Parse JSON rows, in which null is a missing value. Raises InvalidPartialRow."""
        origins: list[dict[str, str]] = [{} for _ in rows]
        try:
            return cls._parse(
                tokenizer,
                [with_sources(tokenizer, i, rows[i], origins[i]) for i in range(len(rows))],
            )
        except InvalidPartialRow as error:
            text = origins[error.row].get(error.column)
            if text is None:
                raise
            message = f"consists of `{error.column}`, which {error}"
            raise InvalidPartialRow(error.row, text, message) from error

    @classmethod
    def _parse(cls, tokenizer: Tokenizer, rows: Sequence[Mapping[str, Any]]) -> Self:
        names = {*tokenizer.column_names, *tokenizer.coding.names, *tokenizer.id_names}
        for row_index, row in enumerate(rows):
            if unknown := next((name for name in row if name not in names), None):
                raise InvalidPartialRow(row_index, unknown, not_a_column(unknown, names))
        used = [name for name in tokenizer.arrow.names if any(name in row for row in rows)]
        values = {name: given_column(tokenizer.arrow.field(name), rows) for name in used}
        given = {name: np.array([name in row for row in rows]) for name in used}
        _add_weekdays(tokenizer, values, given)
        add_spread_dates(tokenizer.coding, values, given)
        check_derived_values(tokenizer.coding, values, given)
        complete = [column.name for column in tokenizer.columns if not column.layout.missing]
        check_missing_values(tokenizer.coding, complete, values, given)
        check_parts(tokenizer.coding, tokenizer.arrow, values, given)
        check_dates_over_columns(tokenizer.coding, values, given)
        check_given_values(tokenizer, values, given)
        add_values_of_keys(tokenizer, values, given)
        tokens = np.full((len(tokenizer.step_sizes), len(rows)), UNKNOWN_TOKEN)
        for column, steps in zip(tokenizer.columns, tokenizer.column_slices, strict=True):
            close = tokenizer.coding.close.get(column.name)
            if close is not None and close.name in values and close.base in values:
                is_given = given[close.name] & given[close.base]
                ratios = close.encode_ratio(pa.RecordBatch.from_pydict(dict(values)))
                tokens[steps] = np.where(is_given, column.encode(ratios, None), UNKNOWN_TOKEN)
            chain = tokenizer.sampled_columns.chains.get(column.name)
            if chain is not None and chain.name in values and chain.first in values:
                is_given = given[chain.name] & given[chain.first]
                ratios = chain.encode_chain_ratio(pa.RecordBatch.from_pydict(dict(values)))
                tokens[steps] = np.where(is_given, column.encode(ratios, None), UNKNOWN_TOKEN)
            date = tokenizer.coding.parts.get(column.name)
            if date is not None and date.name in values:
                part = date.encode_parts(pa.RecordBatch.from_pydict(dict(values)))[column.name]
                _check_representable(column, part, given[date.name], date.name)
                tokens[steps] = np.where(given[date.name], column.encode(part, None), UNKNOWN_TOKEN)
            if column.name in values:
                coded_values, is_given = _coded(tokenizer, column.name, values, given)
                _check_representable(column, coded_values, is_given)
                tokens[steps] = np.where(is_given, column.encode(coded_values, None), UNKNOWN_TOKEN)
        check_combinations(tokenizer, given, tokens)
        check_given_values(tokenizer, values, given, tokens)
        return cls(values, given, tokens)

    def select(self, names: Collection[str]) -> "PartialRows":
        """Return the given values of some columns, without tokens."""
        used = [name for name in self.values if name in names]
        return PartialRows(
            {name: self.values[name] for name in used},
            {name: self.given[name] for name in used},
            self.tokens[:0],
        )

    def take(self, index: NDArray[np.int64]) -> "PartialRows":
        return PartialRows(
            {name: values.take(pa.array(index)) for name, values in self.values.items()},
            {name: given[index] for name, given in self.given.items()},
            self.tokens[:, index],
        )

    def decode(
        self,
        tokenizer: Tokenizer,
        coded: pa.RecordBatch,
        attempts: NDArray[np.int64] | float = np.inf,
    ) -> tuple[pa.RecordBatch, NDArray[np.bool_]]:
        """Return the rows of the tokenizer's `decode_columns` with the given values.

        If a given value follows from columns that are not given, one of these is changed so that
        the relation holds: to one of several values only in later `attempts` (N,), counted from 0.
        Where that is impossible, the rows do not satisfy the relations. Also return the (N,) mask
        of rows whose given dates agree with the sampled distances between dates.
        """
        coding = tokenizer.coding
        close = [column for column in coding.close.values() if column.name in self.values]
        uncoded = set(self.values) - coding.names - coding.dates.keys()
        coded = self._overwrite(coded, uncoded | {number.name for number in close})
        for number in close:  # without a ratio, the given value is decoded
            index = coded.schema.get_field_index(number.ratio_name)
            mask, nulls = pa.array(self.given[number.name]), pa.nulls(len(coded), pa.float64())
            ratios = pa.compute.if_else(mask, nulls, coded.column(index))
            coded = coded.set_column(index, coded.schema.field(index), ratios)
        rows = self._overwrite(tokenizer.decode_relations(coded, self.given), set(self.values))
        for column in coding.columns:
            is_inexact = isinstance(column, NearColumn | MarkedColumn | CalendarColumn)
            if is_inexact and column.name in self.values:
                # Columns that are coded relative to this one need the given value itself.
                exact = {column.name: column.encode(rows, rows.schema.field(column.name).type)}
                if isinstance(column, CalendarColumn):
                    exact |= column.encode_parts(rows)
                mask = pa.array(self.given[column.name])
                for name, values in exact.items():
                    index = coded.schema.get_field_index(name)
                    values = pa.compute.if_else(mask, values, coded.column(index))
                    coded = coded.set_column(index, coded.schema.field(index), values)
                rows = self._overwrite(
                    tokenizer.decode_relations(coded, self.given), set(self.values)
                )
        numbers = {c.name: c for c in tokenizer.columns if isinstance(c, NumericColumn)}
        for _ in range(MAX_SOLVING_ROUNDS if coding.names & set(self.values) else 0):
            coded = solve_sources(coding, coded, rows, self.given, numbers, attempts)
            rows = self._overwrite(tokenizer.decode_relations(coded, self.given), set(self.values))
            if coding.satisfied(rows).all():
                break
        coded = with_given_distances(coding, coded, rows, self.given)
        agrees = has_given_dates(coding, coded, rows, self.given)
        return follow_dates(coding, rows, self.given), agrees

    def overwrite(self, name: str, column: pa.Array) -> pa.Array:
        """Return the (N,) values of a column, of which the given ones replace the others."""
        if name not in self.values:
            return column
        return pa.compute.if_else(pa.array(self.given[name]), self.values[name], column)

    def _overwrite(self, rows: pa.RecordBatch, names: Collection[str]) -> pa.RecordBatch:
        columns = [
            self.overwrite(name, column) if name in names else column
            for name, column in zip(rows.schema.names, rows.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _add_weekdays(
    tokenizer: Tokenizer, values: dict[str, pa.Array], given: dict[str, NDArray[np.bool_]]
) -> None:
    """Add the days of the week of given dates that are learned as their weeks."""
    for column in tokenizer.coding.columns:
        if not isinstance(column, CalendarColumn) or column.name not in values:
            continue
        if column.weekdays is None:
            continue
        name = column.weekdays.last
        arrow = tokenizer.arrow.field(name).type
        rows = pa.RecordBatch.from_pydict({column.name: values[column.name]})
        derived = DerivedColumn(name, column.weekdays, 0, omitted=True).decode(rows, arrow)
        is_given = given.get(name, np.zeros(len(rows), bool))
        mask = pa.array(is_given)
        values[name] = pa.compute.if_else(mask, values.get(name, derived), derived)
        given[name] = is_given | derived.is_valid().to_numpy(zero_copy_only=False)


def _coded(
    tokenizer: Tokenizer,
    name: str,
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return the coded values of a column, and the mask of rows that determine them."""
    coded_column = next((c for c in tokenizer.coding.columns if c.name == name), None)
    is_learned = isinstance(coded_column, CloseColumn) or name in tokenizer.coding.learned
    if coded_column is None or is_learned:
        return values[name], given[name]
    # Where a value is missing, the coded one is, too, whatever the others are.
    is_null = values[name].is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    is_missing = given[name] & is_null
    if not all(source in values for source in coded_column.sources):
        return pa.nulls(len(is_null), tokenizer.coded_arrow.field(name).type), is_missing
    is_determined = np.logical_and.reduce([given[n] for n in (name, *coded_column.sources)])
    is_determined |= is_missing
    rows = pa.RecordBatch.from_pydict({n: values[n] for n in (name, *coded_column.sources)})
    return coded_column.encode(rows, values[name].type), is_determined


def _check_representable(
    column: Column, values: pa.Array, given: NDArray[np.bool_], name: str | None = None
) -> None:
    """Raise InvalidPartialRow if the model cannot generate a given value.

    Categories must occur in the training rows. Numbers must not have more decimals than those of
    the training rows. Missing values are allowed only in columns where training rows have some.
    `name` is that of the column whose part the values are, if they are one.
    """
    is_missing = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    representable = np.ones(len(values), bool)
    message = NO_SUCH_VALUE
    if isinstance(column, CategoricalColumn):
        has_category = pa.compute.is_in(as_text(values), value_set=column.categories)
        representable = has_category.to_numpy(zero_copy_only=False)
    elif isinstance(column, NumericColumn) and not is_missing.all():
        numbers, _ = numeric_values(column.name, values)
        representable[~is_missing] = column.scale.is_representable(numbers)
    unsupported = np.flatnonzero(given & ~is_missing & ~representable)
    if len(unsupported):
        first, nearest = values.slice(int(unsupported[0]), 1), None
        if isinstance(column, NumericColumn):
            message = column.scale.describe_gaps()
            neighbors = column.scale.neighbors(numeric_values(column.name, first)[0])
            # Those of a part are not values of the whole.
            has_nearest = len(neighbors) and name is None
            nearest = Alternatives(neighbors, "nearest") if has_nearest else None
        message += similar_values(column, first)
        raise InvalidPartialRow(int(unsupported[0]), name or column.name, message, nearest)
    missing = np.flatnonzero(given & is_missing)
    if len(missing) and not column.layout.missing:
        raise InvalidPartialRow(int(missing[0]), name or column.name, NEVER_MISSING)
