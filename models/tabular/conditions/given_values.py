"""Given values of partial rows that no row has together, refused before any row is sampled.

Relations and exclusions narrow what the given values leave, in turns: an employee without a last
day still works, so the reason for leaving is the one that says so, and with it the other columns
that follow from the reason.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.categorical_columns import CategoricalColumn, Tokens, from_text
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.conditions.explanation import explain
from models.tabular.conditions.possible_rows import (
    MAX_ROUNDS,
    PossibleRows,
    all_relations,
    any_values,
    with_present_sources,
)
from models.tabular.conditions.possible_tokens import without_exclusions
from models.tabular.relations.possible_values.exceptions import InexactRelation
from models.tabular.relations.possible_values.propagation import narrow
from models.tabular.relations.possible_values.values import Mask, PossibleValues
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import as_floats
from models.tabular.sampled_values import UNKNOWN_TOKEN
from models.tabular.tokenizer import Tokenizer

CHUNK = 256  # rows that are checked at once


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
    # Dates over columns have no possible values, unlike their parts.
    given = {name: mask for name, mask in given.items() if name in tokenizer.arrow.names}
    count = len(next(iter(given.values()))) if given else 0
    for start in range(0, count, CHUNK):
        rows = slice(start, min(start + CHUNK, count))
        own = {name: mask[rows] for name, mask in given.items()}
        own_values = {name: values[name][rows] for name in given}
        own_tokens = tokens[:, rows] if tokens is not None else None
        possible, masks, _ = _propagate(tokenizer, own_values, own, own_tokens)
        is_bad = possible.is_empty
        for mask in masks.values():
            is_bad = is_bad | ~mask.any(1)
        if is_bad.any():
            index = int(is_bad.argmax())
            names = [name for name in own if own[name][index]]
            own_values = {name: own_values[name].slice(index, 1) for name in names}
            row_tokens = own_tokens[:, [index]] if own_tokens is not None else None
            _refuse(tokenizer, start + index, own_values, row_tokens)


def _propagate(
    tokenizer: Tokenizer,
    values: Mapping[str, pa.Array],
    given: Mapping[str, NDArray[np.bool_]],
    tokens: Tokens | None,
    ignored: Collection[str] = (),
) -> tuple[PossibleValues, dict[int, Mask], list[Relation | InexactRelation]]:
    """Return the values and (N, K) tokens, by step, that given values leave, and the relations.

    The relations whose names are `ignored` are left out, and exclusions without `tokens`. Tokens of
    numbers do not narrow these: numbers that are not given are changed to agree with given ones.
    """
    relations = [each for each in all_relations(tokenizer) if each.name not in ignored]
    may_be_new = _steps_of_pairs(tokenizer)
    possible = _given_values(tokenizer, values, given)
    masks: dict[int, Mask] = {}
    if tokens is not None:
        for step, size in enumerate(tokenizer.step_sizes):
            is_given = tokens[step] != UNKNOWN_TOKEN
            if is_given.any():
                masks[step] = ~is_given[:, None] | (tokens[step][:, None] == np.arange(size))
    changed, used = set(given), dict[str, Relation | InexactRelation]()
    for _ in range(MAX_ROUNDS):
        possible, narrowing = narrow(possible, relations, changed, pairs_may_be_new=True)
        used |= {relation.name: relation for relation in narrowing}
        if tokens is None:
            break
        changed |= {name for relation in narrowing for name in relation.columns}
        masks = _with_possible(tokenizer, masks, possible, changed)
        masks = without_exclusions(tokenizer, masks, may_be_new)
        possible, changed = _with_tokens(tokenizer, possible, masks)
        if not changed:
            break
        possible = with_present_sources(tokenizer.coding, possible)
    return possible, masks, list(used.values())


def _with_possible(
    tokenizer: Tokenizer,
    masks: Mapping[int, Mask],
    possible: PossibleValues,
    changed: Collection[str],
) -> dict[int, Mask]:
    """Return the masks without the tokens of missing values and texts that are not possible."""
    masks = dict(masks)
    partly_coded = tokenizer.coding.names - tokenizer.coding.learned
    for column, steps in zip(tokenizer.columns, tokenizer.column_slices, strict=True):
        step, layout = steps.start, column.layout
        present = possible.present.get(column.name)
        if present is None:
            continue
        mask = np.ones((len(present), layout.step_sizes[0]), bool)
        # Where a value is missing, the coded one is, too, whatever the others are.
        if layout.missing:
            mask[present, layout.missing_token] = False
        is_changed = column.name in changed and column.name not in partly_coded
        is_text = is_changed and column.name in possible.texts
        if is_text and isinstance(column, CategoricalColumn):
            texts, allowed = possible.texts[column.name]
            own = np.zeros_like(mask)
            rows, indices = np.nonzero(allowed)
            own[rows, column.encode(from_text(texts, column.arrow), None)[0][indices]] = True
            own[:, layout.missing_token :] = True
            mask &= own
        if not mask.all():
            masks[step] = masks[step] & mask if step in masks else mask
    return masks


def _with_tokens(
    tokenizer: Tokenizer, possible: PossibleValues, masks: Mapping[int, Mask]
) -> tuple[PossibleValues, set[str]]:
    """Return the values without missing ones and texts of no token, and the narrowed columns."""
    changed = set()
    partly_coded = tokenizer.coding.names - tokenizer.coding.learned
    for column, steps in zip(tokenizer.columns, tokenizer.column_slices, strict=True):
        mask, before = masks.get(steps.start), possible
        if mask is None or column.name not in possible.present:
            continue
        if column.layout.missing:
            present = possible.present[column.name] | ~mask[:, column.layout.missing_token]
            if (present != possible.present[column.name]).any():
                possible = replace(possible, present={**possible.present, column.name: present})
        is_text = column.name in possible.texts and column.name not in partly_coded
        if is_text and isinstance(column, CategoricalColumn):
            texts, _ = possible.texts[column.name]
            tokens = column.encode(from_text(texts, column.arrow), None)[0]
            possible = possible.with_mask(column.name, mask[:, tokens])
        if possible is not before:
            changed.add(column.name)
    return possible, changed


def _given_values(
    tokenizer: Tokenizer, values: Mapping[str, pa.Array], given: Mapping[str, NDArray[np.bool_]]
) -> PossibleValues:
    """Return the possible values of rows with given ones, without any relation.

    What follows from given values may exceed the range of the training rows by half of it, or, if a
    given number is beyond this range itself, be any number (see `RelationCoding.is_plausible`).
    """
    count = len(next(iter(given.values()), np.ones(1)))
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


def _steps_of_pairs(tokenizer: Tokenizer) -> list[set[int]]:
    """Return the first steps of pairs of columns and of those they determine: these may be new."""
    pairs = zip(tokenizer.columns, tokenizer.column_slices, strict=True)
    starts = {column.name: steps.start for column, steps in pairs}
    return [
        {starts[name] for name in (*pair, *names) if name in starts}
        for pair, names in tokenizer.coding.columns_of_pairs.items()
    ]


def _refuse(
    tokenizer: Tokenizer, row: int, values: Mapping[str, pa.Array], tokens: Tokens | None
) -> None:
    """Raise InvalidPartialRow for a row whose given (1,) values contradict each other."""

    def leave(names: Sequence[str], ignored: Collection[str], by_tokens: bool) -> PossibleRows:
        own_tokens = None
        if by_tokens and tokens is not None:
            own_tokens = np.full_like(tokens, UNKNOWN_TOKEN)
            steps = tokenizer.steps_of(names)
            own_tokens[steps] = tokens[steps]
        own = {name: values[name] for name in names}
        given = {name: np.ones(1, bool) for name in names}
        possible, masks, used = _propagate(tokenizer, own, given, own_tokens, ignored)
        return PossibleRows(possible, {step: mask[0] for step, mask in masks.items()}, tuple(used))

    contradiction = explain(tokenizer, list(values), leave)
    raise InvalidPartialRow(
        row, contradiction.column, contradiction.reason, contradiction.alternatives
    )
