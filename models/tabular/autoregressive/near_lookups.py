"""Near lookups: columns of many values that determine another column in most rows.

A city nearly determines its state, but some states have cities of the same name, so a lookup would
be wrong. Most cities have too few rows for a generator to learn their states. Sampling avoids the
pairs of values of two such columns that no training row has.

Source: Good 1953, "The population frequencies of species": the share of new pairs is estimated by
that of the pairs that a single row has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.tabular.autoregressive.exact_lookups import ExactLookup
from models.tabular.categorical_columns import CategoricalColumn, Column, Floats, Tokens
from models.tabular.relations.lookups.agreement import MIN_KAPPA, kappa_of_frequent_values

AnyTokens = TypeVar("AnyTokens", Tokens, Tensor)

MAX_NEW_SHARE = 0.15  # of the rows, estimated: a value that others have, with a new partner
MAX_NEW_RATIO = 0.2  # of these rows to those that there were if the columns were independent
MAX_RARE_NEW_RATIO, MAX_RARE_ROWS = 0.3, 4  # the same of rare values, of few rows each
MIN_EXPECTED_NEW = 50.0  # rows with a new partner, if the columns were independent
MIN_EXPECTED_OF_VALUE, MAX_RATIO_OF_VALUE = 20.0, 0.5  # else a value may meet all others
MAX_COLUMNS = 40  # that are compared pairwise
MAX_COMPARED_ROWS = 100_000
MAX_CELLS = 1 << 24  # of all tables of penalties, with 4 bytes each
PENALTY = -50.0  # of a logit: its odds fall to those of rounding errors


@dataclass(frozen=True)
class NearLookup:
    """The (P, 2) pairs of values that two columns have in the same rows.

    `steps` are those of the columns, in order. See `values_of` for the numbers of values.
    """

    steps: tuple[slice, slice]
    pairs: NDArray[np.int32]

    def pack(self) -> list[list[int]]:
        return [[steps.start, steps.stop] for steps in self.steps]

    @classmethod
    def unpack(cls, packed: Sequence[Sequence[int]], pairs: NDArray[Any]) -> "NearLookup":
        first, second = (slice(*steps) for steps in packed)
        return cls((first, second), pairs)


@dataclass(frozen=True)
class _Values:
    """The values of a column in the rows: `numbers` are sorted, `codes` (N,) are indices of them.

    The last `missing` numbers, one or none, are that of a missing value.
    """

    steps: slice
    numbers: NDArray[np.int64]
    codes: NDArray[np.int64]
    missing: int

    @classmethod
    def of(cls, tokens: Tokens, column: Column, steps: slice, sizes: Sequence[int]) -> "_Values":
        numbers, codes = np.unique(values_of(tokens, steps, sizes), return_inverse=True)
        first_missing = column.layout.missing_token * prod(column.layout.sub_bins)
        return cls(steps, numbers, codes, int(numbers[-1] >= first_missing))


def find_near_lookups(
    tokens: Tokens,
    columns: Sequence[Column],
    slices: Sequence[slice],
    sizes: Sequence[int],
    exact: Sequence[ExactLookup] = (),
) -> list[NearLookup]:
    """Return the near lookups in (S, N) tokens, without pairs of columns in the same `exact` one.

    `slices` are the steps of `columns`, and `sizes` are the numbers of tokens of all steps.
    """
    if not tokens.shape[1]:
        return []
    discrete = [
        _Values.of(tokens, column, steps, sizes)
        for column, steps in zip(columns, slices, strict=True)
        if isinstance(column, CategoricalColumn) or not column.layout.bins
    ]
    lookups, cells = [], 0
    for first, second in combinations(discrete[:MAX_COLUMNS], 2):
        if any({first.steps.start, second.steps.start} <= set(each.steps) for each in exact):
            continue
        # The column of fewer values cannot determine the other one.
        source, total = sorted((first, second), key=lambda v: len(v.numbers), reverse=True)
        free = _find_free(source, total)
        if free is None:
            continue
        pairs = _pairs_of(source, total, free)
        added = len(pairs) * sum(sizes[i] for v in (first, second) for i in _range(v.steps))
        if cells + added > MAX_CELLS:
            continue
        cells += added
        pairs = pairs if source is first else np.ascontiguousarray(pairs[:, ::-1])
        lookups.append(NearLookup((first.steps, second.steps), pairs))
    return lookups


def _find_free(source: _Values, total: _Values) -> NDArray[np.int64] | None:
    """Return the codes of the second column that may meet all values of the first one.

    Return None if the first column does not nearly determine the other. A missing value of the
    first column determines none.
    """
    sources, totals = len(source.numbers), len(total.numbers)
    if totals - total.missing < 2:
        return None
    compared = slice(None, None, max(1, len(source.codes) // MAX_COMPARED_ROWS))
    codes = source.codes[compared], total.codes[compared]
    pairs, counts = np.unique(codes[0] * totals + codes[1], return_counts=True)
    is_present = pairs // totals < sources - source.missing
    pairs, counts = pairs[is_present], counts[is_present]
    a, b = pairs // totals, pairs % totals
    rows = np.bincount(a, counts, minlength=sources)
    shares = np.bincount(b, counts, minlength=totals) / max(counts.sum(), 1)
    is_new = counts == 1

    def count_new(is_compared: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Floats]:
        """Return the (K,) rows with a new partner, by this, and how many chance would have."""
        sizes, frequency = np.unique(rows[is_compared], return_counts=True)
        by_chance = shares * (1 - shares) ** (sizes[:, None] - 1)
        new = np.bincount(b[is_new & is_compared[a]], minlength=totals)
        return new, (sizes * frequency) @ by_chance

    new, expected = count_new(rows > 1)
    rare_new, rare_expected = count_new((rows > 1) & (rows <= MAX_RARE_ROWS))
    if (
        min(expected.sum(), rare_expected.sum()) < MIN_EXPECTED_NEW
        or new.sum() > MAX_NEW_SHARE * len(codes[0])
        or new.sum() > MAX_NEW_RATIO * expected.sum()
        or rare_new.sum() > MAX_RARE_NEW_RATIO * rare_expected.sum()
        or kappa_of_frequent_values(a, b, counts) < MIN_KAPPA
    ):
        return None
    is_free = (expected >= MIN_EXPECTED_OF_VALUE) & (new > MAX_RATIO_OF_VALUE * expected)
    return np.flatnonzero(is_free)


def _pairs_of(source: _Values, total: _Values, free: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the (P, 2) pairs of values of the rows, and those with a free or a missing value.

    Other than for a structural zero, a value of few rows counts: the others show that it determines
    the value of the other column.
    """
    sources, totals = len(source.numbers), len(total.numbers)
    present = np.arange(sources - source.missing)
    pairs = np.unique(source.codes * totals + total.codes)
    a, b = pairs // totals, pairs % totals
    is_kept = (a < len(present)) & ~np.isin(b, free)
    a = np.concatenate([a[is_kept], np.repeat(present, len(free))])
    b = np.concatenate([b[is_kept], np.tile(free, len(present))])
    if source.missing:
        a, b = np.append(a, np.full(totals, sources - 1)), np.append(b, np.arange(totals))
    return np.stack([source.numbers[a], total.numbers[b]], 1).astype(np.int32)


def values_of(tokens: AnyTokens, steps: slice, sizes: Sequence[int]) -> AnyTokens:
    """Return the (N,) numbers of the values of a column, given all (S, N) tokens.

    They are negative where the first token is unknown.
    """
    values = tokens[steps.start]
    for step in range(steps.start + 1, steps.stop):
        values = values * (sizes[step] - 1) + (tokens[step] - 1).clip(min=0)
    return values


class LookupPenalties:
    """Penalties on the logits of the tokens of values that no row has with another column's value.

    They are finite: where each token would break a pair, those that break the fewest remain.
    """

    def __init__(
        self, lookups: Iterable[NearLookup], sizes: Sequence[int], device: torch.device
    ) -> None:
        self._sizes = sizes
        self._penalties: dict[int, list[_Penalties]] = {}
        for lookup in lookups:
            for own, other in ((0, 1), (1, 0)):
                for step in _range(lookup.steps[own]):
                    penalties = _Penalties(lookup, own, other, step, sizes, device)
                    self._penalties.setdefault(step, []).append(penalties)

    def of(self, step: int, tokens: Tensor) -> Tensor | None:
        """Return the (B, K) penalties of a step, or None if it has none.

        `tokens` (S', B) are those of the first S' steps, negative where they are unknown.
        """
        sums = None
        for penalties in self._penalties.get(step, ()):
            if penalties.other_steps.start >= len(tokens):
                continue
            keys = values_of(tokens, penalties.other_steps, self._sizes) * penalties.num_before
            if penalties.before.stop > penalties.before.start:
                keys = keys + values_of(tokens, penalties.before, self._sizes)
            index = torch.searchsorted(penalties.keys, keys).clamp_max(len(penalties.keys) - 1)
            has_key = penalties.keys.index_select(0, index) == keys
            index = index.where(has_key, len(penalties.keys))
            added = penalties.table.index_select(0, index)
            sums = added if sums is None else sums.add_(added)
        return sums


class _Penalties:
    """Penalties of a step, given the value of another column and the tokens of the column before.

    A row of `table` (R + 1, K) belongs to each of the (R,) `keys`, and the last one to all others.
    A key combines the value of the column of `other_steps` and the tokens of the steps `before`.
    """

    def __init__(
        self,
        lookup: NearLookup,
        own: int,
        other: int,
        step: int,
        sizes: Sequence[int],
        device: torch.device,
    ) -> None:
        steps, self.other_steps = lookup.steps[own], lookup.steps[other]
        self.before = slice(steps.start, step)
        values = lookup.pairs[:, own].astype(np.int64)
        scale = prod(sizes[i] - 1 for i in range(step + 1, steps.stop))
        token, before = values // scale, np.zeros_like(values)
        if step > steps.start:
            before, token = np.divmod(token, sizes[step] - 1)
            token += 1  # after NO_SUB_BIN
        self.num_before = int(before.max()) + 1
        keys = lookup.pairs[:, other].astype(np.int64) * self.num_before + before
        distinct, rows = np.unique(keys, return_inverse=True)
        table = np.full((len(distinct) + 1, sizes[step]), PENALTY, np.float32)
        table[rows, token] = 0.0
        table[-1] = 0.0  # of unknown values
        self.keys = torch.from_numpy(distinct).to(device)
        self.table = torch.from_numpy(table).to(device)


def _range(steps: slice) -> range:
    return range(steps.start, steps.stop)
