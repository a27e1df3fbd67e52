"""Pairs of rows with the same key, which show how an amount depends on a number of the key.

The amounts of both rows have the ratio of their true factors, unless the number has changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.tabular.categorical_columns import Floats

FIRST_PAIRS = 24  # rule out most factors
MIN_CHANGED_PAIRS = 20  # have different amounts
MIN_FIRST_SHARE, MIN_SCREENED_SHARE = 0.5, 0.6  # of the pairs agree on the number of the key
MAX_CHANCE = 0.3  # of factors of other pairs, relative to the true ones


@dataclass(frozen=True)
class KeyedPairs:
    """The (P,) amounts `a` and `b` of pairs of rows, and their (K, P) possible factors `f` and `g`.

    Rounding may have changed both amounts by `margin` (P,) together.
    """

    a: Floats
    b: Floats
    margin: Floats
    f: Floats
    g: Floats

    def agreeing(self) -> Iterator[tuple[float, tuple[int, ...]]]:
        """Yield the share of pairs that agree on the number of their key, and the factors.

        These are one or two, which are multiplied.
        """
        is_changed = np.abs(self.a - self.b) > self.margin
        a, b, margin, f, g = (
            values[..., is_changed] for values in (self.a, self.b, self.margin, self.f, self.g)
        )
        part = slice(FIRST_PAIRS)
        singles = _match(a[part], b[part], f[:, part], g[:, part], margin[part]).mean(1)
        likely_singles = np.flatnonzero(singles >= MIN_FIRST_SHARE).tolist()
        candidates: list[tuple[int, ...]] = [(k,) for k in likely_singles]
        i, k = np.triu_indices(len(f))
        first, second = (values[i, part] * values[k, part] for values in (f, g))
        match = _match(a[part], b[part], first, second, margin[part])
        likely = match.mean(1) >= MIN_FIRST_SHARE
        candidates += zip(i[likely].tolist(), k[likely].tolist(), strict=True)
        for chosen in candidates:
            first, second = (np.prod(values[list(chosen)], axis=0) for values in (f, g))
            if share := _share(a, b, first, second, margin):
                yield share, chosen

    def agreeing_with_added(
        self, first: Floats, second: Floats
    ) -> Iterator[tuple[int, float, int]]:
        """Yield the index of a column that is added, the share of pairs that agree, and a factor.

        `first` and `second` are the (A, P) numbers of the columns.
        """
        rests = self.a - first, self.b - second
        is_changed = np.abs(self.a - self.b) > self.margin
        is_changed = is_changed & (np.abs(rests[0] - rests[1]) > self.margin)
        part = slice(FIRST_PAIRS)
        match = _match(
            rests[0][:, None, part],
            rests[1][:, None, part],
            self.f[:, part],
            self.g[:, part],
            self.margin[part],
        )
        few = is_changed[:, None, part]
        likely = (match & few).sum(2) >= MIN_FIRST_SHARE * np.maximum(few.sum(2), 1)
        likely &= is_changed.sum(1)[:, None] >= MIN_CHANGED_PAIRS
        for i, k in np.argwhere(likely).tolist():
            mask = is_changed[i]
            parts = (rests[0][i], rests[1][i], self.f[k], self.g[k], self.margin)
            if share := _share(*(values[mask] for values in parts)):
                yield i, share, k


def _share(a: Floats, b: Floats, f: Floats, g: Floats, margin: Floats) -> float:
    """Return the share of pairs that agree on the number of their key, 0 where it is too small."""
    share = float(_match(a, b, f, g, margin).mean())
    # Factors of other pairs show how often numbers agree by chance.
    by_chance = float(_match(a, b, np.roll(f, 1), np.roll(g, 1), margin).mean())
    return share if share >= MIN_SCREENED_SHARE and by_chance <= MAX_CHANCE * share else 0.0


def _match(a: Floats, b: Floats, f: Floats, g: Floats, margin: Floats) -> NDArray[np.bool_]:
    """Return the mask of pairs of rows with a / f = b / g, as far as rounding allows."""
    with np.errstate(all="ignore"):
        difference = np.abs(a * g - b * f)
        allowed = margin / 2 * (np.abs(f) + np.abs(g))
        allowed = allowed + 1e-9 * (np.abs(a * g) + np.abs(b * f))
        return np.asarray((difference <= allowed) & (f != 0) & (g != 0))
