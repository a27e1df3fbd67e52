"""Requested values that no row has together, refused before any row is sampled.

The message names the values that contradict each other, the relations that say so, and what the
last of these columns may be instead.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import Tokens
from models.tabular.completion.given_columns import NEVER_MISSING
from models.tabular.conditions.condition import (
    NO_MATCH,
    Condition,
    InvalidCondition,
    InvalidPartialRow,
    NoMatchingValue,
)
from models.tabular.conditions.explanation import alternatives_of, explain
from models.tabular.conditions.possible_rows import (
    PossibleRows,
    all_relations,
    any_values,
    possible_rows,
    with_present_sources,
)
from models.tabular.conditions.possible_tokens import without_exclusions
from models.tabular.relations.possible_values.propagation import narrow
from models.tabular.relations.possible_values.values import PossibleValues
from models.tabular.relations.rows import as_floats
from models.tabular.sampled_values import UNKNOWN_TOKEN
from models.tabular.tokenizer import Tokenizer

CHUNK = 256  # rows that are checked at once


def check_conditions(tokenizer: Tokenizer, conditions: Sequence[Condition]) -> PossibleRows:
    """Return what conditions leave of all rows. Raises InvalidCondition if it is nothing."""
    complete = any_values(tokenizer, 1).present
    for condition in conditions:
        values = condition.values
        if (
            values is not None
            and values.null_count == len(values)
            and complete[condition.column][0]
        ):
            raise InvalidCondition(condition.column, NEVER_MISSING)
    by_name = {condition.column: condition for condition in conditions}

    def leave(names: Sequence[str], ignored: Collection[str], by_tokens: bool) -> PossibleRows:
        own = [by_name[name] for name in names]
        return possible_rows(tokenizer, own, ignored, by_tokens=by_tokens)

    try:
        possible = leave(list(by_name), (), True)
    except NoMatchingValue as error:
        alternatives = alternatives_of(tokenizer, error.column, leave((), (), True))
        if alternatives is None or alternatives.kind != "range":
            raise
        raise NoMatchingValue(error.column, f"{NO_MATCH}; its values are", alternatives) from error
    if not possible.is_empty:
        return possible
    contradiction = explain(tokenizer, list(by_name), leave)
    column, alternatives = contradiction.column, contradiction.alternatives
    if not contradiction.others:
        reason = f"{NO_MATCH}; its values are" if alternatives else NO_MATCH
        raise NoMatchingValue(column, reason, alternatives)
    raise InvalidCondition(column, contradiction.reason, alternatives)


def check_given_values(
    tokenizer: Tokenizer,
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
    tokens: Tokens | None = None,
) -> None:
    """Raise InvalidPartialRow if values that are given contradict each other.

    Single values may be beyond those of the training rows, and so may what follows from them.
    Without the (S, N) tokens of given values, only the relations are checked.
    """
    relations = all_relations(tokenizer)
    # Dates over columns have no possible values of their own, unlike their parts.
    given = {name: mask for name, mask in given.items() if name in tokenizer.arrow.names}
    count = len(next(iter(given.values()))) if given else 0
    for start in range(0, count, CHUNK):
        rows = slice(start, min(start + CHUNK, count))
        own = {name: mask[rows] for name, mask in given.items()}
        own_values = {name: array[rows] for name, array in values.items()}
        possible = _given_values(tokenizer, own_values, own)
        possible, _ = narrow(possible, relations, list(given), pairs_may_be_new=True)
        is_bad = possible.is_empty
        if tokens is not None:
            present = _present_steps(tokenizer, own_values, own, tokens[:, rows])
            is_bad = is_bad | _has_exclusion(tokenizer, tokens[:, rows], present)
        if is_bad.any():
            row = start + int(is_bad.argmax())
            _refuse(tokenizer, row, values, given, None if tokens is None else tokens[:, [row]])


def _given_values(
    tokenizer: Tokenizer, values: Mapping[str, pa.Array], given: Mapping[str, NDArray[np.bool_]]
) -> PossibleValues:
    """Return the possible values of rows with given ones, without any relation.

    What follows from given values may exceed the range of the training rows by half of it, or, if a
    given number is beyond this range itself, be any number (see `RelationCoding.is_plausible`).
    """
    count = len(next(iter(given.values())))
    possible = any_values(tokenizer, count)
    low, high, texts = dict(possible.low), dict(possible.high), dict(possible.texts)
    present, is_beyond = dict(possible.present), np.zeros(count, bool)
    numbers = {name: as_floats(values[name]) for name in given if name in low}
    for name, own in numbers.items():
        is_beyond |= given[name] & ((own < low[name]) | (own > high[name]))
    for name in low:
        slack = (high[name] - low[name]) / 2
        slack = np.where(is_beyond | ~np.isfinite(slack), np.inf, slack)
        low[name], high[name] = low[name] - slack, high[name] + slack
    for name, mask in given.items():
        has_value = values[name].is_valid().to_numpy(zero_copy_only=False)
        if name in numbers:
            has_value = has_value & ~np.isnan(numbers[name])
            low[name] = np.where(mask & has_value, numbers[name], low[name])
            high[name] = np.where(mask & has_value, numbers[name], high[name])
        elif name in texts:
            known, allowed = texts[name]
            own_texts = values[name].cast(pa.string()).to_pylist()
            places = {text: i for i, text in enumerate(known.to_pylist())}
            allowed = allowed.copy()
            for row in np.flatnonzero(mask & has_value):
                if own_texts[row] in places:
                    allowed[row] = False
                    allowed[row, places[own_texts[row]]] = True
            texts[name] = known, allowed
        present[name] = np.where(mask, has_value, present[name])
    possible = replace(possible, low=low, high=high, texts=texts, present=present)
    return with_present_sources(tokenizer.coding, possible)


def _present_steps(
    tokenizer: Tokenizer,
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
    tokens: Tokens,
) -> dict[int, NDArray[np.bool_]]:
    """Return the (N,) masks of rows with a given value whose tokens are not given, by first step.

    The tokens of a coded column depend on others, but not on these whether it is missing.
    """
    present = {}
    for column, steps in zip(tokenizer.columns, tokenizer.column_slices, strict=True):
        if column.layout.missing and column.name in given:
            has_value = ~values[column.name].is_null(nan_is_null=True).to_numpy(
                zero_copy_only=False
            )
            is_unknown = tokens[steps.start] == UNKNOWN_TOKEN
            present[steps.start] = given[column.name] & has_value & is_unknown
    return present


def _has_exclusion(
    tokenizer: Tokenizer, tokens: Tokens, present: Mapping[int, NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows with (S, N) given tokens that samples never have together.

    The tokens of a step in `present` are not given, but not missing where its mask is True.
    """
    mask = np.zeros(tokens.shape[1], bool)
    may_be_new = _steps_of_pairs(tokenizer)
    for (a, b), may_meet in tokenizer.exclusions.zeros.may_meet.items():
        if any({a, b} <= steps for steps in may_be_new):
            continue
        are_given = (tokens[a] != UNKNOWN_TOKEN) & (tokens[b] != UNKNOWN_TOKEN)
        mask |= are_given & ~may_meet[tokens[a], tokens[b]]
        for step, other, allowed in ((b, a, may_meet), (a, b, may_meet.T)):
            if step in present:
                is_known = present[step] & (tokens[other] != UNKNOWN_TOKEN)
                mask |= is_known & ~allowed[tokens[other], :-1].any(1)
    for joint in tokenizer.joint_masks:
        own = tokens[list(joint.steps)]
        for row in np.flatnonzero((own != UNKNOWN_TOKEN).sum(0) > 1):
            index = tuple(slice(None) if token == UNKNOWN_TOKEN else token for token in own[:, row])
            mask[row] |= not joint.may_meet[index].any()
    return mask


def _steps_of_pairs(tokenizer: Tokenizer) -> list[set[int]]:
    """Return the first steps of pairs of columns and of those they determine: these may be new."""
    pairs = zip(tokenizer.columns, tokenizer.column_slices, strict=True)
    starts = {column.name: steps.start for column, steps in pairs}
    return [
        {starts[name] for name in (*pair, *names) if name in starts}
        for pair, names in tokenizer.coding.columns_of_pairs.items()
    ]


def _refuse(
    tokenizer: Tokenizer,
    row: int,
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
    tokens: Tokens | None,
) -> None:
    """Raise InvalidPartialRow for a row whose given values contradict each other."""
    names = [name for name in given if given[name][row]]
    may_be_new = _steps_of_pairs(tokenizer)
    own_values = {name: values[name].slice(row, 1) for name in names}
    own_given = {name: np.ones(1, bool) for name in names}
    masks: dict[int, NDArray[np.bool_]] = {}
    if tokens is not None:
        present = _present_steps(tokenizer, own_values, own_given, tokens)
        for step, size in enumerate(tokenizer.step_sizes):
            if tokens[step, 0] != UNKNOWN_TOKEN:
                masks[step] = np.arange(size) == tokens[step, 0]
            elif step in present and present[step][0]:
                masks[step] = np.arange(size) < size - 1

    def leave(names: Sequence[str], ignored: Collection[str], by_tokens: bool) -> PossibleRows:
        relations = [each for each in all_relations(tokenizer) if each.name not in ignored]
        possible = any_values(tokenizer, 1)
        if names:
            own = {name: own_values[name] for name in names}
            possible = _given_values(tokenizer, own, {name: own_given[name] for name in names})
        possible, used = narrow(possible, relations, names, pairs_may_be_new=True)
        steps = tokenizer.steps_of(names) if by_tokens else ()
        allowed = {step: masks[step] for step in steps if step in masks}
        allowed = without_exclusions(tokenizer, allowed, may_be_new)
        return PossibleRows(possible, allowed, tuple(used))

    if leave(names, (), True).is_empty:
        contradiction = explain(tokenizer, names, leave)
        raise InvalidPartialRow(
            row, contradiction.column, contradiction.reason, contradiction.alternatives
        )
