"""Possible values of the columns of rows of which some values are given, by the relations.

Each column of numbers has a smallest and a largest possible value, and each column of texts a mask
of possible ones. A relation narrows those of one column by those of the others: bounds propagation,
which shows at once that no row has some values (Davis 1987, "Constraint propagation with interval
labels"). The values that remain are not all possible, but no other ones are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats, as_text, from_text
from models.tabular.numbers.grid import NumberGrid
from models.tabular.relations.dates.parts import DATE_PARTS
from models.tabular.relations.dates.spread_dates import ticks_per_day
from models.tabular.relations.kinds import BY_KEYS, DATE_SUMS, SUMS
from models.tabular.relations.relation import MISSING, SEPARATOR, Relation
from models.tabular.relations.rows import FLOAT_TOLERANCE, as_floats, rounding_tolerance

Mask = NDArray[np.bool_]
MAX_ROUNDS = 10  # of all relations, each of which may narrow what others narrowed
MAX_CORNERS = 256  # of the ranges of the columns from which a number follows
MAX_KEYED_CORNERS = 1 << 16  # of these and the keys of amounts
MAX_DAYS = 5_000  # of which the parts are compared
_MONOTONE = (*SUMS, *DATE_SUMS, "weighted_sum", "linear", "product", "ratio", "elapsed")


@dataclass(frozen=True)
class PossibleValues:
    """The possible values of the columns of N rows.

    Numbers, dates and times are between the (N,) floats of `low` and `high`, and texts are those of
    the (N, K) masks of `texts`, next to the K distinct ones. Columns in `present` (N,) have a value
    where it is True, and may lack one elsewhere. Columns of the `arrow` schema that are in none of
    these may have any value.
    """

    arrow: pa.Schema
    low: Mapping[str, Floats]
    high: Mapping[str, Floats]
    texts: Mapping[str, tuple[pa.Array, Mask]]
    present: Mapping[str, Mask]

    @property
    def is_empty(self) -> Mask:
        """The (N,) mask of rows in which some column must have a value, but cannot."""
        empty = [(self.low[n] > self.high[n]) & self.present[n] for n in self.low]
        empty += [~mask.any(1) & self.present[n] for n, (_, mask) in self.texts.items()]
        return np.asarray(np.logical_or.reduce(empty))

    def narrowed(
        self, relations: Sequence[Relation], changed: Iterable[str]
    ) -> tuple[Self, list[Relation]]:
        """Return the values that the relations leave, and those relations that excluded some.

        Only the columns that are `changed` have other values than in any row.
        """
        possible, used = self, dict[str, Relation]()
        relations = [each for each in relations if self._has_all(each)]
        pending = set(changed)
        for _ in range(MAX_ROUNDS):
            changed, pending = pending, set()
            for relation in relations:
                if not (changed | pending) & set(relation.columns):
                    continue
                if (narrower := possible._by(relation)) is not possible:
                    pending |= possible._differing(narrower, relation.columns)
                    possible, used[relation.name] = narrower, relation
                    if possible.is_empty.all():
                        return possible, list(used.values())
            if not pending:
                break
        return possible, list(used.values())

    def _differing(self, other: Self, names: Iterable[str]) -> set[str]:
        """Return the columns among `names` that have other possible values in `other`."""
        fields = (self.low, other.low), (self.high, other.high), (self.texts, other.texts)
        return {n for n in names if any(a.get(n) is not b.get(n) for a, b in fields)}

    def with_range(self, name: str, low: Floats, high: Floats) -> Self:
        """Return a copy in which a column of numbers is also between `low` and `high` (N,)."""
        old_low, old_high = self.low[name], self.high[name]
        tolerance = FLOAT_TOLERANCE * np.maximum(np.abs(old_low), np.abs(old_high))
        tolerance = np.nan_to_num(tolerance, nan=0.0, posinf=0.0)
        if not ((low > old_low + tolerance) | (high < old_high - tolerance)).any():
            return self
        new_low, new_high = np.maximum(low, old_low), np.minimum(high, old_high)
        if pa.types.is_integer(self.arrow.field(name).type):
            new_low, new_high = np.ceil(new_low - 1e-6), np.floor(new_high + 1e-6)
        return replace(self, low={**self.low, name: new_low}, high={**self.high, name: new_high})

    def with_mask(self, name: str, mask: Mask) -> Self:
        """Return a copy in which a column of texts has one of those in the (N, K) mask."""
        values, old = self.texts[name]
        if not (old & ~mask).any():
            return self
        return replace(self, texts={**self.texts, name: (values, old & mask)})

    def _has_all(self, relation: Relation) -> bool:
        return all(name in self.low or name in self.texts for name in relation.columns)

    def _by(self, relation: Relation) -> Self:
        """Return what a relation leaves, or `self` if it excludes nothing."""
        if relation.kind == "order":
            return self._by_order(*relation.columns)
        if relation.kind == "distinct":
            return self._by_difference(*relation.columns)
        if relation.kind in ("interval", "step") or self._may_be_days(relation):
            return self._by_pairs(relation)
        if relation.kind == "lookup" and len(relation.columns) == 2 and not relation.part:
            return self._by_pairs(relation)
        if relation.has_pairs:
            return self._by_triples(relation)
        if relation.kind in (*_MONOTONE, *BY_KEYS, "date_bound"):
            return self._by_equation(relation)
        return self._by_single_values(relation)

    def _by_order(self, lower: str, upper: str) -> Self:
        nothing = np.full(len(self.low[lower]), np.inf)
        low = np.where(self.present[lower], self.low[lower], -nothing)
        high = np.where(self.present[upper], self.high[upper], nothing)
        return self.with_range(upper, low, nothing).with_range(lower, -nothing, high)

    def _by_difference(self, first: str, second: str) -> Self:
        possible = self
        if first not in self.texts or second not in self.texts:
            return self
        for name, other in ((first, second), (second, first)):
            values, mask = possible.texts[other]
            single = mask & ((mask.sum(1) == 1) & possible.present[other])[:, None]
            own_values, own = possible.texts[name]
            index = pa.compute.index_in(own_values, value_set=values).fill_null(len(values))
            excluded = np.pad(single, ((0, 0), (0, 1)))[:, index.to_numpy(zero_copy_only=False)]
            possible = possible.with_mask(name, own & ~excluded)
        return possible

    def _by_pairs(self, relation: Relation) -> Self:
        """Narrow a source and its values: each value or interval of the source has one of them."""
        source, last = relation.columns
        is_range = relation.kind != "lookup" or bool(relation.part)
        texts: Sequence[Any] = relation.values
        if is_range or source in self.low:
            if source not in self.low:
                return self
            low, high, texts = self._intervals(relation)
            has_key = (low <= self.high[source][:, None]) & (high >= self.low[source][:, None])
            free = np.zeros(len(has_key), bool)
        else:
            has_key = self._allowed(source, relation.keys)
            values, mask = self.texts[source]
            is_free = pa.compute.is_in(values, value_set=pa.array(relation.keys, pa.string()))
            is_free = ~is_free.to_numpy(zero_copy_only=False)  # a key with several values
            free = (mask & is_free).any(1)
        pair = has_key & (self._allowed(last, texts) | ~self.present[last][:, None])
        possible = self._with_texts(last, texts, pair, self.present[source] & ~free)
        if is_range or source in self.low:
            some = pair.any(1)
            lowest = np.where(pair, low, np.inf).min(1, initial=np.inf)
            highest = np.where(pair, high, -np.inf).max(1, initial=-np.inf)
            is_used = self.present[last] & some
            lowest = np.where(is_used, lowest, -np.inf)
            return possible.with_range(source, lowest, np.where(is_used, highest, np.inf))
        return possible._with_texts(
            source, relation.keys, pair, self.present[last], also=mask & is_free
        )

    def _by_triples(self, relation: Relation) -> Self:
        """Narrow two columns and the values that each of their pairs has: samples have no others.

        Where one of the columns may have no value, the others stay as they are.
        """
        pairs = [key.split(SEPARATOR) for key in relation.keys]
        columns = [[None if t == MISSING else t for t in own] for own in zip(*pairs, strict=True)]
        columns.append(list(relation.values))
        allowed = [
            self._allowed(name, texts)
            for name, texts in zip(relation.columns, columns, strict=True)
        ]
        is_possible = np.logical_and.reduce(allowed)
        is_used = np.logical_and.reduce([self.present[name] for name in relation.columns])
        possible = self
        for name, texts in zip(relation.columns, columns, strict=True):
            possible = possible._with_texts(name, texts, is_possible, is_used)
        return possible

    def _intervals(self, relation: Relation) -> tuple[Floats, Floats, Sequence[Any]]:
        """Return the ends (P,) of the intervals of a source with the P values of a relation.

        A number that is not a key of a lookup has the value of the nearest one. Dates have one
        interval for each day.
        """
        if relation.part:
            return self._days(relation)
        if relation.kind != "lookup":
            ends = np.concatenate([[-np.inf], np.array(relation.keys, float), [np.inf]])
            return ends[:-1], np.nextafter(ends[1:], -np.inf), relation.values
        present = [i for i, key in enumerate(relation.keys) if key is not None]
        arrow = self.arrow.field(relation.columns[0]).type
        keys = as_floats(
            from_text(pa.array([relation.keys[i] for i in present], pa.string()), arrow)
        )
        order = np.argsort(keys)
        middles = (keys[order][1:] + keys[order][:-1]) / 2
        ends = np.concatenate([[-np.inf], middles, [np.inf]])
        return ends[:-1], ends[1:], [relation.values[present[i]] for i in order]

    def _days(self, relation: Relation) -> tuple[Floats, Floats, Sequence[Any]]:
        """Return the days of a source, each with the part of a date that it has, or its value."""
        source, last = relation.columns
        arrow = self.arrow.field(source).type
        day = ticks_per_day(arrow)
        first, end = self.low[source].min() // day, self.high[source].max() // day
        starts = np.arange(first, end + 1) * day
        dates = NumberGrid(arrow, 0).from_floats(starts, np.zeros(len(starts), bool))
        rows = pa.RecordBatch.from_pydict({source: dates})
        values = relation.look_up(rows) if relation.kind == "lookup" else relation.source(rows)
        if last in self.low and relation.kind != "lookup":
            return starts, starts + day - 1, as_floats(values).tolist()
        return starts, starts + day - 1, as_text(values).to_pylist()

    def _may_be_days(self, relation: Relation) -> bool:
        """Return True if a relation determines a part of few days."""
        source = relation.columns[0]
        if relation.roles or relation.part not in DATE_PARTS or source not in self.low:
            return False
        arrow = self.arrow.field(source).type
        if (
            pa.types.is_time(arrow)
            or pa.types.is_duration(arrow)
            or not pa.types.is_temporal(arrow)
        ):
            return False
        span = self.high[source].max() - self.low[source].min()
        return bool(span <= MAX_DAYS * ticks_per_day(arrow))

    def _allowed(self, name: str, texts: Sequence[Any]) -> Mask:
        """Return the (N, P) mask of texts or numbers that a column may have."""
        if name in self.low:
            numbers = self._numbers(name, texts)
            return np.asarray(
                (self.low[name][:, None] <= numbers) & (numbers <= self.high[name][:, None])
            )
        values, mask = self.texts[name]
        index = pa.compute.index_in(pa.array(texts, pa.string()), value_set=values)
        index = index.fill_null(len(values)).to_numpy(zero_copy_only=False)
        return np.asarray(np.pad(mask, ((0, 0), (0, 1)))[:, index])

    def _with_texts(
        self,
        name: str,
        texts: Sequence[Any],
        possible: Mask,
        is_used: Mask,
        also: Mask | None = None,
    ) -> Self:
        """Return a copy in which a column has one of `texts` (P,) in the (N, P) mask `possible`.

        Rows that are not in `is_used` (N,) stay as they are, and so do the values in `also`.
        """
        if name in self.low:
            numbers = self._numbers(name, texts)
            low = np.where(possible, numbers, np.inf).min(1, initial=np.inf)
            high = np.where(possible, numbers, -np.inf).max(1, initial=-np.inf)
            low = np.where(is_used, low, -np.inf)
            return self.with_range(name, low, np.where(is_used, high, np.inf))
        values, mask = self.texts[name]
        index = pa.compute.index_in(pa.array(texts, pa.string()), value_set=values)
        index = index.fill_null(len(values)).to_numpy(zero_copy_only=False)
        rows, places = np.nonzero(possible)
        new = np.zeros((len(mask), len(values) + 1), bool)
        new[rows, index[places]] = True
        new = new[:, :-1] | ~is_used[:, None]
        return self.with_mask(name, new if also is None else new | also)

    def _numbers(self, name: str, texts: Sequence[Any]) -> Floats:
        """Return the numbers of a column in texts, or of a step function; NaN for None."""
        if all(value is None or isinstance(value, int | float) for value in texts):
            return np.array([np.nan if value is None else value for value in texts], float)
        return as_floats(from_text(pa.array(texts, pa.string()), self.arrow.field(name).type))

    def _by_equation(self, relation: Relation) -> Self:
        """Narrow the numbers of an equation, whose extremes are at the ends of their ranges."""
        if relation.kind in BY_KEYS:
            return self._by_keys(relation)
        possible = self._at_corners(relation, relation.last)
        if relation.kind == "date_bound":
            return possible
        for name in relation.columns[:-1]:
            if relation.can_solve(name):
                possible = possible._at_corners(relation, name)
        return possible

    def _at_corners(self, relation: Relation, name: str) -> Self:
        """Narrow a column of an equation of numbers by the ends of the ranges of the others."""
        others = [other for other in relation.columns if other != name]
        corners = 2 ** len(others)
        if corners > MAX_CORNERS or not self.low.keys() >= {name, *others}:
            return self
        divisors = {"product": others, "ratio": others if name != relation.last else others[1:]}
        if relation.kind == "product" and name == relation.last:
            divisors = {}
        if any(self._spans_zero(each) for each in divisors.get(relation.kind, ())):
            return self
        rows = self._corners(others)
        if name == relation.last:
            numbers = relation.compute_numbers(rows)
            margin = _margin(relation, numbers)
            lowest, highest = numbers - margin, numbers + margin
        else:
            index = rows.schema.get_field_index(relation.last)
            last = as_floats(rows.column(index))
            lowest, highest = np.sort(
                [
                    relation.solve(rows.set_column(index, relation.last, pa.array(each)), name)
                    for each in (last - _margin(relation, last), last + _margin(relation, last))
                ],
                axis=0,
            )
        lowest, highest = lowest.reshape(corners, -1), highest.reshape(corners, -1)
        is_known = np.logical_and.reduce([self.present[other] for other in others])
        is_known &= np.isfinite(lowest).all(0) & np.isfinite(highest).all(0)
        is_bound = relation.kind == "date_bound"
        return self.with_range(
            name,
            np.where(is_known, lowest.min(0), -np.inf),
            np.where(is_known & (not is_bound), highest.max(0), np.inf),
        )

    def _spans_zero(self, name: str) -> bool:
        return bool(((self.low[name] <= 0) & (self.high[name] >= 0)).any())

    def _corners(self, names: Sequence[str]) -> pa.RecordBatch:
        """Return (C * N,) rows with the ends of the ranges of columns, corner by corner."""
        corners = list(product((self.low, self.high), repeat=len(names)))
        columns = {
            name: np.concatenate([corner[i][name] for corner in corners])
            for i, name in enumerate(names)
        }
        finite = {name: np.where(np.isinf(x), np.nan, x) for name, x in columns.items()}
        return pa.RecordBatch.from_pydict({name: pa.array(x) for name, x in finite.items()})

    def _by_keys(self, relation: Relation) -> Self:
        """Narrow the amounts by their keys, and these by the amounts."""
        key, *factors, last = relation.columns
        if key not in self.texts or not self.low.keys() >= {*factors, last}:
            return self
        values, mask = self.texts[key]
        corners, num_rows = 2 ** len(factors), len(mask)
        if corners * mask.size > MAX_KEYED_CORNERS:
            return self
        rows = self._corners(factors) if factors else None
        repeated = pa.array(np.repeat(np.arange(len(values)), corners * num_rows))
        arrays = {key: values.take(repeated)}
        for name in factors:
            assert rows is not None  # noqa: S101 - there are factors
            arrays[name] = pa.concat_arrays([rows.column(name)] * len(values))
        arrays[last] = pa.nulls(len(repeated), pa.float64())
        amounts = relation.possible_numbers(pa.RecordBatch.from_pydict(arrays))
        margin = _margin(relation, np.nan_to_num(amounts.ravel())).reshape(amounts.shape)
        shape = len(amounts), len(values), corners, num_rows
        lowest = np.where(np.isnan(amounts), np.inf, amounts - margin).reshape(shape).min((0, 2)).T
        highest = np.where(np.isnan(amounts), -np.inf, amounts + margin)
        highest = highest.reshape(shape).max((0, 2)).T
        has_number = lowest <= highest
        is_known = np.logical_and.reduce([self.present[n] for n in (key, *factors)])
        is_used = is_known & ~(mask & ~has_number).any(1)
        possible = self.with_range(
            last,
            np.where(is_used, np.where(mask, lowest, np.inf).min(1), -np.inf),
            np.where(is_used, np.where(mask, highest, -np.inf).max(1), np.inf),
        )
        fits = (lowest <= self.high[last][:, None]) & (highest >= self.low[last][:, None])
        is_free = ~has_number | ~(is_known & self.present[last])[:, None]
        return possible.with_mask(key, fits | is_free)

    def _by_single_values(self, relation: Relation) -> Self:
        """Leave nothing of a column where single values of all columns contradict a relation."""
        arrays = {}
        for name in relation.columns:
            arrow = self.arrow.field(name).type
            if name in self.texts:
                values, mask = self.texts[name]
                single = pa.array(mask.argmax(1), mask=(mask.sum(1) != 1) | ~self.present[name])
                arrays[name] = from_text(values.take(single), arrow)
            else:
                is_open = (self.low[name] != self.high[name]) | ~self.present[name]
                numbers = np.where(is_open, 0.0, self.low[name])
                arrays[name] = NumberGrid(
                    arrow, 0 if not pa.types.is_floating(arrow) else -1
                ).from_floats(numbers, is_open)
        broken = ~relation.holds(pa.RecordBatch.from_pydict(arrays))
        last = relation.table_columns[-1]
        if last in self.texts:
            return self.with_mask(
                last, np.broadcast_to(~broken[:, None], self.texts[last][1].shape)
            )
        return self.with_range(
            last, np.where(broken, np.inf, -np.inf), np.where(broken, -np.inf, np.inf)
        )


def _margin(relation: Relation, numbers: Floats) -> Floats:
    """Return by how much (M,) numbers may differ from those that a relation gives."""
    if relation.decimals < 0:
        return FLOAT_TOLERANCE * np.abs(numbers)
    roundings = len(relation.columns) if relation.kind == "rounded_sum" else 1
    tolerance = rounding_tolerance(np.nan_to_num(numbers), relation.decimals, relation.digits)
    return np.asarray(roundings * tolerance)
