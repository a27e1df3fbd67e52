"""Given values of partial rows as Arrow columns, and checks of them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import as_text, from_text, similar_texts
from models.tabular.conditions.condition import (
    NO_SUCH_VALUE,
    Alternatives,
    InvalidPartialRow,
    expected_value,
)
from models.tabular.numbers.grid import NumberGrid, is_numeric
from models.tabular.relations.coded_columns import DerivedColumn
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.graphs import reachable
from models.tabular.relations.kinds import GIVES_TEXT, SUMS
from models.tabular.relations.marked_columns import MarkedColumn
from models.tabular.relations.rows import Rows, as_floats

NEVER_MISSING = "is never missing in the training data"
# Kinds of relations that give a number for any numbers.
_ALWAYS_GIVING = (*SUMS, "weighted_sum", "linear", "product", "step", "elapsed", "clock_time")
_CAST_ERRORS = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


def given_column(field: pa.Field, rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    """Return the values of a column, null where none is given.

    Raises:
        InvalidPartialRow: A value does not fit the column, or is not finite.
    """
    arrow = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    values = [row.get(field.name) for row in rows]
    try:
        column = pa.array(values).cast(arrow)
    except _CAST_ERRORS:
        for row_index, value in enumerate(values):
            try:
                pa.array([value]).cast(arrow)
            except _CAST_ERRORS as error:
                raise InvalidPartialRow(row_index, field.name, expected_value(arrow)) from error
        column = pa.concat_arrays([pa.array([value]).cast(arrow) for value in values])
    if pa.types.is_floating(arrow) and (infinite := pa.compute.is_inf(column)).true_count:
        raise InvalidPartialRow(infinite.index(True).as_py(), field.name, "must be finite")
    return column


def check_derived_values(
    coding: RelationCoding,
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
) -> None:
    """Raise InvalidPartialRow for a value that no interval or key gives, such as a new category.

    So is a part of a date or a step beyond those of the training rows, such as the hour 25.
    """
    for column in coding.columns:
        if isinstance(column, MarkedColumn) and column.name in values:
            _check_marked(column, values[column.name], given[column.name])
        if not isinstance(column, DerivedColumn) or column.name not in values:
            continue
        if not column.omitted:
            continue
        if column.relation.kind in ("date_part", "step") and column.name in coding.limits:
            ends = coding.limits[column.name]
            _check_ends(column.name, values[column.name], given[column.name], ends)
        if column.relation.kind not in GIVES_TEXT:
            continue
        texts = as_text(values[column.name])
        categories = sorted({text for text in column.relation.values if text is not None})
        is_known = pa.compute.is_in(texts, value_set=pa.array(categories, pa.string()))
        is_new = pa.compute.and_not(texts.is_valid(), is_known).to_numpy(zero_copy_only=False)
        if len(new := np.flatnonzero(is_new & given[column.name])):
            row, arrow = int(new[0]), values[column.name].type
            if is_numeric(arrow):
                numbers = from_text(pa.array(categories, pa.string()), arrow)
                nearest = _nearest(numbers, values[column.name].slice(row, 1))
                alternatives = Alternatives(nearest, "nearest")
                raise InvalidPartialRow(row, column.name, NO_SUCH_VALUE, alternatives)
            similar = similar_texts(categories, arrow, [texts[row].as_py()])
            raise InvalidPartialRow(row, column.name, NO_SUCH_VALUE + similar)


def _nearest(values: pa.Array, value: pa.Array) -> pa.Array:
    """Return those of (N,) values that are next to a (1,) value, below and above it."""
    numbers, own = as_floats(values), as_floats(value)[0]
    order = np.argsort(numbers)
    place = int(np.searchsorted(numbers[order], own))
    return values.take(pa.array(order[max(place - 1, 0) : place + 1]))


def check_missing_values(
    coding: RelationCoding,
    learned: Collection[str],
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
) -> None:
    """Raise InvalidPartialRow if a given value is missing, but follows from columns with values.

    No training row has a missing value in the `learned` columns.
    """
    for name in complete_columns(coding, learned) - set(learned):
        if name in values:
            is_null = values[name].is_null(nan_is_null=True)
            is_missing = is_null.to_numpy(zero_copy_only=False) & given[name]
            if len(rows := np.flatnonzero(is_missing)):
                raise InvalidPartialRow(int(rows[0]), name, NEVER_MISSING)


def check_parts(
    coding: RelationCoding,
    arrow: pa.Schema,
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
) -> None:
    """Raise InvalidPartialRow for a date whose part no training row has.

    Such a part, for instance a Saturday, has no name.
    """
    rows = pa.RecordBatch.from_pydict(dict(values))
    for relation in coding.relations:
        source = relation.columns[0]
        is_part = relation.kind == "lookup" and relation.part and not relation.roles
        # A number that a part determines, such as a fee of the year, is that of the nearest part.
        is_part = is_part and not is_numeric(arrow.field(relation.last).type)
        if is_part and source in values:
            has_key = relation.has_key(rows).to_numpy(zero_copy_only=False)
            is_given = given[source] & values[source].is_valid().to_numpy(zero_copy_only=False)
            if len(unknown := np.flatnonzero(is_given & ~has_key)):
                part = relation.part.replace("_", " ")
                message = f"has a {part} that no training row has, so `{relation.last}` is unknown"
                raise InvalidPartialRow(int(unknown[0]), source, message)


def check_dates_over_columns(
    coding: RelationCoding, values: Mapping[str, pa.Array], given: Mapping[str, NDArray[np.bool_]]
) -> None:
    """Raise InvalidPartialRow if given values contradict a relation of a date over columns.

    The possible values are those of its parts, so `check_given_values` leaves such a relation out.
    """
    rows = pa.RecordBatch.from_pydict(dict(values))
    for relation in coding.relations:
        names = relation.columns
        if coding.dates.keys().isdisjoint(names) or not values.keys() >= {*names}:
            continue
        are_given = np.logical_and.reduce([given[name] for name in names])
        if len(broken := np.flatnonzero(are_given & ~relation.holds(rows))):
            message = f"contradicts the other given values, because `{relation.name}`"
            raise InvalidPartialRow(int(broken[0]), relation.table_columns[-1], message)


def complete_columns(coding: RelationCoding, learned: Collection[str]) -> set[str]:
    """Return the `learned` columns, which no row lacks, and those that always follow from them."""
    complete = set(learned)
    for column in coding.columns:  # in decoding order
        is_given = isinstance(column, DerivedColumn) and always_gives(column)
        if is_given and complete.issuperset(column.sources):
            complete.add(column.name)
    return complete


def always_gives(column: DerivedColumn) -> bool:
    """Return True if a column has a value wherever those have one from which it follows."""
    relation = column.relation
    gives_value = relation.kind in _ALWAYS_GIVING or (
        relation.kind in GIVES_TEXT and None not in relation.values
    )
    return column.omitted and gives_value


def _check_marked(column: MarkedColumn, values: pa.Array, given: NDArray[np.bool_]) -> None:
    """Raise InvalidPartialRow for a part of a date or a step beyond those of the training rows."""
    if column.relation.kind in ("date_part", "step"):
        unit = 10.0 ** -max(column.decimals, 0)
        _check_ends(column.name, values, given, (column.low * unit, column.high * unit))


def _check_ends(
    name: str, values: pa.Array, given: NDArray[np.bool_], ends: tuple[float, float]
) -> None:
    """Raise InvalidPartialRow for a given number beyond the smallest and the largest one."""
    numbers, (low, high) = as_floats(values), ends
    if len(beyond := np.flatnonzero(given & ((numbers < low) | (numbers > high)))):
        decimals = -1 if pa.types.is_floating(values.type) else 0
        grid = NumberGrid(values.type, decimals)
        alternatives = Alternatives(grid.from_floats(np.array(ends), np.zeros(2, bool)), "range")
        reason = f"{NO_SUCH_VALUE}; its values are"
        raise InvalidPartialRow(int(beyond[0]), name, reason, alternatives)


def follows_from_known_keys(
    coding: RelationCoding, rows: Rows, given: Mapping[str, NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows whose given values follow from keys that training rows have.

    A number that is sampled, or changed to agree with given values, may be a key that no training
    row has. Its lookup is unknown then. A new key may be given, or follow from given values.
    """
    nothing, mask = np.zeros(len(rows), bool), np.ones(len(rows), bool)
    sources = {column.name: column.sources for column in coding.columns}
    is_determined = dict(given)
    for column in coding.columns:
        if isinstance(column, DerivedColumn) and column.omitted:
            follows = [is_determined.get(name, nothing) for name in column.sources]
            is_determined[column.name] = np.logical_and.reduce(follows) | given.get(
                column.name, nothing
            )
    for relation in coding.relations:
        if relation.kind != "lookup" or relation.roles:
            continue
        source, key = relation.source(rows), relation.columns[0]
        if not is_numeric(source.type):  # ambiguous texts are not stored as keys
            continue
        is_known = pa.compute.or_(relation.has_key(rows), source.is_null())
        is_free = is_known.to_numpy(zero_copy_only=False) | is_determined.get(key, nothing)
        for name in given:
            if name != key and key in reachable(sources, [name]):
                mask &= is_free | ~given[name]
    return mask
