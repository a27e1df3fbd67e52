"""Coding of rows by the relations between their columns, so that generated rows satisfy them.

Before tokenization, a column that others determine is left out, and a column that others bound
becomes its distance from the bound. Decoding computes the columns again. Relations that no coding
enforces are checked: rows that break one are generated again, as those that leave their limits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.numbers.grid import NumberGrid, is_numeric
from models.tabular.relations.coded_columns import (
    BoundedColumn,
    CodedColumn,
    DerivedColumn,
    RemainderColumn,
    unpack_column,
)
from models.tabular.relations.dates.calendar_columns import CalendarColumn, part_type
from models.tabular.relations.dates.columns import DateGapColumn, PartColumn, SpreadColumn
from models.tabular.relations.dates.spread_dates import SpreadDate, with_dates
from models.tabular.relations.kinds import BY_KEYS
from models.tabular.relations.marked_columns import MarkedColumn
from models.tabular.relations.near.close_columns import CloseColumn
from models.tabular.relations.near.columns import NearColumn
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import Rows, array, as_floats

LIMIT_TOLERANCE = 1e-9  # of the limits of a column


@dataclass(frozen=True)
class RelationCoding:
    """The coded columns, in decoding order, and the relations that samples satisfy.

    Those in `checked` do not follow from the coding. `limits` are the smallest and the largest
    number of coded columns and of their sources in the training rows: what follows from other
    numbers may be beyond them, such as a negative count. `date_limits` are the first and the last
    date that is spread over columns, in days, by the name of its relation.
    """

    columns: tuple[CodedColumn, ...] = ()
    relations: tuple[Relation, ...] = ()
    checked: tuple[Relation, ...] = ()
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    date_limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the coded columns of the table."""
        return frozenset(column.name for column in self.columns) - self.dates.keys()

    @cached_property
    def determined(self) -> frozenset[str]:
        """The names of the coded columns that no relation with exceptions may code instead.

        Columns that others bound, and those that are rounded, are not among them.
        """
        free = {column.name for column in self.columns if isinstance(column, BoundedColumn)}
        free |= {relation.last for relation in self.relations if relation.kind == "decimals"}
        return self.names - free

    @cached_property
    def dates(self) -> Mapping[str, SpreadDate]:
        """The dates by name that are spread over columns, relative to which others are coded.

        Coded rows have those whose parts follow from them.
        """
        columns = (c for c in self.columns if isinstance(c, SpreadColumn | PartColumn))
        return {column.date.name: column.date for column in columns}

    @cached_property
    def near(self) -> Mapping[str, NearColumn]:
        """The near columns by name, which are coded without a relation."""
        return {column.name: column for column in self.columns if isinstance(column, NearColumn)}

    @cached_property
    def close(self) -> Mapping[str, CloseColumn]:
        """The close columns by the names of their ratios, which only coded rows have."""
        return {c.ratio_name: c for c in self.columns if isinstance(c, CloseColumn)}

    @cached_property
    def parts(self) -> Mapping[str, CalendarColumn]:
        """The datetimes by the names of their learned parts, which only coded rows have."""
        dates = (column for column in self.columns if isinstance(column, CalendarColumn))
        return {name: date for date in dates for name in date.part_names}

    @cached_property
    def keys(self) -> Mapping[str, str]:
        """The key of each learned column that a lookup determines, or the key of this key."""
        derived = (column for column in self.columns if isinstance(column, DerivedColumn))
        keys: dict[str, str] = {}
        for column in derived:  # a key is decoded before its columns
            if column.learned and not column.relation.is_learned:
                (key,) = column.sources
                keys[column.name] = keys.get(key, key)
        return keys

    @cached_property
    def offset_keys(self) -> frozenset[str]:
        """The names of the columns whose values have an amount."""
        return frozenset(r.columns[0] for r in self.relations if r.kind == "offset")

    @cached_property
    def learned(self) -> frozenset[str]:
        """The names of the columns that are learned although others determine them."""
        derived = (column for column in self.columns if isinstance(column, DerivedColumn))
        return frozenset(column.name for column in derived if column.learned)

    @cached_property
    def columns_of_pairs(self) -> Mapping[tuple[str, ...], list[str]]:
        """The columns that pairs of columns determine, by pair, if all of these are learned."""
        columns: dict[tuple[str, ...], list[str]] = {}
        for relation in self.relations:
            if relation.has_pairs and not (self.names - self.learned) & set(relation.columns):
                columns.setdefault(relation.columns[:2], []).append(relation.last)
        return columns

    @cached_property
    def exceptions_of_keys(self) -> Mapping[str, list[str]]:
        """The columns, by key, of which only the exceptions are learned.

        These are the values of keys with several ones, or what differs from the numbers of keys.
        """
        columns: dict[str, list[str]] = {}
        for column in self.columns:
            if isinstance(column, DerivedColumn) and column.relation.kind == "lookup":
                is_left = not (column.omitted or column.learned or column.relation.part)
                if is_left and len(column.sources) == 1:
                    columns.setdefault(column.sources[0], []).append(column.name)
            elif isinstance(column, MarkedColumn) and column.relation.kind in BY_KEYS:
                columns.setdefault(column.relation.columns[0], []).append(column.name)
        return columns

    @cached_property
    def with_exceptions(self) -> tuple[Relation, ...]:
        """The relations with exceptions by which columns are coded."""
        kinds = RemainderColumn | DateGapColumn | MarkedColumn
        coded = (column for column in self.columns if isinstance(column, kinds))
        return tuple(c.relation for c in coded if c.relation.has_exceptions)

    @cached_property
    def marked(self) -> Mapping[str, MarkedColumn]:
        """The columns by name that have a mark where a relation with exceptions holds."""
        return {c.name: c for c in self.columns if isinstance(c, MarkedColumn)}

    def coded_schema(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema of coded rows with the columns of `schema`."""
        schema = self.with_dates(schema)
        coded = {
            c.name: c.coded_type(schema.field(c.name).type)
            for c in self.columns
            if c.name in schema.names
        }
        ratios = {c.name: c.ratio_name for c in self.close.values()}
        chains = {c.name: c.chain_ratio_name for c in self.close.values() if c.first}
        parts_of = {column.name: column.part_names for column in self.parts.values()}
        types: dict[str, pa.DataType | None] = {}
        for name in schema.names:
            if name in ratios:
                types[ratios[name]] = pa.float64()
            types[name] = coded.get(name, schema.field(name).type)
            if name in chains:
                types[chains[name]] = pa.float64()
            for part_name, part in parts_of.get(name, {}).items():
                types[part_name] = part_type(part, schema.field(name).type)
        return pa.schema([(name, type) for name, type in types.items() if type is not None])

    def with_dates(self, schema: pa.Schema) -> pa.Schema:
        """Return a schema that also has each date whose parts it has, before the first one."""
        for name, date in self.dates.items():
            if name not in schema.names and set(date.columns) <= set(schema.names):
                first = min(map(schema.get_field_index, date.columns))
                schema = schema.insert(first, pa.field(name, date.arrow))
        return schema

    def encode(self, rows: pa.Table) -> pa.Table:
        """Return the coded rows."""
        if not self.columns:
            return rows
        schema = self.coded_schema(rows.schema)
        rows = with_dates(rows, self.dates.values())
        arrays = {
            column.name: column.encode(rows, rows.schema.field(column.name).type)
            for column in self.columns
            if column.name in schema.names
        }
        for close in self.close.values():
            arrays[close.ratio_name] = close.encode_ratio(rows)
            if close.first:
                arrays[close.chain_ratio_name] = close.encode_chain_ratio(rows)
        for column in self.columns:
            if isinstance(column, CalendarColumn) and column.name in arrays:
                arrays |= column.encode_parts(rows)
        return pa.table(
            {n: arrays[n] if n in arrays else rows.column(n) for n in schema.names}, schema=schema
        )

    def decode(self, coded: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        """Return the rows; `schema` has their types and the order of their columns.

        A bounded column stays within its limits, which its relations allow.
        """
        if not self.columns:
            return coded
        arrays, _ = self._decode(coded, schema)
        fields = [item for item in schema if item.name in arrays]
        return pa.RecordBatch.from_arrays(
            [arrays[item.name] for item in fields], schema=pa.schema(fields)
        )

    @property
    def may_reject(self) -> bool:
        """Return True if `is_valid` may reject a row."""
        return bool(self.limits or self.checked)

    def is_valid(
        self, coded: pa.RecordBatch, schema: pa.Schema
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return the (N,) masks of coded rows that satisfy the relations and that are in limits."""
        arrays, in_limits = self._decode(coded, schema)
        rows = pa.RecordBatch.from_pydict(arrays)
        satisfied = np.ones(len(rows), bool)
        for relation in self.checked:
            satisfied &= relation.holds(rows)
            in_limits &= self.has_date_in_limits(relation, rows)
        return satisfied, in_limits

    def has_date_in_limits(self, relation: Relation, rows: Rows) -> NDArray[np.bool_]:
        """Return the (N,) mask of rows whose date of a relation is in limits, if it has some."""
        if relation.name not in self.date_limits:
            return np.ones(len(rows), bool)
        low, high = self.date_limits[relation.name]
        days = as_floats(relation.dates(rows))
        return np.asarray(~((days < low) | (days > high)))

    def _decode(
        self, coded: pa.RecordBatch, schema: pa.Schema
    ) -> tuple[dict[str, pa.Array], NDArray[np.bool_]]:
        arrays = dict(zip(coded.schema.names, coded.columns, strict=True))
        in_limits = np.ones(len(coded), bool)
        schema = self.with_dates(schema)
        for column in self.columns:
            rows = pa.RecordBatch.from_pydict(arrays)
            arrow = schema.field(column.name).type
            values = column.decode(rows, arrow)
            if column.name in self.limits:
                low, high = self.limits[column.name]
                numbers, margin = as_floats(values), LIMIT_TOLERANCE * max(abs(low), abs(high))
                is_outside = (numbers < low - margin) | (numbers > high + margin)
                in_limits &= ~is_outside
                if is_outside.any() and isinstance(column, BoundedColumn):
                    grid = NumberGrid(arrow, column.decimals)
                    nearest = np.clip(np.nan_to_num(numbers), low, high)
                    limited = grid.from_floats(nearest, np.isnan(numbers))
                    values = pa.compute.if_else(pa.array(is_outside), limited, values)
            arrays[column.name] = values
        return arrays, in_limits

    def with_limits(self, table: pa.Table) -> Self:
        """Return a copy with the limits of coded columns and their sources in the training rows."""
        limits = {}
        table = with_dates(table, self.dates.values())
        exact = [c for c in self.columns if not isinstance(c, NearColumn | CloseColumn)]
        for name in dict.fromkeys(name for c in exact for name in (c.name, *c.sources)):
            values = array(table, name)
            if not is_numeric(values.type) or name in self.near:
                continue
            numbers = as_floats(values)
            finite = numbers[np.isfinite(numbers)]
            if len(finite):
                limits[name] = float(finite.min()), float(finite.max())
        date_limits = {}
        for relation in self.checked:
            if "year" in relation.roles:
                days = as_floats(relation.dates(table))
                date_limits[relation.name] = float(np.nanmin(days)), float(np.nanmax(days))
        return replace(self, limits=limits, date_limits=date_limits)

    def satisfied(self, rows: Rows) -> NDArray[np.bool_]:
        """Return the (N,) mask of rows that satisfy all relations."""
        mask = np.ones(len(rows), bool)
        for relation in self.relations:
            mask &= relation.holds(rows)
        return mask

    def is_plausible(self, rows: Rows, given: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """Return the (N,) mask of rows in which what follows from given values is plausible.

        These numbers exceed the limits by at most half of their distance, unless a given number is
        beyond its own limits. They have a sign that training rows have, unless a given one has not.
        """
        nothing = np.zeros(len(rows), bool)
        rows = with_dates(rows, self.dates.values())
        mask, is_beyond, has_new_sign = ~nothing, nothing.copy(), nothing.copy()
        for check_given in (True, False):
            for name, (low, high) in self.limits.items():
                numbers, is_given = as_floats(array(rows, name)), given.get(name, nothing)
                changes_sign = ((numbers < 0) & (low >= 0)) | ((numbers > 0) & (high <= 0))
                if check_given:
                    is_beyond |= is_given & ((numbers < low) | (numbers > high))
                    has_new_sign |= is_given & changes_sign
                    continue
                slack = (high - low) / 2
                is_far = (numbers < low - slack) | (numbers > high + slack)
                mask &= is_given | ~((changes_sign & ~has_new_sign) | (is_far & ~is_beyond))
        return mask

    def pack(self) -> dict[str, Any]:
        packed: dict[str, Any] = {
            "columns": [column.pack() for column in self.columns],
            "relations": [relation.pack() for relation in self.relations],
        }
        if self.checked:
            packed["checked"] = [relation.pack() for relation in self.checked]
        if self.limits:
            packed["limits"] = {name: list(limits) for name, limits in self.limits.items()}
        if self.date_limits:
            packed["date_limits"] = {name: list(ends) for name, ends in self.date_limits.items()}
        return packed

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        columns = tuple(map(unpack_column, packed["columns"]))
        limits, date_limits = (
            {name: (low, high) for name, (low, high) in packed.get(key, {}).items()}
            for key in ("limits", "date_limits")
        )
        relations, checked = (
            tuple(map(Relation.unpack, packed.get(name, ()))) for name in ("relations", "checked")
        )
        return cls(columns, relations, checked, limits, date_limits)


NO_CODING = RelationCoding()
