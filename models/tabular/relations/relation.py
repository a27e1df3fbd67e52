"""Relations that hold between the columns of a row, such as orders, sums and lookups.

A relation of kind `order` or `date_bound` bounds the last column by the others, one of kind
`distinct` excludes equal values, and one of kind `valid_date` excludes dates that do not exist. All
other kinds determine the last of their columns: it is a function of the columns before it, up to
the rounding of its decimals, or, for a `rounded_sum`, of the decimals of all columns. Kinds that
begin with `near_` have exceptions.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats, as_text
from models.tabular.numbers.grid import is_numeric
from models.tabular.relations.dates.parts import date_part
from models.tabular.relations.dates.spread_dates import (
    SpreadDate,
    may_be_dates,
    spread_dates,
    with_dates,
)
from models.tabular.relations.formulas import formula
from models.tabular.relations.keyed.equation import KeyedEquation
from models.tabular.relations.keyed.numbers import Form, KeyedNumbers
from models.tabular.relations.kinds import (
    BY_KEYS,
    DATE_SUMS,
    GIVES_TEXT,
    SOLVABLE,
    SUMS,
    TIME_UNITS,
    Kind,
)
from models.tabular.relations.rows import (
    FLOAT_TOLERANCE,
    Rows,
    array,
    as_floats,
    rounding_tolerance,
)

SEPARATOR, MISSING = "\x1f", "\x1e"  # in the texts of pairs


@dataclass(frozen=True)
class Relation:
    """A relation of a kind (see `kinds.py`) between `columns`.

    `decimals` are those of the last column, -1 if it is not rounded, and `digits` the significant
    ones to which it was rounded, 0 if only its decimals were.
    `roles` are those of the first columns, if a date is spread over them, such as year and month.
    Other relations have each date that is `spread` over columns as a column with its name.
    `keys` and `values` are the steps of a step function, the starts of intervals and their texts,
    the texts of a lookup, or the texts and their factors, amounts or decimals. A pair of texts is
    one key. `forms` are those of the columns by which a factor is multiplied. With `exceptions`,
    some rows do not satisfy the relation, and a key that is repeated has several numbers.
    """

    kind: Kind
    columns: tuple[str, ...]
    factor: float = 1.0
    offset: float = 0.0
    part: str = ""
    decimals: int = 0
    keys: tuple[Any, ...] = ()
    values: tuple[Any, ...] = ()
    signs: tuple[int, ...] = ()
    digits: int = 0
    roles: tuple[str, ...] = ()
    spread: tuple[SpreadDate, ...] = ()
    forms: tuple[Form, ...] = ()
    exceptions: bool = False

    @property
    def last(self) -> str:
        """Return the column that the relation bounds or, of most kinds, determines."""
        return self.columns[-1]

    @property
    def has_exceptions(self) -> bool:
        """Return True if some rows do not satisfy the relation."""
        return self.exceptions or self.kind.startswith("near_")

    @property
    def table_columns(self) -> tuple[str, ...]:
        """Return the columns of the table, with those of the dates that are spread over them."""
        parts = {date.name: date.columns for date in self.spread}
        return tuple(part for name in self.columns for part in parts.get(name, (name,)))

    @property
    def name(self) -> str:
        """Return a formula that identifies the relation in a table."""
        return formula(self)

    @property
    def term_signs(self) -> tuple[int, ...]:
        """Return the signs of the terms of a sum."""
        return self.signs or (1,) * (len(self.columns) - 1)

    @property
    def _weights(self) -> tuple[float, ...]:
        return self.values if self.kind == "weighted_sum" else self.term_signs

    def to_dict(self) -> dict[str, Any]:
        """Return what clients see: no values of rows."""
        kind = f"near_{self.kind}" if self.exceptions else self.kind
        return {"name": self.name, "kind": kind, "columns": list(self.table_columns)}

    def pack(self) -> dict[str, Any]:
        packed = asdict(self)
        for name in ("roles", "spread", "forms", "exceptions"):
            if not packed[name]:
                del packed[name]
        return packed

    @classmethod
    def unpack(cls, packed: Mapping[str, Any]) -> Self:
        names = ("columns", "keys", "values", "signs", "roles", "forms")
        tuples = {name: tuple(packed[name]) for name in names if name in packed}
        spread = tuple(map(SpreadDate.unpack, packed.get("spread", ())))
        return cls(**{**packed, **tuples, "spread": spread})

    def can_solve(self, name: str) -> bool:
        """Return True if numbers of the source `name` follow from the other columns."""
        if self.columns.count(name) > 1:  # a square has two roots
            return False
        return self.kind in SOLVABLE or (self.kind in BY_KEYS and name != self.columns[0])

    def solve(self, rows: Rows, name: str) -> Floats:
        """Return the unrounded numbers of column `name` that follow from the other columns.

        NaN where one of them is missing. Supports the columns of `can_solve` and the last one.
        """
        if name == self.last:
            return self.compute_numbers(rows)
        if self.kind in BY_KEYS:
            return self._keyed.solve(rows, name, as_floats(array(rows, self.last)))
        others = [as_floats(array(rows, column)) for column in self.columns if column != name]
        last = others[-1]
        if self.kind in (*SUMS, "weighted_sum"):
            weights = dict(zip(self.columns, self._weights, strict=False))
            own = weights.pop(name)
            return (last - self._weighted_sum(weights.values(), others)) / own
        if self.kind == "linear":
            return (last - self.offset) / self.factor
        if self.kind == "clock_time":
            return self._solve_clock_time(last, others[0], name)
        if self.kind == "elapsed":
            ticks = (last - self.offset) / self.factor
            return np.asarray(others[0] + (ticks if name == self.columns[1] else -ticks))
        if self.kind == "ratio":
            ratio = (last - self.offset) / self.factor
            if name == self.columns[0]:
                return np.asarray(ratio * others[0])
            return np.asarray(others[0] / np.where(ratio == 0, np.nan, ratio))
        assert self.kind == "product"  # noqa: S101 - see the docstring
        if name in self.columns[2:]:  # which is added to the product
            return self.signs[0] * (last - self.factor * others[0] * others[1])
        product = last - np.sum([s * x for s, x in zip(self.signs, others[1:-1], strict=True)], 0)
        return np.asarray(product / (self.factor * np.where(others[0] == 0, np.nan, others[0])))

    def compute_numbers(self, rows: Rows) -> Floats:
        """Return the unrounded numbers of the last column; NaN where a source is missing."""
        if self.kind == "date_part":
            return as_floats(self.source(rows))
        sources = [array(rows, name) for name in self.columns[:-1]]
        if self.kind == "decimals":
            units = 10.0 ** -self._keyed.numbers.of(sources[0])[0]
            return np.rint(as_floats(array(rows, self.last)) / units) * units
        if self.kind in BY_KEYS:
            return self._keyed.compute(rows)
        numbers = [as_floats(source) for source in sources]
        if self.kind == "step":
            index = np.searchsorted(np.array(self.keys), numbers[0], side="right")
            return np.where(np.isnan(numbers[0]), np.nan, np.array(self.values, float)[index])
        if self.kind in (*SUMS, "weighted_sum"):
            return self._weighted_sum(self._weights, numbers)
        if self.kind in (*DATE_SUMS, "date_bound"):
            days = self._weighted_sum(self.term_signs[1:], numbers[1:])
            return np.asarray(numbers[0] + self.factor * days)
        if self.kind == "clock_time":
            return self.clock_times(*numbers)
        if self.kind == "ratio":
            divisor = np.where(numbers[1] == 0, np.nan, numbers[1])
            return self.factor * numbers[0] / divisor + self.offset
        if self.kind == "product":
            product = self.factor * numbers[0] * numbers[1]
            return product + self._weighted_sum(self.signs, numbers[2:])
        base = numbers[1] - numbers[0] if self.kind == "elapsed" else numbers[0]
        return self.factor * base + self.offset

    def clock_times(self, starts: Floats, lasted: Floats) -> Floats:
        """Return the (N,) ticks since midnight at which something ends."""
        ends = starts + lasted * self._ticks_per_unit
        if self.part:
            ends = np.rint(ends / self.offset) * self.offset
        return np.asarray(ends % self.factor)

    def _solve_clock_time(self, ends: Floats, other: Floats, name: str) -> Floats:
        """Return how long something lasts until (N,) times from `other`, or the start of that."""
        if name == self.columns[1]:
            return np.asarray((ends - other) % self.factor / self._ticks_per_unit)
        starts = ends - other * self._ticks_per_unit
        if self.part:
            starts = np.rint(starts / self.offset) * self.offset
        return np.asarray(starts % self.factor)

    @property
    def _ticks_per_unit(self) -> float:
        """Return the ticks in the unit of how long something lasts until a time of day."""
        if not self.part:
            return 1.0
        return self.factor * TIME_UNITS[self.part] / TIME_UNITS["days"]

    def _weighted_sum(self, weights: Iterable[float], numbers: Iterable[Floats]) -> Floats:
        terms = [weight * values for weight, values in zip(weights, numbers, strict=False)]
        return np.asarray(np.sum(terms, axis=0) + self.offset)

    @cached_property
    def _keyed(self) -> KeyedEquation:
        forms = self.factor_forms if self.kind == "factor" else ()
        added, sign = (self.columns[-2], self.signs[0]) if self.signs else ("", 0)
        numbers = KeyedNumbers(self.keys, self.values)
        return KeyedEquation(
            self.columns[0], numbers, self.columns[1 : 1 + len(forms)], forms, added, sign
        )

    @property
    def factor_forms(self) -> tuple[Form, ...]:
        """Return the forms of the columns by which the factor of a key is multiplied."""
        return self.forms or ("",)

    @property
    def num_ranks(self) -> int:
        """Return how many numbers a key has at most; 1 for other kinds."""
        return self._keyed.numbers.most if self.kind == "factor" else 1

    def with_rank(self, rank: int) -> Self:
        """Return the relation with one number of each key; the first ones have rank 0."""
        counts: Counter[str | None] = Counter()
        chosen = []
        for key, value in zip(self.keys, self.values, strict=True):
            if counts[key] == rank:
                chosen.append((key, value))
            counts[key] += 1
        keys, values = zip(*chosen, strict=True)
        return replace(self, keys=keys, values=values)

    def possible_numbers(self, rows: Rows) -> Floats:
        """Return the (M, N) unrounded numbers of the last column, of which keys may have several.

        NaN where a key has fewer numbers, or a source is missing.
        """
        return (
            self._keyed.possible(rows)
            if self.kind == "factor"
            else self.compute_numbers(rows)[None]
        )

    def dates(self, rows: Rows) -> pa.Array:
        """Return the dates that are spread over the first columns; null where there is none."""
        parts = [array(rows, name) for name in self.columns[: len(self.roles)]]
        return spread_dates(parts, self.roles)

    @property
    def has_pairs(self) -> bool:
        """Return True for a lookup by the pairs of values of its first two columns."""
        return self.kind == "lookup" and len(self.columns) == 3 and not self.roles

    @property
    def is_learned(self) -> bool:
        """Return True if the last column is learned, although the relation determines it."""
        return self.has_pairs or self.kind in ("offset", "decimals")

    def source(self, rows: Rows) -> pa.Array:
        """Return the first column or a part of it, which may be a date that is spread.

        Of a lookup by two columns, it is a text of both.
        """
        if self.roles:
            return date_part(self.dates(rows), self.part)
        if self.has_pairs:
            texts = [as_text(array(rows, name)).fill_null(MISSING) for name in self.columns[:2]]
            return pa.compute.binary_join_element_wise(*texts, SEPARATOR)
        values = array(rows, self.columns[0])
        return date_part(values, self.part) if self.part else values

    def look_up(self, rows: Rows) -> pa.Array:
        """Return the texts of the last column, given the others.

        A number that no training row has is given the value of the nearest one.
        """
        source = self.source(rows)
        if self.kind == "interval":
            return self._text_of_interval(source)
        keys = pa.array(self.keys, pa.string())
        index = pa.compute.index_in(as_text(source), value_set=keys)
        if is_numeric(source.type) and index.null_count:
            numbers = as_floats(keys.drop_null().cast(source.type))
            order = np.argsort(numbers)
            middles = (numbers[order][1:] + numbers[order][:-1]) / 2
            nearest = order[np.searchsorted(middles, as_floats(source))]
            nearest += np.searchsorted(np.flatnonzero(keys.is_null()), nearest, side="right")
            unknown = pa.compute.and_(index.is_null(), source.is_valid())
            index = pa.compute.if_else(unknown, pa.array(nearest, pa.int32()), index)
        return pa.array(self.values, pa.string()).take(index)

    def has_key(self, rows: Rows) -> pa.Array:
        """Return the (N,) mask of rows whose key of a lookup is one of the training rows."""
        return pa.compute.is_in(as_text(self.source(rows)), pa.array(self.keys, pa.string()))

    def _text_of_interval(self, source: pa.Array) -> pa.Array:
        numbers = as_floats(source)
        index = np.searchsorted(np.array(self.keys), numbers, side="right")
        return pa.array(self.values, pa.string()).take(pa.array(index, mask=np.isnan(numbers)))

    def holds(self, rows: Rows) -> NDArray[np.bool_]:
        """Return the (N,) mask of rows for which the relation holds.

        Missing values satisfy it, and so do keys that no training row has.
        """
        rows = with_dates(rows, self.spread)
        if self.kind == "valid_date":
            return may_be_dates([array(rows, name) for name in self.columns], self.roles)
        last = array(rows, self.last)
        if self.kind in GIVES_TEXT:
            computed = self.look_up(rows)
            equal = pa.compute.equal(computed, as_text(last)).fill_null(False)
            both_missing = pa.compute.and_(computed.is_null(), last.is_null())
            has_key = self.has_key(rows) if self.kind == "lookup" else computed.is_valid()
            is_free = pa.compute.or_(pa.compute.invert(has_key), last.is_null())
            mask = pa.compute.or_(pa.compute.or_(equal, both_missing), is_free)
            return np.asarray(mask.to_numpy(zero_copy_only=False), bool)
        if self.kind == "distinct":
            different = pa.compute.not_equal(as_text(array(rows, self.columns[0])), as_text(last))
            return np.asarray(different.fill_null(True).to_numpy(zero_copy_only=False), bool)
        if self.kind == "order":
            ordered = pa.compute.less_equal(array(rows, self.columns[0]), last)
            return np.asarray(ordered.fill_null(True).to_numpy(zero_copy_only=False), bool)
        if self.num_ranks > 1:
            return self._keyed.gives(rows, as_floats(last), self.decimals, self.digits)
        computed = self.compute_numbers(rows)
        if self.kind == "date_bound":
            return np.asarray(~(computed > as_floats(last)))
        if self.decimals < 0:
            tolerance = FLOAT_TOLERANCE * self._magnitude(rows, computed)
        else:
            # Each number that was rounded may have changed the sum.
            roundings = len(self.columns) if self.kind == "rounded_sum" else 1
            tolerance = roundings * rounding_tolerance(computed, self.decimals, self.digits)
        difference = np.abs(computed - as_floats(last))
        if self.kind == "clock_time":
            difference = np.minimum(difference, self.factor - difference)
            tolerance = np.full(len(computed), 0.0 if self.part else self.offset)
        # The comparison is negated, so that a missing value satisfies it.
        return np.asarray(~(difference > tolerance))

    def _magnitude(self, rows: Rows, computed: Floats) -> Floats:
        """Return the (N,) size of the numbers from which the last column is computed."""
        if self.kind == "sum":
            sources = [as_floats(array(rows, name)) for name in self.columns[:-1]]
            return np.asarray(np.sum(np.abs(sources), axis=0) + abs(self.offset))
        return np.abs(computed - self.offset) + abs(self.offset)
