"""Choice of the lookups whose determined columns are learned before their keys.

A column that a lookup determines needs no learning: decoding looks it up. But if the key has few
rows for each value, such as an aircraft or a patient, other columns follow rather from the
determined columns, such as the airline or the treatment. So these are learned first, and then a key
that has them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import isqrt, prod

import numpy as np
import pyarrow as pa

from models.tabular.categorical_columns import MAX_SINGLE_STEP_VALUES
from models.tabular.numbers.columns import max_exact_values
from models.tabular.numbers.grid import is_numeric
from models.tabular.relations.coded_columns import CodedColumn, DerivedColumn
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.held_out_bits import rank_correlation, sampled_rows
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats

MIN_KEYS = 20
MAX_ROWS_PER_KEY = 20  # on average; with more, a model learns as much from the key itself
MIN_KEYS_PER_VALUE = 2  # of a determined column, on average
MAX_KEY_CORRELATION = 0.4  # of ranks with other numbers; a quantity has more than a number of a key
MAX_CELLS = 1 << 24  # of all tables of excluded tokens, with 1 byte each
CATEGORY_TYPES = ("category", "boolean")


def learn_lookups(
    coding: RelationCoding, table: pa.Table, types: Mapping[str, str], fixed: Collection[str]
) -> RelationCoding:
    """Return a copy in which the columns of some lookups are learned.

    `types` are those of the columns by name. The columns in `fixed` are not keys.
    """
    chooser = _Chooser(table, types)
    keys: dict[str, str] = {}  # the last ones of chains of keys, by learned column
    columns: list[CodedColumn] = []
    # In decoding order, so that a learned column may be a key, too.
    for column in coding.columns:
        if isinstance(column, DerivedColumn) and _is_plain_lookup(column.relation):
            (key,) = column.sources
            may_be_key = key not in fixed and (key in keys or key not in coding.names)
            if may_be_key and chooser.is_learned(key, keys.get(key, key), column.name):
                column = replace(column, omitted=False, learned=True)
                keys[column.name] = keys.get(key, key)
        columns.append(column)
    return replace(coding, columns=tuple(columns))


def _is_plain_lookup(relation: Relation) -> bool:
    return relation.kind == "lookup" and not (relation.part or relation.has_pairs)


class _Chooser:
    def __init__(self, table: pa.Table, types: Mapping[str, str]) -> None:
        self._table, self._types = table, types
        self._counts: dict[str, int] = {}
        self._correlations: dict[str, dict[str, float]] = {}  # with other columns, by key
        self._learned: dict[str, list[int]] = {}  # numbers of values of learned columns by last key

    def is_learned(self, key: str, last_key: str, name: str) -> bool:
        """Return True if a column is learned although a key determines it.

        Combinations of values are stored by the last one of a chain of keys.
        """
        keys, values = self._count(key), self._count(name)
        learned = {**self._learned, last_key: [*self._learned.get(last_key, ()), values]}
        is_learned = (
            keys >= max(MIN_KEYS, MIN_KEYS_PER_VALUE * values)
            and len(self._table) <= MAX_ROWS_PER_KEY * keys
            and sum(_num_cells(self._count(k), v) for k, v in learned.items()) <= MAX_CELLS
            and (
                self._types[name] in CATEGORY_TYPES or values <= max_exact_values(len(self._table))
            )
            and self._is_identifying(key, name)
        )
        if is_learned:
            self._learned = learned
        return is_learned

    @cached_property
    def _sample(self) -> pa.Table:
        return self._table.take(pa.array(sampled_rows(len(self._table))[0]))

    def _count(self, name: str) -> int:
        if name not in self._counts:
            self._counts[name] = len(array(self._table, name).unique().drop_null())
        return self._counts[name]

    def _is_identifying(self, key: str, name: str) -> bool:
        """Return True if the values of a key only identify something, other than a quantity."""
        if self._types[key] in CATEGORY_TYPES:
            return True
        if self._types[key] != "integer":
            return False
        if key not in self._correlations:
            self._correlations[key] = dict(self._correlate(key))
        others = self._correlations[key].items()
        return all(size <= MAX_KEY_CORRELATION for other, size in others if other != name)

    def _correlate(self, key: str) -> Iterator[tuple[str, float]]:
        """Yield the other columns of numbers, with the size of their correlation with a key."""
        numbers = as_floats(array(self._sample, key))
        for other in self._types:
            values = array(self._sample, other)
            if other == key or not is_numeric(values.type):
                continue
            others = as_floats(values)
            both = np.isfinite(numbers) & np.isfinite(others)
            if len(np.unique(numbers[both])) > 1 and len(np.unique(others[both])) > 1:
                yield other, abs(rank_correlation(numbers[both], others[both]))


def _num_cells(keys: int, values: Sequence[int]) -> int:
    """Return the largest size of the tables of a key and of columns with numbers of values."""
    combinations = min(keys, prod(values))
    tokens = keys if keys <= MAX_SINGLE_STEP_VALUES else isqrt(keys) + 1  # of each of two steps
    of_key = combinations * tokens + min(keys, combinations * tokens) * tokens
    return keys * sum(values) + of_key
