"""Tokens from which given values follow.

A given total of a partial row follows from a quantity and a price that are sampled. At the last of
these columns, a token is as probable as the total is among the values that it gives: so the price
agrees with the total, and quantities for which it is a likely one are sampled more often. If the
price is sampled first, its bin is kept, and the price becomes the one that gives the total.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.placement import upload
from models.tabular.autoregressive.sampler import TokenWeights
from models.tabular.categorical_columns import (
    CategoricalColumn,
    Column,
    Floats,
    Tokens,
    have_same_text,
)
from models.tabular.completion.key_values import exceptions_of, follows_from_key
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.numbers.columns import NumericColumn
from models.tabular.numbers.grid import is_numeric
from models.tabular.relations.coded_columns import CodedColumn, DerivedColumn
from models.tabular.relations.dates.columns import PartColumn
from models.tabular.relations.marked_columns import MarkedColumn
from models.tabular.relations.rows import as_floats
from models.tabular.tokenizer import Tokenizer

POSITIONS = (0.0, 0.25, 0.5, 0.75, 1.0)  # within a bin, at which the given column is computed
EXCEPTION_WEIGHT = 1e-3  # of tokens from which a given value does not follow, but which may differ
MAX_MISS = 0.75  # units between a given number and the nearest one that values give, by rounding
MISSED_WEIGHT = 1e-3  # of other numbers, because those between the POSITIONS are not on a line
TOLERANCE = 1e-9  # relative, of computed numbers


@dataclass(frozen=True)
class _Chain:
    """The columns from which a given column follows.

    `coded` are in decoding order, and `learned` in sampling order. `exceptions` are those of
    the lookup that gives the column, if it has any (see `exceptions_of`).
    """

    given: DerivedColumn | PartColumn | MarkedColumn
    coded: tuple[CodedColumn, ...]
    learned: tuple[int, ...]  # indices of the tokenizer's columns
    exceptions: pa.Table | None


def consistent_tokens(
    tokenizer: Tokenizer,
    partial_rows: PartialRows,
    decode_u: Floats,
    order: Sequence[int] | None = None,
) -> TokenWeights:
    """Return, by step, functions from (S, B) sampled tokens to the weights (B, K) of its tokens.

    A weight is the share of the token's values from which the given ones follow; before the last
    step of a column it is 1 if there are any. The B rows repeat the N partial rows. `decode_u` are
    the uniforms of `Tokenizer.decode_columns`, and `order` lists all steps in sampling order.
    """
    starts = [steps.start for steps in tokenizer.column_slices]
    sampled_order = {step: i for i, step in enumerate(order or range(len(tokenizer.step_sizes)))}
    by_column: dict[int, list[_Chain]] = {}
    for column, learned, coded in _given_sources(tokenizer, partial_rows):
        indices = sorted(learned, key=lambda i: sampled_order[starts[i]])
        exceptions = exceptions_of(tokenizer, column.sources[0], column.name)
        chain = _Chain(column, tuple(coded), tuple(indices), exceptions)
        by_column.setdefault(indices[-1], []).append(chain)
    return {
        step: partial(_weights, tokenizer, partial_rows, decode_u, step, index, chains)
        for index, chains in by_column.items()
        for step in weighted_steps(tokenizer, index)
    }


def weighted_steps(tokenizer: Tokenizer, index: int) -> range:
    """Return the steps of a column at which a few values of a token stand for all of them.

    Those between two numbers are between theirs, but those of a bin of categories are any others.
    """
    steps = tokenizer.column_slices[index]
    is_text = isinstance(tokenizer.columns[index], CategoricalColumn)
    return range(steps.stop - 1 if is_text else steps.start, steps.stop)


def follow_from_others(tokenizer: Tokenizer, partial_rows: PartialRows) -> NDArray[np.bool_]:
    """Return the (N,) mask of rows with a given value that follows from learned columns."""
    mask = np.zeros(partial_rows.tokens.shape[1], bool)
    for column, *_ in _given_sources(tokenizer, partial_rows):
        mask |= partial_rows.given[column.name]
    return mask


def _given_sources(
    tokenizer: Tokenizer, partial_rows: PartialRows
) -> Iterator[tuple[DerivedColumn | PartColumn | MarkedColumn, set[int], list[CodedColumn]]]:
    """Yield the given columns that follow from learned ones, and their `sources_of`."""
    for column in tokenizer.coding.columns:
        if (
            isinstance(column, DerivedColumn | PartColumn | MarkedColumn)
            and column.name not in tokenizer.coding.keys
            and column.name in partial_rows.values
        ):
            learned, coded = sources_of(tokenizer, column.name)
            if learned:
                yield column, learned, coded


def sources_of(tokenizer: Tokenizer, name: str) -> tuple[set[int], list[CodedColumn]]:
    """Return the learned columns from which a coded column follows, and those coded on the way."""
    coding = tokenizer.coding
    needed = {name}
    for column in reversed(coding.columns):
        if column.name in needed:
            needed |= set(column.sources)
    coded = [column for column in coding.columns if column.name in needed - {name}]
    needed |= {ratio for ratio, close in coding.close.items() if close.name in needed}
    needed |= {part for part, date in coding.parts.items() if date.name in needed}
    learned = {i for i, column in enumerate(tokenizer.columns) if column.name in needed - {name}}
    return learned, coded


def _weights(
    tokenizer: Tokenizer,
    partial_rows: PartialRows,
    decode_u: Floats,
    step: int,
    index: int,
    chains: Sequence[_Chain],
    tokens: Tensor,
) -> Tensor:
    """Return the weights (B, K) of the tokens of a step of the column `index`."""
    steps, size = tokenizer.column_slices[index], tokenizer.step_sizes[step]
    sampled = tokens.cpu().numpy()
    column, num_rows = tokenizer.columns[index], sampled.shape[1]
    # Few tokens before this step are distinct, and values are the same for all rows with them.
    before, kind = np.unique(sampled[steps.start : step], axis=1, return_inverse=True)
    cells = np.arange(len(POSITIONS) * before.shape[1] * size).reshape(len(POSITIONS), -1, size)
    values = column.decode(*at_positions(column, before, size))
    arrays = {column.name: values.take(pa.array(cells[:, kind.reshape(-1)].ravel()))}
    num_values = _num_values(column, arrays[column.name])
    rows = np.tile(np.repeat(np.arange(num_rows), size), len(POSITIONS))
    position = np.repeat(np.arange(len(POSITIONS)), num_rows * size)
    others = {i for chain in chains for i in chain.learned} - {index}
    free = None if column.needs_uniform else _finest(tokenizer, others)
    for other in others:
        values = decode_learned(tokenizer, other, sampled, decode_u, is_free=other == free)
        source_rows = rows + position * num_rows if other == free else rows
        values = values.take(pa.array(source_rows))
        arrays[tokenizer.columns[other].name] = values
        if other == free:
            num_values = _num_values(tokenizer.columns[other], values)
    coded = {column.name for chain in chains for column in (*chain.coded, chain.given)}
    given = partial_rows.select(coded | set(arrays))
    given = given.take(rows % decode_u.shape[1])
    weights = np.ones(num_rows * size)
    for chain in chains:
        share = np.max(
            [
                _matching_share(
                    _compute(tokenizer, chain, follows, arrays, given),
                    given.values[chain.given.name],
                    10.0 ** max(follows.decimals, 0) if isinstance(follows, DerivedColumn) else 1.0,
                    num_values,
                )
                for follows in _without_exceptions(chain.given)
            ],
            axis=0,
        )
        if isinstance(chain.given, MarkedColumn):
            share = np.maximum(share, EXCEPTION_WEIGHT)
        is_given = given.given[chain.given.name][: len(share)]
        weights = np.where(is_given, np.minimum(weights, share), weights)
    weights = weights if step == steps.stop - 1 else np.sign(weights)
    shaped = weights.reshape(num_rows, size).astype(np.float32)
    return upload(torch.from_numpy(shaped), tokens.device)


def at_positions(column: Column, before: Tokens, size: int) -> tuple[Tokens, Floats]:
    """Return the column's tokens (steps, P * B * K) and positions within its bins.

    The K tokens of a step follow the (k, B) tokens of the steps before it.
    """
    num_rows = before.shape[1]
    own = np.tile(np.arange(size), num_rows)
    blocks, u = [], []
    for position in POSITIONS:
        later = [
            np.full(len(own), 1 + round(position * (count - 1)))
            for count in column.layout.sub_bins[len(before) :]
        ]
        blocks.append(np.stack([*np.repeat(before, size, axis=1), own, *later]))
        u.append(np.full(len(own), position))
    return np.concatenate(blocks, axis=1), np.concatenate(u)


def _finest(tokenizer: Tokenizer, indices: Collection[int]) -> int | None:
    """Return the column of the most bins, whose value may be any one of its bin.

    If the last column has few values, such as a quantity, a price in cents hardly fits any of them.
    """
    bins = {i: prod(tokenizer.columns[i].layout.step_sizes[1:]) for i in indices}
    binned = [i for i in sorted(indices) if tokenizer.columns[i].needs_uniform]
    return max(binned, key=lambda i: tokenizer.columns[i].layout.bins * bins[i], default=None)


def decode_learned(
    tokenizer: Tokenizer, index: int, tokens: Tokens, decode_u: Floats, *, is_free: bool = False
) -> pa.Array:
    """Return the (B,) values of a learned column in coded form, or (P * B,) at all POSITIONS."""
    column, own = tokenizer.columns[index], tokens[tokenizer.column_slices[index]]
    if is_free:
        u = np.repeat(POSITIONS, own.shape[1])
        return column.decode(np.tile(own, len(POSITIONS)), u)
    u = np.empty(own.shape[1])
    if column.needs_uniform:
        u = decode_u[sum(c.needs_uniform for c in tokenizer.columns[:index])]
        u = np.tile(u, own.shape[1] // len(u))
    return column.decode(own, u)


def _without_exceptions(
    column: DerivedColumn | PartColumn | MarkedColumn,
) -> Sequence[DerivedColumn | PartColumn]:
    """Return the column, or one for each rank of the numbers that its keys may have."""
    if not isinstance(column, MarkedColumn):
        return [column]
    relation, ranks = column.relation, column.relation.num_ranks
    relations = [relation.with_rank(i) for i in range(ranks)] if ranks > 1 else [relation]
    return [DerivedColumn(column.name, each, column.decimals, omitted=True) for each in relations]


def _compute(
    tokenizer: Tokenizer,
    chain: _Chain,
    follows: DerivedColumn | PartColumn,
    arrays: Mapping[str, pa.Array],
    given: PartialRows,
) -> pa.Array:
    """Return the (M,) values of the given column that follow from learned ones."""
    arrow = tokenizer.coding.with_dates(tokenizer.arrow)
    coded_names = {column.name for column in tokenizer.coding.columns}
    # Where it does not follow from other columns, it is as it is given.
    arrays = {**arrays, chain.given.name: given.values[chain.given.name]}
    for name in set(arrays) - coded_names:
        arrays[name] = given.overwrite(name, arrays[name])
    for column in chain.coded:
        values = column.decode(pa.RecordBatch.from_pydict(arrays), arrow.field(column.name).type)
        arrays[column.name] = given.overwrite(column.name, values)
    rows = pa.RecordBatch.from_pydict(arrays)
    computed = follows.decode(rows, arrow.field(chain.given.name).type)
    if chain.exceptions is None or not isinstance(chain.given, DerivedColumn):
        return computed
    rows = pa.RecordBatch.from_pydict({**arrays, chain.given.name: computed})
    is_pair = follows_from_key(chain.given.relation, chain.exceptions, rows)
    return pa.compute.if_else(pa.array(is_pair), computed, None)


def _num_values(column: Column, values: pa.Array) -> Floats:
    """Return how many values of a column are in each of M bins, infinite for floats.

    `values` (P * M,) are at the P POSITIONS within the bins.
    """
    scale = column.scale if isinstance(column, NumericColumn) else None
    if scale is None or not scale.unit or scale.months:
        return np.full(len(values) // len(POSITIONS), np.inf)
    numbers = as_floats(values).reshape(len(POSITIONS), -1)
    step = scale.unit / 10.0 ** max(scale.decimals, 0)
    return np.nan_to_num(1 + np.ptp(numbers, axis=0) / step, nan=np.inf)


def _matching_share(
    computed: pa.Array, given: pa.Array, units: float, num_values: Floats
) -> Floats:
    """Return the (M,) shares of the values of a token for which the computed one is as given.

    Both are (P * M,), computed at the P POSITIONS. A number between them is taken to be that of one
    of `num_values` (M,) values, or if these are more, one of all multiples of 1 / `units` between
    them.
    """
    shape = len(POSITIONS), -1
    if not is_numeric(computed.type):
        return np.asarray(have_same_text(computed, given).reshape(shape).mean(0))
    numbers, (wanted, *_) = (as_floats(values).reshape(shape) for values in (computed, given))
    is_missing = np.isnan(numbers)
    low = np.where(is_missing, np.inf, numbers).min(0)
    high = np.where(is_missing, -np.inf, numbers).max(0)
    margin = TOLERANCE * np.abs(wanted)
    is_between = (low - margin <= wanted) & (wanted <= high + margin)
    spread, position = (np.where(is_between, x - low, 0.0) for x in (high, wanted))
    share = is_between / np.minimum(1 + spread * units, num_values)
    # Where there are fewer values, such as prices in euros, most numbers between are those of none.
    step = spread / np.maximum(num_values - 1, 1)
    index = position / np.where(step > 0, step, np.inf)
    is_missed = np.abs(index - np.rint(index)) * step * units > MAX_MISS
    share = np.where(is_missed, share * MISSED_WEIGHT, share)
    return np.where(np.isnan(wanted), is_missing.mean(0), share)
