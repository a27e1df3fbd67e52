"""Given values of partial rows as Arrow columns, and checks of them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import as_text, similar_texts
from models.tabular.conditions import NO_SUCH_VALUE, InvalidPartialRow, expected_value
from models.tabular.numbers.grid import is_numeric
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
        if not column.omitted or column.relation.kind not in GIVES_TEXT:
            continue
        texts = as_text(values[column.name])
        categories = sorted({text for text in column.relation.values if text is not None})
        is_known = pa.compute.is_in(texts, value_set=pa.array(categories, pa.string()))
        is_new = pa.compute.and_not(texts.is_valid(), is_known).to_numpy(zero_copy_only=False)
        if len(new := np.flatnonzero(is_new & given[column.name])):
            row = int(new[0])
            similar = similar_texts(categories, values[column.name].type, [texts[row].as_py()])
            message = NO_SUCH_VALUE + similar
            raise InvalidPartialRow(row, column.name, message)


def check_missing_values(
    coding: RelationCoding,
    learned: Collection[str],
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
) -> None:
    """Raise InvalidPartialRow if a given value is missing, but follows from columns with values.

    No training row has a missing value in the `learned` columns.
    """
    complete = set(learned)
    for column in coding.columns:  # in decoding order
        if not isinstance(column, DerivedColumn) or not column.omitted:
            continue
        relation = column.relation
        has_values = relation.kind in _ALWAYS_GIVING or (
            relation.kind in GIVES_TEXT and None not in relation.values
        )
        if not has_values or not complete.issuperset(column.sources):
            continue
        complete.add(column.name)
        if column.name in values:
            is_null = values[column.name].is_null(nan_is_null=True)
            is_missing = is_null.to_numpy(zero_copy_only=False) & given[column.name]
            if len(rows := np.flatnonzero(is_missing)):
                raise InvalidPartialRow(int(rows[0]), column.name, NEVER_MISSING)


def _check_marked(column: MarkedColumn, values: pa.Array, given: NDArray[np.bool_]) -> None:
    """Raise InvalidPartialRow for a part of a date or a step beyond those of the training rows."""
    if column.relation.kind not in ("date_part", "step"):
        return
    unit = 10.0 ** -max(column.decimals, 0)
    low, high = column.low * unit, column.high * unit
    numbers = as_floats(values)
    if len(beyond := np.flatnonzero(given & ((numbers < low) | (numbers > high)))):
        message = f"{NO_SUCH_VALUE}; its values are from {low:.15g} to {high:.15g}"
        raise InvalidPartialRow(int(beyond[0]), column.name, message)


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
