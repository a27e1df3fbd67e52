"""Which values the columns have that a key determines, such as the products and their names.

The lookup of a key leaves out the keys that have several values. These are learned, and the
training rows' pairs of such a key and its values are the exceptions of the lookup.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from models.tabular.autoregressive.sampler import UNKNOWN_TOKEN
from models.tabular.categorical_columns import (
    CategoricalColumn,
    Tokens,
    as_text,
    similar_texts,
)
from models.tabular.conditions import InvalidPartialRow
from models.tabular.relations.coded_columns import DerivedColumn
from models.tabular.relations.relation import Relation
from models.tabular.tokenizer import Tokenizer


def exceptions_of(tokenizer: Tokenizer, key: str, name: str) -> tuple[pa.Array, pa.Array] | None:
    """Return the (P,) keys that have several values of column `name`, and these values.

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
    return decoded[0], decoded[1]


def check_values_of_keys(
    tokenizer: Tokenizer,
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
) -> None:
    """Raise InvalidPartialRow if no key has the given values of the columns that it determines."""
    lookups: dict[str, list[Relation]] = {}
    for coded in tokenizer.coding.columns:
        if not isinstance(coded, DerivedColumn) or coded.name not in values:
            continue
        relation = coded.relation
        if relation.kind == "lookup" and not relation.part and len(coded.sources) == 1:
            lookups.setdefault(coded.sources[0], []).append(relation)
    for column in tokenizer.columns:
        if isinstance(column, CategoricalColumn) and column.name in lookups:
            _check_values(tokenizer, column, lookups[column.name], values, given)


def _check_values(
    tokenizer: Tokenizer,
    key: CategoricalColumn,
    lookups: list[Relation],
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
) -> None:
    """Raise InvalidPartialRow if `key` has no value with the given ones."""
    index = _index(key)
    tables = {key.name: {text: {i} for text, i in index.items()}} if key.name in values else {}
    tables |= {each.last: _keys_of_values(tokenizer, key.name, each, index) for each in lookups}
    texts = {name: as_text(values[name]).to_pylist() for name in tables}
    checked = set()
    for row in range(len(values[lookups[0].last])):
        row_texts = {name: own[row] for name, own in texts.items() if given[name][row]}
        used = {name: text for name, text in row_texts.items() if text is not None}
        if (pattern := tuple(used.items())) in checked:
            continue
        checked.add(pattern)
        keys = set(index.values())
        for name, text in used.items():
            having = tables[name].get(text, set()) | tables[name].get(None, set())
            if not having and name != key.name:
                known = sorted(each for each in tables[name] if each is not None)
                similar = similar_texts(known, values[name].type, [text])
                message = "has no such value in the training data" + similar
                raise InvalidPartialRow(row, name, message)
            keys = keys & having
        if not keys and len(used) > 1:
            raise _contradiction(row, list(used))


def _index(key: CategoricalColumn) -> dict[str | None, int]:
    """Return the numbers of a key's values, the last of which may be a missing one."""
    missing = [None] if key.layout.missing else []
    return {text: i for i, text in enumerate([*key.categories.to_pylist(), *missing])}


def _keys_of_values(
    tokenizer: Tokenizer, key: str, relation: Relation, index: Mapping[str | None, int]
) -> dict[str | None, set[int]]:
    """Return the keys that have each value; under None, those with a missing or unknown one."""
    pairs = set(zip(relation.keys, relation.values, strict=True))
    exceptions = exceptions_of(tokenizer, key, relation.last)
    if exceptions is not None:
        pairs |= set(zip(*(each.to_pylist() for each in exceptions), strict=True))
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
