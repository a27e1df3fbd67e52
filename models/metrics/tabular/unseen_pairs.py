"""Samples with a pair of values that no training row has, such as a city in a wrong state."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.metrics.scores import Estimate, Score, create_score
from models.metrics.tabular.frames import Bins, CategoryMaps, Compared, NumericFrame
from models.tabular.relations.lookups.agreement import MIN_KAPPA, kappa_of_frequent_values
from models.training_callbacks import CheckStop

MAX_COLUMNS = 32  # whose pairs are compared
# In pairs of columns with a larger share of training rows whose pair no other training row has,
# such as the cities of birth and of death, new pairs are usual.
MAX_NEW_SHARE = 0.1
MAX_COMPARED_ROWS = 100_000  # in which one column determines the other, or not
MAX_REPORTED_PAIRS = 10  # of columns
MAX_COUNTED_PAIRS = 1 << 22  # of values, in one array


def score_unseen_pairs(
    train: NumericFrame,
    real: NumericFrame,
    compared: Compared,
    category_maps: CategoryMaps,
    check_stop: CheckStop,
) -> tuple[list[Score], list[dict[str, Any]]]:
    """Score the samples with a pair of values of two categorical columns that no training row has.

    Missing is a value, too. A pair is new if training rows have both values, but not together. The
    real reference is the share of holdout rows with a new pair. There is no score without two
    columns of which one nearly determines the other, so that they seldom have new pairs: those of a
    training row are compared with the other rows.

    The second result describes the pairs of columns in which samples have the most new pairs.
    """
    synthetic, _, naive_rows = compared
    frames = (train, synthetic, real, naive_rows)
    names = [name for name in category_maps.categories if name in train.columns][:MAX_COLUMNS]
    codes = {name: _codes([frame.columns[name] for frame in frames]) for name in names}
    ends = np.cumsum([len(frame) for frame in frames])
    is_train = np.arange(ends[-1]) < len(train)
    is_seen = {
        name: _training_counts(column, is_train, int(column.max()) + 1) > is_train
        for name, column in codes.items()
    }
    has_new_pair = np.zeros(len(is_train), np.bool_)
    report: list[dict[str, Any]] = []
    for a, b in combinations(names, 2):
        check_stop()
        sizes = [int(codes[name].max()) + 1 for name in (a, b)]
        if not _is_determined(codes[a][: len(train)], codes[b][: len(train)]):
            continue
        pairs = codes[a] * sizes[1] + codes[b]
        counts = _training_counts(pairs, is_train, sizes[0] * sizes[1])
        is_new = is_seen[a] & is_seen[b] & (counts == is_train)
        if is_new[is_train].mean() > MAX_NEW_SHARE:
            continue
        has_new_pair |= is_new
        _, *shares = (float(part.mean()) for part in np.split(is_new, ends[:-1]))
        sides = ("in_samples", "in_holdout", "in_naive_rows")
        report.append({"columns": [a, b], **dict(zip(sides, shares, strict=True))})
    if not report:
        return [], []
    _, in_samples, in_holdout, in_naive_rows = np.split(has_new_pair, ends[:-1])
    report.sort(key=lambda entry: entry["in_holdout"] - entry["in_samples"])
    report = [entry for entry in report[:MAX_REPORTED_PAIRS] if entry["in_samples"] > 0]
    score = create_score(
        "unseen_pair_rate",
        Estimate.from_items(in_samples.astype(np.float64)),
        real_reference=float(in_holdout.mean()),
        naive_baseline=float(in_naive_rows.mean()),
        per_label={" and ".join(entry["columns"]): entry["in_samples"] for entry in report},
    )
    return [score], report


def _is_determined(a: Bins, b: Bins) -> bool:
    """Return whether one of two columns of (N,) codes nearly determines the other, or both do."""
    compared = slice(None, None, max(1, len(a) // MAX_COMPARED_ROWS))
    a, b = a[compared], b[compared]
    pairs, counts = np.unique(a * (int(b.max()) + 1) + b, return_counts=True)
    first, second = np.divmod(pairs, int(b.max()) + 1)
    for source, total in ((first, second), (second, first)):
        is_present = source > 0
        present = source[is_present], total[is_present], counts[is_present]
        if kappa_of_frequent_values(*present) >= MIN_KAPPA:
            return True
    return False


def _codes(parts: list[NDArray[np.float64]]) -> Bins:
    """Return the codes of a categorical column from 1 on, and 0 for missing."""
    return np.nan_to_num(np.concatenate(parts) + 1, nan=0.0).astype(np.int64)


def _training_counts(values: Bins, is_train: NDArray[np.bool_], size: int) -> Bins:
    """Return for each of (N,) values below `size` in how many training rows it occurs."""
    if size <= MAX_COUNTED_PAIRS:
        return np.bincount(values[is_train], minlength=size)[values]
    present, counts = np.unique(values[is_train], return_counts=True)
    index = np.minimum(np.searchsorted(present, values), len(present) - 1)
    return np.where(present[index] == values, counts[index], 0)
