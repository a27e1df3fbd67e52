"""Samples of table rows against the held-out real ones, which training never saw."""

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.metrics.baselines import sample_independent
from models.metrics.gradient_boosting import classify, regress
from models.metrics.membership_inference import attack_membership
from models.metrics.roc import detection_scores, roc_auc
from models.metrics.scores import Estimate, Score, bootstrap, create_score
from models.metrics.statistics import (
    cramers_v_matrix,
    describe,
    histogram,
    pca_2d,
    power_of_two_scale,
)
from models.tabular.data import LabeledRows
from models.training_callbacks import CheckStop

Floats = NDArray[np.float64]
Bins = NDArray[np.int64]

COARSE_BINS = 10
FINE_BINS = 64  # bins of a column that trees look at
MAX_CATEGORIES = 250  # of a category, that trees look at; the others are one
MAX_COLUMN_PAIRS = 200
MAX_DETECTION_ROWS = 4_000  # rows of each kind that a critic learns from and is asked about
MAX_TSTR_ROWS = 24_000
MAX_DCR_SAMPLES = 2_000
MAX_DCR_REFERENCE_ROWS = 8_000
MAX_CLASSES = 20
MIN_HOLDOUT_ITEMS = 20  # held-out rows to judge by
MAX_SHOWN_COLUMNS = 30  # whose pairs are shown
MAX_SCATTER_ITEMS = 1_000  # rows whose main directions are looked for


@dataclass(frozen=True)
class NumericFrame:
    """(N,) numbers by column: values, or places among the `names`; NaN is missing."""

    columns: dict[str, Floats]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, index: NDArray[np.int64]) -> "NumericFrame":
        return NumericFrame({name: values[index] for name, values in self.columns.items()})


@dataclass(frozen=True)
class CategoryMaps:
    """What the categories among the columns may be, in the order of their places."""

    categories: dict[str, pa.Array]

    def to_frame(self, table: pa.Table, column_names: list[str]) -> NumericFrame:
        columns = {}
        for name in column_names:
            values = table.column(name).combine_chunks()
            if name in self.categories:
                places = pc.index_in(_text(values), value_set=self.categories[name])
                columns[name] = places.cast(pa.float64()).to_numpy(zero_copy_only=False)
            else:
                columns[name] = _numbers(values)
        return NumericFrame(columns)


@dataclass(frozen=True)
class EvaluationResult:
    scores: list[Score]
    report_sections: dict[str, Any]  # what a report shows besides, by name


def evaluate(
    data: LabeledRows, synthetic: pa.Table, *, seed: int, check_stop: CheckStop
) -> EvaluationResult:
    """`data.held_out` is what training has not seen; at least ENOUGH rows. Samples are compared
    with as many training rows (the real reference) and with rows whose columns are drawn each by itself
    (the naive baseline)."""
    rng = np.random.default_rng(seed)
    schema = [column for column in data.schema if column.in_samples and column.type != "id"]
    learned = [column.name for column in schema]
    train, held = data.take(data.train), data.take(data.holdout)
    names = CategoryMaps(
        {
            c.name: pc.unique(
                pa.chunked_array([_text(t.column(c.name)) for t in (train, held, synthetic)])
            ).drop_null()
            for c in schema
            if c.type in ("category", "boolean")
        }
    )
    real, seen, fake = (names.to_frame(table, learned) for table in (held, train, synthetic))
    index = rng.choice(len(seen), min(len(fake), len(seen)), replace=False)
    ceiling = seen.take(index)
    baseline = NumericFrame(sample_independent(seen.columns, len(fake), seed))
    three = (fake, ceiling, baseline)
    check_stop()
    tenths = Binning.fit(seen, names, COARSE_BINS)
    scores = _tvd_scores(real, three, tenths, seed, check_stop)
    fine = Binning.fit(seen, names, FINE_BINS)
    scores += _detection(real, three, fine, seed, check_stop)
    scores += _tstr(real, three, fine, names, data.target_column, seed, check_stop)
    space = MixedDistanceSpace.fit(seen, tenths)
    scores += _privacy(real, seen, fake, baseline, space, rng, seed, check_stop)
    views = {
        "statistics": _statistics(
            real, fake, names, {c.name: c.type for c in schema}, data.target_column
        ),
        "column_associations": _column_associations(real, fake, tenths),
        "scatter": pca_2d(
            *(space(_sample_rows(f, MAX_SCATTER_ITEMS, rng)).to_array() for f in (real, fake))
        ),
        "nearest_train_distance": _nearest_distances(real, seen, fake, space, rng, check_stop),
    }
    return EvaluationResult(scores, views)


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values.cast(pa.string())


def _numbers(values: pa.Array) -> Floats:
    if pa.types.is_temporal(values.type):
        values = values.cast(pa.timestamp("us")).cast(pa.int64())
    found = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(found, np.float64)


@dataclass(frozen=True)
class Binning:
    """Columns in bins of about as many training rows each; names are bins, missing is the last."""

    edges: dict[str, Floats]
    sizes: dict[str, int]

    @classmethod
    def fit(cls, train: NumericFrame, category_maps: CategoryMaps, bins: int) -> "Binning":
        edges, sizes = {}, {}
        for name, values in train.columns.items():
            if name in category_maps.categories:
                sizes[name] = min(len(category_maps.categories[name]), MAX_CATEGORIES) + 1
                continue
            known = values[~np.isnan(values)]
            cuts = np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]) if len(known) else known
            edges[name] = _edges(cuts)
            sizes[name] = len(edges[name]) + 2
        return cls(edges, sizes)

    def __call__(self, frame: NumericFrame) -> dict[str, Bins]:
        found = {}
        for name, values in frame.columns.items():
            missing, last = np.isnan(values), self.sizes[name] - 1
            if name in self.edges:
                bins = np.searchsorted(self.edges[name], values, side="right")
            else:
                bins = np.minimum(np.where(missing, 0, values), last - 1).astype(np.int64)
            found[name] = np.where(missing, last, bins)
        return found

    def matrix(self, frame: NumericFrame, exclude: str | None = None) -> Bins:
        bins = self(frame)
        return np.stack([bins[name] for name in bins if name != exclude], 1)

    def unordered(self, exclude: str | None = None) -> NDArray[np.bool_]:
        return np.array([name not in self.edges for name in self.sizes if name != exclude])


def _edges(cuts: Floats) -> Floats:
    """A value that fills more than a bin has one of its own: of a column that is mostly 0, what is
    above it is not the same."""
    values, times = np.unique(cuts, return_counts=True)
    return np.union1d(values, np.nextafter(values[times > 1], np.inf))


Compared = tuple[
    NumericFrame, NumericFrame, NumericFrame
]  # samples, real reference, naive baseline


def _tvd_scores(
    real: NumericFrame, compared: Compared, binning: Binning, seed: int, check_stop: CheckStop
) -> list[Score]:
    """The mean total variation distance of columns, and of pairs of them."""
    names = list(real.columns)
    pairs = list(combinations(names, 2))
    order = np.random.default_rng(seed).permutation(len(pairs))[:MAX_COLUMN_PAIRS]
    groups: list[tuple[str, list[tuple[str, ...]]]] = [("marginal_tvd", [(n,) for n in names])]
    if pairs:
        groups.append(("pairwise_tvd", [pairs[i] for i in order]))
    there = binning(real)
    found = [binning(frame) for frame in compared]
    return [
        _tvd_score(name, there, found, wanted, binning, seed, check_stop) for name, wanted in groups
    ]


def _tvd_score(
    title: str,
    real_bins: dict[str, Bins],
    compared_bins: list[dict[str, Bins]],
    column_groups: list[tuple[str, ...]],
    binning: Binning,
    seed: int,
    check_stop: CheckStop,
) -> Score:
    real = [_joined(real_bins, group, binning) for group in column_groups]
    sides = [[_joined(bins, group, binning) for group in column_groups] for bins in compared_bins]

    def each(side: list[Bins], index: NDArray[np.int64] | None = None) -> Floats:
        check_stop()
        parts = side if index is None else [bins[index] for bins in side]
        return np.array([total_variation_distance(*both) for both in zip(real, parts, strict=True)])

    values = each(sides[0])
    chance = bootstrap(lambda index: float(each(sides[0], index).mean()), len(sides[0][0]), seed)
    return create_score(
        title,
        Estimate(float(values.mean()), chance.error),
        "lower",
        real_reference=float(each(sides[1]).mean()),
        naive_baseline=float(each(sides[2]).mean()),
        per_label={" and ".join(g): float(v) for g, v in zip(column_groups, values, strict=True)},
    )


def _joined(bins: dict[str, Bins], group: tuple[str, ...], binning: Binning) -> Bins:
    out = np.zeros(1, np.int64)
    for name in group:
        out = out * binning.sizes[name] + bins[name]
    return out


def total_variation_distance(one: Bins, other: Bins) -> float:
    """Total variation distance of two sets of small numbers, from 0 to 1."""
    size = int(max(one.max(), other.max())) + 1
    shares = [np.bincount(bins, minlength=size) / len(bins) for bins in (one, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _detection(
    real: NumericFrame, compared: Compared, binning: Binning, seed: int, check_stop: CheckStop
) -> list[Score]:
    """Of boosted trees, which learn from one half of as many held-out rows and samples and are
    asked about the other."""
    rng = np.random.default_rng(seed)
    unordered = binning.unordered()

    def said(frame: NumericFrame) -> tuple[Tensor, Tensor]:
        check_stop()
        n = min(len(real), len(frame), MAX_DETECTION_ROWS)
        one, other = (
            binning.matrix(part.take(rng.permutation(len(part))[:n])) for part in (real, frame)
        )
        half = n // 2
        y = np.arange(2 * half) // half
        asked = np.concatenate([one[half:], other[half:]])
        seen = np.concatenate([one[:half], other[:half]])
        chances = torch.from_numpy(classify(seen, unordered, y, 2, asked)[:, 1])
        return chances[: n - half] - 0.5, chances[n - half :] - 0.5

    return detection_scores([said(frame) for frame in compared])


def _tstr(
    real: NumericFrame,
    compared: Compared,
    binning: Binning,
    names: CategoryMaps,
    target_column: str | None,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """What trees that learn from the samples know of held-out rows: the area under the ROC curve
    for two labels, macro F1 for more, the share of the variance (R²) for a number."""
    if target_column is None or target_column not in real.columns or len(real.columns) < 2:
        return []
    is_number = target_column not in names.categories
    if not is_number and not 2 <= len(names.categories[target_column]) <= MAX_CLASSES:
        return []
    if any(np.isnan(frame.columns[target_column]).all() for frame in (real, *compared)):
        return []
    unordered = binning.unordered(target_column)
    real = real.take(np.flatnonzero(~np.isnan(real.columns[target_column])))
    truth, asked = real.columns[target_column], binning.matrix(real, target_column)
    unit = power_of_two_scale(truth)

    def measured(frame: NumericFrame) -> Estimate:
        check_stop()
        known = np.flatnonzero(~np.isnan(frame.columns[target_column]))[:MAX_TSTR_ROWS]
        frame = frame.take(known)
        x, y = binning.matrix(frame, target_column), frame.columns[target_column]
        if is_number:
            said = regress(x, unordered, y / unit, asked)
            aim, spread = truth / unit, (truth / unit).var() or 1.0
            return bootstrap(
                lambda i: float(1 - np.square(said[i] - aim[i]).mean() / spread), len(truth), seed
            )
        classes = len(names.categories[target_column])
        chances = classify(x, unordered, y.astype(np.int64), classes, asked)
        if classes == 2:
            scored = torch.from_numpy(chances[:, 1])
            one = torch.from_numpy(truth == 1)
            if min(int(one.sum()), int((~one).sum())) < 2:
                return Estimate(0.5)
            return roc_auc(scored[one], scored[~one])
        guessed, right = chances.argmax(1), truth.astype(np.int64)
        return bootstrap(lambda i: macro_f1(right[i], guessed[i]), len(right), seed)

    value, ceiling, baseline = (measured(frame) for frame in compared)
    return [
        create_score("tstr_score", value, "higher", real_reference=ceiling, naive_baseline=baseline)
    ]


def macro_f1(truth: Bins, predictions: Bins) -> float:
    each = []
    for label in np.unique(truth):
        right = ((truth == label) & (predictions == label)).sum()
        each.append(2 * right / ((truth == label).sum() + (predictions == label).sum()))
    return float(np.mean(each))


@dataclass(frozen=True)
class MixedPoints:
    """Rows in a space in which differences of columns are added up."""

    numeric: torch.Tensor  # (N, A)
    one_hot: torch.Tensor  # (N, B), one hot for each column

    def __len__(self) -> int:
        return len(self.numeric)

    def __getitem__(self, which: slice) -> "MixedPoints":
        return MixedPoints(self.numeric[which], self.one_hot[which])

    def nearest_distance(self, others: "MixedPoints", check_stop: CheckStop) -> torch.Tensor:
        """(N,) distances."""
        found, columns = [], self.one_hot[:1].sum()
        for first in range(0, len(self), 250):
            check_stop()
            part = self[first : first + 250]
            unlike = columns - part.one_hot @ others.one_hot.T
            found.append((torch.cdist(part.numeric, others.numeric, p=1) + unlike).min(1).values)
        return torch.cat(found)

    def to_array(self) -> Floats:
        return torch.cat([self.numeric, self.one_hot], 1).double().numpy()


@dataclass(frozen=True)
class MixedDistanceSpace:
    """Numbers lie at their place among the training rows, from 0 to 1; two names are 1 apart."""

    binning: Binning
    sorted_train_values: dict[str, Floats]  # of the training rows, in order

    @classmethod
    def fit(cls, train: NumericFrame, binning: Binning) -> "MixedDistanceSpace":
        known = {name: train.columns[name] for name in binning.edges}
        return cls(binning, {name: np.sort(v[~np.isnan(v)]) for name, v in known.items()})

    def __call__(self, frame: NumericFrame) -> MixedPoints:
        numbers, names = [np.empty((0, len(frame)))], [np.empty((len(frame), 0))]
        for name, values in frame.columns.items():
            if name in self.sorted_train_values:
                place = np.searchsorted(self.sorted_train_values[name], values) / max(
                    1, len(self.sorted_train_values[name])
                )
                numbers.append(np.where(np.isnan(values), 0.5, place)[None])
            else:
                size = self.binning.sizes[name]
                places = np.where(np.isnan(values), size - 1, np.minimum(values, size - 1))
                names.append(np.eye(size)[places.astype(np.int64)])
        return MixedPoints(
            torch.from_numpy(np.concatenate(numbers).T.astype(np.float32)),
            torch.from_numpy(np.concatenate(names, 1).astype(np.float32)),
        )


def _privacy(
    real: NumericFrame,
    seen: NumericFrame,
    fake: NumericFrame,
    naive_rows: NumericFrame,
    space: MixedDistanceSpace,
    rng: np.random.Generator,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """`dcr_share`: of the samples, nearer to some training row than to any of as many held-out
    ones; .5 by chance. `exact_match_rate` beside what an honest generator repeats by chance: its hits
    on rows that it never saw, for as many as training has."""
    m = min(len(real), len(seen), MAX_DCR_REFERENCE_ROWS)
    trained, held = (space(_sample_rows(part, m, rng)) for part in (seen, real))
    samples = space(_sample_rows(fake, MAX_DCR_REFERENCE_ROWS, rng))
    to_trained, to_held = (
        samples[:MAX_DCR_SAMPLES].nearest_distance(side, check_stop) for side in (trained, held)
    )
    n = min(
        len(held) // 2, MAX_DCR_SAMPLES
    )  # the other half of the unseen rows is what an attacker knows
    share = (to_trained < to_held).double() + (to_trained == to_held).double() / 2
    known, unseen = _row_set(seen), _row_set(real)
    copied = np.array([key in known for key in _row_bytes(fake)], np.float64)
    repeated = float(np.mean([key in unseen for key in _row_bytes(fake)]))
    of_held_out = float(np.mean([key in known for key in _row_bytes(real)]))
    expected = min(1.0, max(repeated * len(seen) / len(real), of_held_out))
    different = Estimate(len(set(_row_bytes(fake))) / len(fake))
    some = _sample_rows(seen, len(fake), rng)
    return [
        create_score("dcr_share", Estimate.from_items(share.numpy()), "target", real_reference=0.5),
        create_score(
            "exact_match_rate", Estimate.from_items(copied), "lower", real_reference=expected
        ),
        *attack_membership(
            *(
                trained[:n],
                held[:n],
                held[n:],
                samples,
                space(_sample_rows(naive_rows, MAX_DCR_REFERENCE_ROWS, rng)),
            ),
            nearest=partial(MixedPoints.nearest_distance, check_stop=check_stop),
            seed=seed,
        ),
        create_score(
            "unique_rate",
            different,
            "higher",
            real_reference=len(set(_row_bytes(some))) / len(some),
        ),
    ]


def _sample_rows(frame: NumericFrame, count: int, rng: np.random.Generator) -> NumericFrame:
    return frame.take(rng.permutation(len(frame))[:count])


def _row_bytes(frame: NumericFrame) -> list[bytes]:
    table = np.nan_to_num(np.stack(list(frame.columns.values()), 1), nan=-1e300)
    return [row.tobytes() for row in table]


def _row_set(frame: NumericFrame) -> set[bytes]:
    return set(_row_bytes(frame))


def _statistics(
    real: NumericFrame,
    fake: NumericFrame,
    names: CategoryMaps,
    types: dict[str, str],
    target_column: str | None,
) -> list[dict[str, Any]]:
    """Of each column, and of its numbers for each label; `label` is null for all rows."""
    found = [
        {
            "column": name,
            "type": types[name],
            "label": None,
            **_side_by_side(real, fake, names, name),
        }
        for name in real.columns
    ]
    if target_column not in names.categories or len(names.categories[target_column]) > MAX_CLASSES:
        return found
    for place, label in enumerate(names.categories[target_column].to_pylist()):
        one, other = (
            f.take(np.flatnonzero(f.columns[target_column] == place)) for f in (real, fake)
        )
        found += [
            {"column": n, "type": types[n], "label": label, **_side_by_side(one, other, names, n)}
            for n in real.columns
            if n not in names.categories
        ]
    return found


def _side_by_side(
    real: NumericFrame, fake: NumericFrame, names: CategoryMaps, name: str
) -> dict[str, Any]:
    sides = real.columns[name], fake.columns[name]
    if name in names.categories:
        one, other = (_shares(values, names.categories[name]) for values in sides)
        return {"real": one, "synthetic": other, "histogram": None}
    one, other = (describe(values) for values in sides)
    return {"real": one, "synthetic": other, "histogram": histogram(*sides)}


def _shares(values: Floats, names: pa.Array) -> dict[str, Any]:
    known = values[~np.isnan(values)].astype(np.int64)
    counts = np.bincount(known, minlength=len(names))
    order = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
    shares = {names[i].as_py(): float(counts[i] / max(1, len(known))) for i in order.tolist()}
    return {"count": len(known), "missing": len(values) - len(known), "shares": shares}


def _column_associations(
    real: NumericFrame, fake: NumericFrame, binning: Binning
) -> dict[str, Any]:
    shown = list(real.columns)[:MAX_SHOWN_COLUMNS]
    one, other = (
        cramers_v_matrix({name: bins for name, bins in binning(frame).items() if name in shown})
        for frame in (real, fake)
    )
    return {"columns": shown, "real": one, "synthetic": other}


def _nearest_distances(
    real: NumericFrame,
    seen: NumericFrame,
    fake: NumericFrame,
    space: MixedDistanceSpace,
    rng: np.random.Generator,
    check_stop: CheckStop,
) -> dict[str, list[float]] | None:
    """How far samples, and unseen rows, are from the nearest training row."""
    known = space(_sample_rows(seen, MAX_DCR_REFERENCE_ROWS, rng))
    sides = (
        space(_sample_rows(frame, MAX_DCR_SAMPLES, rng)).nearest_distance(known, check_stop)
        for frame in (real, fake)
    )
    return histogram(*(side.double().numpy() for side in sides))
