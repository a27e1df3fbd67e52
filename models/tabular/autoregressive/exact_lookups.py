"""Exact lookups of learned columns: samples only have the combinations of values of a key.

A key, such as a patient, determines other columns, such as the sex and the treatment, which are
sampled, too. So each token is restricted to those with which a training row has all tokens of the
key and of its columns that are already sampled or given.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import compress

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.tabular.categorical_columns import Tokens

PENALTY = -1_000.0  # of a logit: more than those of all pairs of near lookups together
MAX_BALANCED_ROWS, BALANCING_ROUNDS = 4_000, 20
SMALL_COUNT = 0.1  # of a token that the rows do not have
# In memory for each step, for tokens that are sampled in another order or given: at least one.
MAX_OTHER_TABLES, MAX_OTHER_CELLS = 32, 1 << 20


@dataclass(frozen=True)
class ExactLookup:
    """The distinct (R, S') tokens that a key and the columns it determines have at `steps`."""

    steps: tuple[int, ...]
    combinations: NDArray[np.int32]

    @classmethod
    def fit(cls, tokens: Tokens, steps: Iterable[int]) -> "ExactLookup":
        """Return the combinations in (S, N) tokens."""
        ordered = tuple(sorted(steps))
        return cls(ordered, np.unique(tokens[list(ordered)].T, axis=0).astype(np.int32))


class CombinationPenalties:
    """Penalties on the logits of tokens that no combination has with the other tokens of a row.

    They are finite, and there are none where the other tokens are already in no combination.
    """

    def __init__(
        self, lookups: Sequence[ExactLookup], sizes: Sequence[int], device: torch.device
    ) -> None:
        self._device = device
        self._lookups: dict[int, list[_Combinations]] = {}
        for lookup in lookups:
            combinations = _Combinations(lookup, sizes, device)
            for step in lookup.steps:
                self._lookups.setdefault(step, []).append(combinations)

    def of(self, step: int, tokens: Tensor) -> Tensor | None:
        """Return the (B, K) penalties of a step, or None if it has none.

        `tokens` (S', B) are those of the first S' steps, negative where they are unknown.
        """
        sums = None
        for lookup in self._lookups.get(step, ()):
            if (added := lookup.penalties(step, tokens)) is not None:
                sums = added if sums is None else sums + added
        return sums

    def of_all(self, tokens: Tensor) -> dict[int, Tensor]:
        """Return the (B, K) penalties by step, given all (S, B) tokens of rows.

        Tokens that a row has are not excluded, although no combination may have them.
        """
        penalties = {}
        for step in self._lookups:
            if (added := self.of(step, tokens[:step])) is not None:
                penalties[step] = added.scatter(1, tokens[step][:, None], 0.0)
        return penalties

    def balanced_counts(self, tokens: Tensor, counts: Sequence[Tensor]) -> list[Tensor]:
        """Return the (K,) counts of tokens by step that give them their frequencies in (S, N) rows.

        With the counts themselves, a missing key would be too frequent: all combinations of values
        allow it, but a key only one of them. Iterative proportional fitting (Deming & Stephan
        1940).
        """
        balanced = list(counts)
        if not self._lookups:
            return balanced
        rows = tokens[:, :: max(1, tokens.shape[1] // MAX_BALANCED_ROWS)].to(self._device)
        for step, penalties in self.of_all(rows).items():
            is_allowed = (penalties == 0).float()
            weights = balanced[step].to(self._device) + SMALL_COUNT
            frequencies = torch.bincount(rows[step], minlength=len(weights)) + SMALL_COUNT
            for _ in range(BALANCING_ROUNDS):
                shares = F.normalize(is_allowed * weights, p=1.0, dim=1).sum(0)
                weights *= frequencies / (shares + SMALL_COUNT)
            balanced[step] = weights / weights.min()
        return balanced


class _Combinations:
    """The combinations of a lookup, as tables of the tokens that occur with others."""

    def __init__(self, lookup: ExactLookup, sizes: Sequence[int], device: torch.device) -> None:
        self._steps, self._sizes = lookup.steps, sizes
        # Combinations are compared by the sum of random numbers of their tokens (Zobrist 1970),
        # which is the same for two of them with a probability of 2^-64.
        rng = np.random.default_rng(0)
        limits = np.iinfo(np.int64)
        numbers = {step: rng.integers(limits.min, limits.max, sizes[step]) for step in lookup.steps}
        self._on_device = {s: torch.from_numpy(n).to(device) for s, n in numbers.items()}
        self._device = device
        self._tables = {}
        for i, step in enumerate(self._steps):
            others = MAX_OTHER_CELLS // max(1, len(lookup.combinations) * sizes[step])
            count = 1 + min(max(1, others), MAX_OTHER_TABLES)
            # Not a method: a cycle would keep the tables of a model in memory that is not used.
            make_table = partial(_make_table, lookup, numbers, step, device)
            self._tables[step] = lru_cache(count)(make_table)
            if i:
                self._tables[step](self._steps[:i])

    def penalties(self, step: int, tokens: Tensor) -> Tensor | None:
        """Return the (B, K) penalties of a step, or None if nothing restricts its tokens."""
        others = [other for other in self._steps if other != step and other < len(tokens)]
        if not others:
            return None
        if len(tokens) == step:  # steps in order: all tokens before this one are set
            return self._penalties_given(step, tuple(others), tokens)
        # Rows with the same known tokens have the same sum of random numbers, too.
        patterns = torch.zeros_like(tokens[0])
        for other in others:
            patterns += self._on_device[other][0] * (tokens[other] >= 0)
        penalties = torch.zeros(tokens.shape[1], self._sizes[step], device=self._device)
        for pattern in patterns.unique():
            rows = (patterns == pattern).nonzero()[:, 0]
            is_known = (tokens[others, rows[0]] >= 0).tolist()
            if given := tuple(compress(others, is_known)):
                penalties[rows] = self._penalties_given(step, given, tokens[:, rows])
        return penalties

    def _penalties_given(self, step: int, others: tuple[int, ...], tokens: Tensor) -> Tensor:
        keys, is_excluded = self._tables[step](others)
        sums = self._on_device[others[0]][tokens[others[0]]]
        for other in others[1:]:
            sums = sums + self._on_device[other][tokens[other]]
        index = torch.searchsorted(keys, sums).clamp_max(len(keys) - 1)
        index = index.where(keys[index] == sums, len(keys))
        return is_excluded[index] * PENALTY


def _make_table(
    lookup: ExactLookup,
    numbers: Mapping[int, NDArray[np.int64]],
    step: int,
    device: torch.device,
    others: tuple[int, ...],
) -> tuple[Tensor, Tensor]:
    """Return the (R',) sums of the tokens at `others`, and the (R' + 1, K) excluded tokens.

    `numbers` are those of the tokens by step. The last row is that of tokens in no combination.
    """
    columns = dict(zip(lookup.steps, lookup.combinations.T, strict=True))
    sums = np.sum([numbers[other][columns[other]] for other in others], axis=0)
    keys, rows = np.unique(sums, return_inverse=True)
    is_excluded = np.ones((len(keys) + 1, len(numbers[step])), bool)
    is_excluded[rows, columns[step]] = False
    is_excluded[-1] = False
    return torch.from_numpy(keys).to(device), torch.from_numpy(is_excluded).to(device)
