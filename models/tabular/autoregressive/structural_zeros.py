"""Structural zeros: pairs of tokens that chance would join, but that no training row has.

A generator gives every pair of values some probability, such as that of a team in a league in which
it never played. Sampling avoids the pairs of two columns that the training rows do not have, if
rows that have new ones of them are practically impossible.

Sources: Bishop, Fienberg and Holland 1975, "Discrete multivariate analysis", chapter 5; Good 1953,
"The population frequencies of species".
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.tabular.autoregressive.explained_gaps import MIN_EVIDENCE_NATS, find_explained_gaps
from models.tabular.autoregressive.near_lookups import PENALTY
from models.tabular.categorical_columns import Arrays, Floats, Tokens

MAX_UNSEEN_SHARE = 0.001  # of all rows, estimated, that have a pair which no training row has
MIN_EXPECTED_RATIO = 20  # of their share if the columns were independent, to that estimate
MIN_MISSING_RATIO = 10  # the same of missing values, which are often explained by another column
MAX_SEEN_ONCE = 0.05  # pairs of a token that one row has, relative to its rows
MAX_STEPS = 64  # that are compared pairwise
MAX_GAP_STEPS = 128  # of which a missing value of one may be explained by the other
MAX_CELLS = 1 << 20  # pairs of tokens that a model stores


@dataclass(frozen=True)
class StructuralZeros:
    """By a pair of steps, the first one before the second one: which of their tokens may meet.

    The masks of `may_meet` have shape (K, K'), with the tokens of the first and the second step.
    """

    may_meet: Mapping[tuple[int, int], NDArray[np.bool_]]

    @classmethod
    def fit(
        cls,
        tokens: Tokens,
        sizes: Sequence[int],
        steps: Sequence[int],
        positions: Mapping[int, Floats] | None = None,
        missing_tokens: Mapping[int, int] | None = None,
    ) -> Self:
        """Find the structural zeros of (S, N) tokens between any two of `steps`.

        `sizes` are the numbers of tokens of all steps, and `positions` those of the tokens of steps
        with an order, NaN for a missing value. `missing_tokens` are those of the steps that have
        one. Of too many zeros, those that would be most frequent by chance are kept.
        """
        candidates = []
        compared, missing = steps[:MAX_STEPS], missing_tokens or {}
        orders = {step: np.full(sizes[step], np.nan) for step in steps} | dict(positions or {})
        for a, b in combinations(steps[:MAX_GAP_STEPS], 2):
            has_gaps = a in missing or b in missing
            if b not in compared and not has_gaps:
                continue
            pairs = tokens[a] * sizes[b] + tokens[b]
            counts = np.bincount(pairs, minlength=sizes[a] * sizes[b]).reshape(sizes[a], sizes[b])
            chance, may_meet = 0.0, None
            if b in compared:
                chance, may_meet = _zeros_of_pair(counts, orders[a], orders[b])
            comparisons = min(len(steps), MAX_GAP_STEPS)
            for gaps in _explained_gaps(counts, missing.get(a), missing.get(b), comparisons):
                may_meet = gaps if may_meet is None else may_meet & gaps
                chance = _share_by_chance(counts, ~may_meet)
            if may_meet is not None:
                candidates.append((chance, (a, b), may_meet))
        candidates.sort(key=lambda item: (-item[0], item[1]))
        kept, cells = {}, 0
        for _, pair, may_meet in candidates:
            if cells + may_meet.size <= MAX_CELLS:
                kept[pair] = may_meet
                cells += may_meet.size
        return cls(kept)

    def pack(self) -> tuple[list[list[int]], Arrays]:
        """Return the pairs of steps, and the arrays that `unpack` needs."""
        arrays = {f"zeros.{i}": np.packbits(mask) for i, mask in enumerate(self.may_meet.values())}
        return [list(pair) for pair in self.may_meet], arrays

    @classmethod
    def unpack(
        cls,
        pairs: Sequence[Sequence[int]],
        arrays: Mapping[str, NDArray[Any]],
        sizes: Sequence[int],
    ) -> Self:
        """Load what `pack` returned; `sizes` are the numbers of tokens of all steps."""
        may_meet = {}
        for i, (a, b) in enumerate(pairs):
            mask = np.unpackbits(arrays[f"zeros.{i}"], count=sizes[a] * sizes[b])
            may_meet[a, b] = mask.astype(bool).reshape(sizes[a], sizes[b])
        return cls(may_meet)


NO_ZEROS = StructuralZeros({})


def _zeros_of_pair(
    counts: NDArray[np.int64], positions: Floats, other_positions: Floats
) -> tuple[float, NDArray[np.bool_] | None]:
    """Return the mask of tokens that may meet, of all values or else of missing ones only."""
    chance, may_meet = _structural_zeros(counts, positions, other_positions)
    if may_meet is None:
        chance, may_meet = _zeros_of_missing(counts, positions, other_positions)
    if may_meet is None:
        chance, may_meet = _zeros_of_missing(counts.T, other_positions, positions)
        may_meet = None if may_meet is None else may_meet.T
    return chance, may_meet


def _structural_zeros(
    counts: NDArray[np.int64],
    positions: Floats,
    other_positions: Floats,
    min_ratio: float = MIN_EXPECTED_RATIO,
) -> tuple[float, NDArray[np.bool_] | None]:
    """Return the mask of the tokens that may meet, given the (K, K') counts of pairs in rows.

    The first number is the share of the other pairs if the columns were independent. The mask is
    None if new pairs are plausible: by Good's estimate, the share of unseen pairs is that of the
    pairs that are seen once, between tokens that several rows have.
    """
    totals, other_totals = counts.sum(1, keepdims=True), counts.sum(0, keepdims=True)
    seen_once = (counts == 1) & (totals > 1) & (other_totals > 1)
    unseen = max(int(seen_once.sum()), 1) / counts.sum()
    if unseen > MAX_UNSEEN_SHARE:
        return 0.0, None
    may_meet = counts > 0
    chance = _share_by_chance(counts, ~may_meet)
    if chance < min_ratio * unseen:  # even with all pairs that no row has
        return chance, None
    is_sure = _is_sure(counts)[:, None] & _is_sure(counts.T)
    is_sure |= _is_beyond(counts, other_positions) | _is_beyond(counts.T, positions).T
    may_meet |= ~is_sure
    chance = _share_by_chance(counts, ~may_meet)
    return chance, may_meet if chance >= min_ratio * unseen else None


def _share_by_chance(counts: NDArray[np.int64], pairs: NDArray[np.bool_]) -> float:
    """Return the share of rows with one of some pairs (K, K') if the columns were independent."""
    totals, other_totals = counts.sum(1, keepdims=True), counts.sum(0, keepdims=True)
    return float((totals * other_totals)[pairs].sum() / counts.sum() ** 2)


def _zeros_of_missing(
    counts: NDArray[np.int64], positions: Floats, other_positions: Floats
) -> tuple[float, NDArray[np.bool_] | None]:
    """Return the mask of the first tokens that may meet a missing value, or any value.

    A charge, for instance, is missing exactly where a customer is new. The mask (K, K') has the
    same column for all values; it is None if the second column has no missing ones, or no zeros.
    """
    if not (np.isnan(other_positions[-1]) and np.isfinite(other_positions[:-1]).all()):
        return 0.0, None
    is_missing = np.stack([counts[:, :-1].sum(1), counts[:, -1]], 1)
    chance, may_meet = _structural_zeros(
        is_missing, positions, np.full(2, np.nan), MIN_MISSING_RATIO
    )
    if may_meet is None:
        return chance, None
    return chance, may_meet[:, np.append(np.zeros(counts.shape[1] - 1, np.int64), 1)]


def _explained_gaps(
    counts: NDArray[np.int64], missing: int | None, other_missing: int | None, comparisons: int
) -> Iterator[NDArray[np.bool_]]:
    """Yield the masks of the tokens that may meet because one column explains gaps of the other."""
    if other_missing is not None:
        gaps = find_explained_gaps(counts, other_missing, comparisons)
        if gaps is not None:
            yield gaps
    if missing is not None:
        gaps = find_explained_gaps(counts.T, missing, comparisons)
        if gaps is not None:
            yield gaps.T


def _is_beyond(counts: NDArray[np.int64], positions: Floats) -> NDArray[np.bool_]:
    """Return the (K, K') mask of pairs whose second token is beyond all of the first one's rows.

    Second tokens have an order by `positions` (K',), NaN for those without one. The tokens below
    the lowest one that a first token meets are sure together, although each of them may be rare,
    and so are those above the highest one: as many rows with other tokens would not all miss them.
    """
    order = np.argsort(positions)[: int(np.isfinite(positions).sum())]
    mask = np.zeros(counts.shape, bool)
    own, totals = counts[:, order], counts.sum(1, keepdims=True)
    if not own.size:
        return mask
    shares = own.sum(0) / counts.sum()
    for direction in (slice(None), slice(None, None, -1)):
        is_before = np.cumsum(own[:, direction], axis=1) == 0
        missed = (is_before * shares[direction]).sum(1, keepdims=True)
        evidence = -totals * np.log1p(-np.minimum(missed, 1 - 1e-12))
        mask[:, order[direction]] |= is_before & (evidence >= MIN_EVIDENCE_NATS)
    return mask


def _is_sure(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the (K,) mask of first tokens whose rows tell which second ones they never meet.

    Few of their pairs may be seen once, and as many rows with other tokens would not all miss the
    second tokens that they miss. Otherwise samples would repeat the few rows of a rare value.
    """
    totals = counts.sum(1)
    seen_once = (counts == 1).sum(1)
    missed = (counts == 0) @ (counts.sum(0) / counts.sum())
    with np.errstate(divide="ignore", invalid="ignore"):  # no rows are no evidence: 0 * inf is NaN
        evidence = -totals * np.log1p(-np.minimum(missed, 1.0))
    return (seen_once <= MAX_SEEN_ONCE * totals) & (evidence >= MIN_EVIDENCE_NATS)


class ZeroPenalties:
    """Penalties on the logits of tokens that may not meet other tokens of a row.

    They are finite: where each token of a step would break a pair, those that break the fewest
    remain.
    """

    def __init__(self, zeros: StructuralZeros, sizes: Sequence[int], device: torch.device) -> None:
        masks: dict[int, dict[int, NDArray[np.bool_]]] = {}
        for (a, b), mask in zeros.may_meet.items():
            masks.setdefault(a, {})[b] = mask.T
            masks.setdefault(b, {})[a] = mask
        self._tables = {}
        for step, by_other in masks.items():
            others = sorted(by_other)
            ends = np.cumsum([sizes[other] for other in others])
            # The last row is that of unknown tokens.
            table = np.pad(np.concatenate([~by_other[i] for i in others]), ((0, 1), (0, 0)))
            self._tables[step] = (
                others,
                torch.tensor(others, device=device),
                torch.tensor([0, *ends[:-1]], device=device)[:, None],
                torch.from_numpy(table.astype(np.float32) * PENALTY).to(device),
            )

    def of(self, step: int, tokens: Tensor) -> Tensor | None:
        """Return the (B, K) penalties of a step, or None if it has none.

        `tokens` (S', B) are those of the first S' steps, negative where they are unknown.
        """
        if step not in self._tables:
            return None
        others, index, starts, table = self._tables[step]
        count = bisect_left(others, len(tokens))
        if not count:
            return None
        rows = tokens.index_select(0, index[:count])
        rows = torch.where(rows < 0, len(table) - 1, rows + starts[:count])
        return F.embedding_bag(rows.T, table, mode="sum")
