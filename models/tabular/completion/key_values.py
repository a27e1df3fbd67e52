"""Values of a key and of the columns that it determines, such as products and their names.

A lookup leaves out the keys that have several values. These values are learned, and the pairs of
such a key and one of its values in the training rows are the exceptions of the lookup.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.categorical_columns import (
    CategoricalColumn,
    Tokens,
    as_text,
    from_text,
    similar_texts,
)
from models.tabular.conditions.condition import NO_SUCH_VALUE, InvalidPartialRow
from models.tabular.relations.relation import SEPARATOR, Relation
from models.tabular.relations.rows import Rows, array
from models.tabular.sampled_values import UNKNOWN_TOKEN
from models.tabular.tokenizer import Tokenizer


def exceptions_of(tokenizer: Tokenizer, key: str, name: str) -> pa.Table | None:
    """Return the pairs of a `key` with several values of a column and one of these, as texts.

    Return None if the column is not a text that a lookup of `key` with exceptions gives.
    """
    names = tokenizer.coding.exceptions_of_keys.get(key, [])
    steps = tuple(sorted(tokenizer.steps_of([key, *names])))
    lookups = {each.steps: each.combinations for each in tokenizer.exclusions.exact_lookups}
    if name not in names or steps not in lookups:
        return None
    tokens = np.full((len(tokenizer.step_sizes), len(lookups[steps])), UNKNOWN_TOKEN)
    tokens[list(steps)] = lookups[steps].T
    columns = {column.name: column for column in tokenizer.columns}
    decoded = []
    for each in (key, name):
        column = columns[each]
        if not isinstance(column, CategoricalColumn):
            return None
        decoded.append(as_text(column.decode(tokens[tokenizer.steps_of([each])], np.empty(0))))
    return pa.table(decoded, ["key", "value"])


def follows_from_key(relation: Relation, exceptions: pa.Table, rows: Rows) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows whose key has a single value, or the row's among several."""
    pairs = _joined(exceptions["key"], exceptions["value"])
    own = _joined(relation.source(rows), array(rows, relation.last))
    is_exception = pa.compute.is_in(own, value_set=pairs)
    mask = pa.compute.or_(relation.has_key(rows), is_exception)
    return np.asarray(mask.to_numpy(zero_copy_only=False), bool)


def _joined(keys: pa.Array, values: pa.Array) -> pa.Array:
    """Return the (N,) texts of both, which are null where one of them is missing."""
    return pa.compute.binary_join_element_wise(as_text(keys), as_text(values), SEPARATOR)


def given_exceptions_hold(
    tokenizer: Tokenizer, rows: Rows, given: Mapping[str, NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows whose given values are not those of another key."""
    mask = np.ones(len(rows), bool)
    for relation in tokenizer.coding.relations:
        if relation.kind == "lookup" and len(relation.columns) == 2 and relation.last in given:
            exceptions = exceptions_of(tokenizer, *relation.columns)
            if exceptions is not None:
                follows = follows_from_key(relation, exceptions, rows)
                mask &= follows | ~given[relation.last]
    return mask


def add_values_of_keys(
    tokenizer: Tokenizer, values: dict[str, pa.Array], given: dict[str, NDArray[np.bool_]]
) -> None:
    """Add values that the given ones determine, because all keys that have these have them.

    They are learned columns, and the key itself if it is the only one. Raises InvalidPartialRow if
    no key has the given values of the columns that it determines.
    """
    lookups: dict[str, dict[str, Relation]] = {}
    for relation in tokenizer.coding.relations:
        if relation.kind == "lookup" and not relation.part and len(relation.columns) == 2:
            lookups.setdefault(relation.columns[0], {})[relation.last] = relation
    partly_learned = tokenizer.coding.names - tokenizer.coding.learned
    for column in tokenizer.columns:
        if not isinstance(column, CategoricalColumn) or column.name in partly_learned:
            continue
        if lookups.get(column.name, {}).keys() & values:
            _add_values_of(tokenizer, column, lookups[column.name], values, given)


def _add_values_of(
    tokenizer: Tokenizer,
    key: CategoricalColumn,
    lookups: Mapping[str, Relation],
    values: dict[str, pa.Array],
    given: dict[str, NDArray[np.bool_]],
) -> None:
    """Add what the columns in `lookups` determine through `key` (see `add_values_of_keys`)."""
    index = _index(key)
    having = {key.name: {text: {i} for text, i in index.items()}}
    having |= {n: _keys_of_values(tokenizer, key.name, each, index) for n, each in lookups.items()}
    texts = {name: as_text(values[name]).to_pylist() for name in having if name in values}
    partly_learned = tokenizer.coding.names - tokenizer.coding.learned
    names = ({column.name for column in tokenizer.columns} - partly_learned) & having.keys()
    added: dict[str, dict[int, str | None]] = {}
    determined: dict[tuple[tuple[str, str | None], ...], dict[str, str | None]] = {}
    for row in range(len(next(iter(values.values())))):
        used = {name: own[row] for name, own in texts.items() if given[name][row]}
        used = {name: text for name, text in used.items() if text is not None}
        if not used.keys() & lookups.keys():
            continue
        pattern = tuple(used.items())
        if pattern not in determined:
            keys = _keys_with(having, used, key.name, row, values)
            determined[pattern] = {
                name: text
                for name in names
                for text, own in having[name].items()
                if own >= keys and (text is not None or name == key.name)
            }
        for name, text in determined[pattern].items():
            if name not in given or not given[name][row]:
                added.setdefault(name, {})[row] = text
    for name, of_rows in added.items():
        field = tokenizer.arrow.field(name).type
        _give(values, given, name, field, of_rows)


def _keys_with(
    having: Mapping[str, Mapping[str | None, set[int]]],
    used: Mapping[str, str],
    key: str,
    row: int,
    values: Mapping[str, pa.Array],
) -> set[int]:
    """Return the keys that may have the values in `used`. Raises InvalidPartialRow if none has."""
    keys = set[int]().union(*having[key].values())
    for name, text in used.items():
        own = having[name].get(text, set()) | having[name].get(None, set())
        if not own and name != key:
            texts = sorted(each for each in having[name] if each is not None)
            similar = similar_texts(texts, values[name].type, [text])
            raise InvalidPartialRow(row, name, NO_SUCH_VALUE + similar)
        keys = keys & own
    if not keys and len(used) > 1:
        raise _contradiction(row, list(used))
    return keys


def _give(
    values: dict[str, pa.Array],
    given: dict[str, NDArray[np.bool_]],
    name: str,
    arrow: pa.DataType,
    texts: Mapping[int, str | None],
) -> None:
    """Add values of a column to the rows in `texts`."""
    count = len(next(iter(values.values())))
    plain = arrow.value_type if pa.types.is_dictionary(arrow) else arrow
    new = from_text(pa.array([texts.get(row) for row in range(count)], pa.string()), plain)
    mask = np.zeros(count, bool)
    mask[list(texts)] = True
    values[name] = pa.compute.if_else(pa.array(mask), new, values.get(name, pa.nulls(count, plain)))
    given[name] = given.get(name, np.zeros(count, bool)) | mask


def _index(key: CategoricalColumn) -> dict[str | None, int]:
    """Return a number for each value of a key; the last one may be that of a missing value."""
    missing = [None] if key.layout.missing else []
    return {text: i for i, text in enumerate([*key.categories.to_pylist(), *missing])}


def _keys_of_values(
    tokenizer: Tokenizer, key: str, relation: Relation, index: Mapping[str | None, int]
) -> dict[str | None, set[int]]:
    """Return the keys that have each value; under None, those with a missing or unknown one."""
    pairs = set(zip(relation.keys, relation.values, strict=True))
    exceptions = exceptions_of(tokenizer, key, relation.last)
    if exceptions is not None:
        pairs |= set(zip(*exceptions.to_pydict().values(), strict=True))
    keys_of: dict[str | None, set[int]] = {None: set()}
    for text, value in pairs:
        if text in index:
            keys_of.setdefault(None if value is None else str(value), set()).add(index[text])
    keys_of[None] |= set(index.values()).difference(*keys_of.values())
    return keys_of


def check_combinations(
    tokenizer: Tokenizer, given: Mapping[str, NDArray[np.bool_]], tokens: Tokens
) -> None:
    """Raise InvalidPartialRow if no key has the given values of the columns that it determines.

    No two values of these columns have the same tokens (see `learn_lookups`).
    """
    lookups = {each.steps: each.combinations for each in tokenizer.exclusions.exact_lookups}
    for names in tokenizer.columns_of_keys:
        steps = tuple(tokenizer.steps_of(names))
        if steps not in lookups:
            continue
        distinct, first_rows = np.unique(tokens[list(steps)].T, axis=0, return_index=True)
        impossible = [
            row_index
            for row, row_index in zip(distinct, first_rows.tolist(), strict=True)
            if not (lookups[steps] == row)[:, row != UNKNOWN_TOKEN].all(1).any()
        ]
        if impossible:
            row_index = min(impossible)
            used = [name for name in names if name in given and given[name][row_index]]
            raise _contradiction(row_index, used)


def _contradiction(row: int, names: list[str]) -> InvalidPartialRow:
    *others, last = names
    listed = " and ".join(f"`{name}`" for name in others)
    message = f"contradicts {listed}: no training row has these values together"
    return InvalidPartialRow(row, last, message)
