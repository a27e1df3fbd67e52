"""Pairs of related numbers, and their differences and ratios as further columns."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from models.metrics.tabular.frames import Floats, NumericFrame, sample_rows

MAX_PAIRS = 8  # the most correlated ones
MAX_COLUMNS = 40  # that are compared with each other
MAX_RANKED_ROWS = 4_000
MIN_CORRELATION = 0.6  # of ranks
MIN_DISTINCT = 20  # trees see the relations of numbers of fewer values
MIN_ROWS = 50  # that have both numbers
MAX_ABSOLUTE = 1e300  # of a difference or ratio


@dataclass(frozen=True)
class RelatedNumbers:
    """Pairs of numeric columns whose ranks are correlated."""

    pairs: list[tuple[str, str]]

    @classmethod
    def fit(cls, train: NumericFrame, numeric_columns: list[str]) -> "RelatedNumbers":
        """Return the most correlated pairs of training rows."""
        sample = sample_rows(train, MAX_RANKED_ROWS, np.random.default_rng(0))
        ranks = {
            name: _ranks(sample.columns[name])
            for name in numeric_columns
            if len(np.unique(sample.columns[name])) > MIN_DISTINCT
        }
        found = []
        for a, b in combinations(list(ranks)[:MAX_COLUMNS], 2):
            both = ~np.isnan(ranks[a]) & ~np.isnan(ranks[b])
            if both.sum() >= MIN_ROWS:
                correlation = abs(_correlation(ranks[a][both], ranks[b][both]))
                if correlation > MIN_CORRELATION:
                    found.append((-correlation, a, b))
        return cls([(a, b) for _, a, b in sorted(found)[:MAX_PAIRS]])

    def add_to(self, frame: NumericFrame) -> NumericFrame:
        """Return the frame with two columns more for each pair: difference and ratio.

        A ratio to 0 is missing.
        """
        derived = {}
        with np.errstate(all="ignore"):
            for a, b in self.pairs:
                first, second = frame.columns[a], frame.columns[b]
                divisor = np.where(second == 0, np.nan, second)
                derived[f"{a} - {b}"] = np.clip(first - second, -MAX_ABSOLUTE, MAX_ABSOLUTE)
                derived[f"{a} / {b}"] = np.clip(first / divisor, -MAX_ABSOLUTE, MAX_ABSOLUTE)
        return NumericFrame({**derived, **frame.columns})


def _ranks(values: Floats) -> Floats:
    """Return the (N,) ranks of the values; equal ones share their mean rank, NaN has none."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    middles = np.cumsum(counts) - (counts - 1) / 2
    return np.where(np.isnan(values), np.nan, middles[index])


def _correlation(a: Floats, b: Floats) -> float:
    deviations = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / deviations) if deviations else 0.0
