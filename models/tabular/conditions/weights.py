"""Weights of the tokens that rows of a condition may have: 1, or 0 if none of their rows meets it.

Earlier columns get only values that some row of the condition has (`PossibleRows`), and the last
of the columns from which a conditioned one follows only tokens with which it may meet the
condition. So a particle filter finds rows of rare conditions, such as the largest amounts. What is
in a bin, but not in the range of the condition, is rejected, so that the other columns have their
distribution.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.placement import upload
from models.tabular.autoregressive.exact_lookups import CombinationPenalties, ExactLookup
from models.tabular.autoregressive.sampler import TokenWeights
from models.tabular.categorical_columns import Floats
from models.tabular.completion.consistent_tokens import (
    POSITIONS,
    at_positions,
    decode_learned,
    sources_of,
    weighted_steps,
)
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.conditions.condition import Condition
from models.tabular.conditions.possible_rows import PossibleRows
from models.tabular.conditions.possible_tokens import key_combinations
from models.tabular.numbers.grid import is_numeric
from models.tabular.relations.coded_columns import CodedColumn
from models.tabular.relations.rows import as_floats
from models.tabular.tokenizer import Tokenizer


@dataclass(frozen=True)
class ConditionedRows:
    """Conditions that all rows to complete meet, and what these leave of all rows."""

    conditions: Sequence[Condition]
    possible: PossibleRows


def condition_weights(
    tokenizer: Tokenizer,
    conditioned: ConditionedRows,
    partial_rows: PartialRows,
    decode_u: Floats,
    order: Sequence[int] | None,
    device: torch.device,
) -> TokenWeights:
    """Return, by step, functions from (S, B) sampled tokens to the weights (B, K) of its tokens.

    The B rows repeat the N partial rows. `decode_u` are the uniforms of `Tokenizer.decode_columns`,
    and `order` lists all steps in sampling order.
    """
    functions: dict[int, list[Callable[[Tensor], Tensor]]] = {}
    masks = conditioned.possible.tokens
    for step, mask in masks.items():
        if not mask.all():
            weights = upload(torch.from_numpy(mask.astype(np.float32)), device)
            functions.setdefault(step, []).append(partial(_repeated, weights))
    sizes = tokenizer.step_sizes
    for steps, combinations in key_combinations(tokenizer, masks).items():
        if len(combinations):
            lookup = CombinationPenalties([ExactLookup(steps, combinations)], sizes, device)
            for step in steps:
                functions.setdefault(step, []).append(partial(_within, lookup, step, sizes[step]))
    rank = {step: i for i, step in enumerate(order or range(len(sizes)))}
    for condition in conditioned.conditions:
        chain = _chain(tokenizer, condition, rank)
        for step in weighted_steps(tokenizer, chain.last):
            may_meet = partial(_may_meet, tokenizer, partial_rows, decode_u, step, chain)
            functions.setdefault(step, []).append(may_meet)
    return {step: partial(_product, each) for step, each in functions.items()}


@dataclass(frozen=True)
class _Chain:
    """The columns from which the column of a condition follows, and itself.

    `coded` are in decoding order, and `learned` are indices of the tokenizer's columns, of which
    `last` is the one that is sampled last.
    """

    condition: Condition
    coded: tuple[CodedColumn, ...]
    learned: frozenset[int]
    last: int


def _chain(tokenizer: Tokenizer, condition: Condition, rank: Mapping[int, int]) -> _Chain:
    learned, coded = sources_of(tokenizer, condition.column)
    names = [column.name for column in tokenizer.columns]
    if condition.column in names:
        learned.add(names.index(condition.column))
    coded += [column for column in tokenizer.coding.columns if column.name == condition.column]
    starts = [steps.start for steps in tokenizer.column_slices]
    last = max(learned, key=lambda i: rank[starts[i]])
    return _Chain(condition, tuple(coded), frozenset(learned), last)


def _may_meet(
    tokenizer: Tokenizer,
    partial_rows: PartialRows,
    decode_u: Floats,
    step: int,
    chain: _Chain,
    tokens: Tensor,
) -> Tensor:
    """Return (B, K): 1 for the tokens of a step of the last column that may meet the condition."""
    column, steps = tokenizer.columns[chain.last], tokenizer.column_slices[chain.last]
    sampled, size = tokens.cpu().numpy(), tokenizer.step_sizes[step]
    # Few tokens before this step are distinct, and values are the same for all rows with them.
    before, kind = np.unique(sampled[steps.start : step], axis=1, return_inverse=True)
    values = column.decode(*at_positions(column, before, size))
    is_alone = not chain.coded and len(chain.learned) == 1
    num_rows = before.shape[1] if is_alone else sampled.shape[1]
    arrays = {column.name: values}
    if not is_alone:
        cells = np.arange(len(values)).reshape(len(POSITIONS), -1, size)[:, kind.reshape(-1)]
        arrays[column.name] = values.take(pa.array(cells.ravel()))
        rows = np.tile(np.repeat(np.arange(num_rows), size), len(POSITIONS))
        for other in chain.learned - {chain.last}:
            values = decode_learned(tokenizer, other, sampled, decode_u)
            arrays[tokenizer.columns[other].name] = values.take(pa.array(rows))
        arrow = tokenizer.coding.with_dates(tokenizer.arrow)
        given = partial_rows.select({*arrays, *(each.name for each in chain.coded)})
        given = given.take(rows % decode_u.shape[1])
        for each in chain.coded:
            batch = pa.RecordBatch.from_pydict(arrays)
            own = each.decode(batch, arrow.field(each.name).type)
            arrays[each.name] = given.overwrite(each.name, own)
    met = _can_match(chain.condition, arrays[chain.condition.column]).reshape(num_rows, size)
    met = met[kind.reshape(-1)] if is_alone else met
    return upload(torch.from_numpy(met.astype(np.float32)), tokens.device)


def _can_match(condition: Condition, values: pa.Array) -> NDArray[np.bool_]:
    """Return the (M,) mask of tokens with a value that meets a condition, of (P * M,) values."""
    matches = condition.matches(values).reshape(len(POSITIONS), -1).any(0)
    if not is_numeric(values.type):
        return np.asarray(matches)
    numbers = as_floats(values).reshape(len(POSITIONS), -1)
    has_value = ~np.isnan(numbers).any(0)
    places = np.arange(numbers.size).reshape(numbers.shape)
    columns = np.arange(numbers.shape[1])
    low, high = (
        values.take(pa.array(places[pick(np.nan_to_num(numbers), axis=0), columns]))
        for pick in (np.argmin, np.argmax)
    )
    between = np.array(has_value)
    if has_value.any():
        own = pa.array(np.flatnonzero(has_value))
        between[has_value] = condition.can_match(low.take(own), high.take(own))
    return np.asarray(matches | between)


def product_of(first: TokenWeights, second: TokenWeights) -> TokenWeights:
    """Return the products of the weights of both."""
    steps = first.keys() | second.keys()
    functions = {
        step: [each[step] for each in (first, second) if step in each] for step in sorted(steps)
    }
    return {step: partial(_product, each) for step, each in functions.items()}


def _repeated(weights: Tensor, tokens: Tensor) -> Tensor:
    return weights.expand(tokens.shape[1], -1)


def _within(lookup: CombinationPenalties, step: int, size: int, tokens: Tensor) -> Tensor:
    """Return (B, K): 1 for the tokens of a step that a combination of a lookup has."""
    penalties = lookup.of(step, tokens)
    if penalties is None:
        return torch.ones(tokens.shape[1], size, device=tokens.device)
    return (penalties == 0).float()


def _product(functions: Sequence[Callable[[Tensor], Tensor]], tokens: Tensor) -> Tensor:
    result = functions[0](tokens)
    for function in functions[1:]:
        result = result * function(tokens)
    return result
