"""Evaluation of synthetic table rows against held-out real rows."""

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
FINE_BINS = 64  # for boosted trees
MAX_CATEGORIES = 250  # per column; further categories share one bin
MAX_COLUMN_PAIRS = 200
MAX_DETECTION_ROWS = 4_000  # real rows, and as many synthetic rows
MAX_TSTR_ROWS = 24_000
MAX_DCR_SAMPLES = 2_000
MAX_DCR_REFERENCE_ROWS = 8_000
MAX_CLASSES = 20
MAX_SHOWN_COLUMNS = 30  # in the association matrix
MAX_SCATTER_ITEMS = 1_000  # rows for the principal components
DISTANCE_CHUNK_SIZE = 250


@dataclass(frozen=True)
class NumericFrame:
    """Columns of (N,) floats: numbers, or codes of categories (CategoryMaps). NaN is missing."""

    columns: dict[str, Floats]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, index: NDArray[np.int64]) -> "NumericFrame":
        return NumericFrame({name: values[index] for name, values in self.columns.items()})


@dataclass(frozen=True)
class CategoryMaps:
    """Categories of the categorical columns. The code of a category is its position."""

    categories: dict[str, pa.Array]

    def to_frame(self, table: pa.Table, column_names: list[str]) -> NumericFrame:
        columns = {}
        for name in column_names:
            values = table.column(name).combine_chunks()
            if name in self.categories:
                codes = pc.index_in(_text(values), value_set=self.categories[name])
                columns[name] = codes.cast(pa.float64()).to_numpy(zero_copy_only=False)
            else:
                columns[name] = _numbers(values)
        return NumericFrame(columns)


@dataclass(frozen=True)
class EvaluationResult:
    scores: list[Score]
    report_sections: dict[str, Any]  # further content of the report, by name


def evaluate(
    data: LabeledRows, synthetic: pa.Table, *, seed: int, check_stop: CheckStop
) -> EvaluationResult:
    """Evaluate synthetic rows against the holdout of `data`, which must have at least 20 rows.

    Most metrics are also computed for as many training rows in place of the samples (the real
    reference) and for rows of independent columns (the naive baseline).
    """
    rng = np.random.default_rng(seed)
    schema = [column for column in data.schema if column.in_samples and column.type != "id"]
    column_names = [column.name for column in schema]
    train, holdout = data.take(data.train), data.take(data.holdout)
    category_maps = CategoryMaps(
        {
            c.name: pc.unique(
                pa.chunked_array(
                    [_text(table.column(c.name)) for table in (train, holdout, synthetic)]
                )
            ).drop_null()
            for c in schema
            if c.type in ("category", "boolean")
        }
    )
    real, train_frame, fake = (
        category_maps.to_frame(table, column_names) for table in (holdout, train, synthetic)
    )
    index = rng.choice(len(train_frame), min(len(fake), len(train_frame)), replace=False)
    reference = train_frame.take(index)
    baseline = NumericFrame(sample_independent(train_frame.columns, len(fake), seed))
    compared = (fake, reference, baseline)
    check_stop()
    coarse = Binning.fit(train_frame, category_maps, COARSE_BINS)
    scores = _tvd_scores(real, compared, coarse, seed, check_stop)
    fine = Binning.fit(train_frame, category_maps, FINE_BINS)
    scores += _detection(real, compared, fine, seed, check_stop)
    scores += _tstr(real, compared, fine, category_maps, data.target_column, seed, check_stop)
    space = MixedDistanceSpace.fit(train_frame, coarse)
    scores += _privacy(real, train_frame, fake, baseline, space, rng, seed, check_stop)
    report_sections = {
        "statistics": _statistics(
            real, fake, category_maps, {c.name: c.type for c in schema}, data.target_column
        ),
        "column_associations": _column_associations(real, fake, coarse),
        "scatter": pca_2d(
            *(
                space(_sample_rows(frame, MAX_SCATTER_ITEMS, rng)).to_array()
                for frame in (real, fake)
            )
        ),
        "nearest_train_distance": _nearest_distances(
            real, train_frame, fake, space, rng, check_stop
        ),
    }
    return EvaluationResult(scores, report_sections)


def _text(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values.cast(pa.string())


def _numbers(values: pa.Array) -> Floats:
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("us")).cast(pa.int64())
    elif pa.types.is_temporal(values.type):
        values = values.cast(pa.int64())
    floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(floats, np.float64)


@dataclass(frozen=True)
class Binning:
    """Quantile bins of the numeric columns; each category is a bin.

    Each numeric bin holds about the same number of training rows. The last bin of every column is
    for missing values.
    """

    edges: dict[str, Floats]  # numeric columns only
    sizes: dict[str, int]  # number of bins of every column

    @classmethod
    def fit(cls, train: NumericFrame, category_maps: CategoryMaps, bins: int) -> "Binning":
        edges, sizes = {}, {}
        for name, values in train.columns.items():
            if name in category_maps.categories:
                sizes[name] = min(len(category_maps.categories[name]), MAX_CATEGORIES) + 1
                continue
            present = values[~np.isnan(values)]
            quantiles = np.linspace(0, 1, bins + 1)[1:-1]
            cuts = np.quantile(present, quantiles) if len(present) else present
            edges[name] = _edges(cuts)
            sizes[name] = len(edges[name]) + 2
        return cls(edges, sizes)

    def __call__(self, frame: NumericFrame) -> dict[str, Bins]:
        binned = {}
        for name, values in frame.columns.items():
            missing, last = np.isnan(values), self.sizes[name] - 1
            if name in self.edges:
                bins = np.searchsorted(self.edges[name], values, side="right")
            else:
                bins = np.minimum(np.where(missing, 0, values), last - 1).astype(np.int64)
            binned[name] = np.where(missing, last, bins)
        return binned

    def matrix(self, frame: NumericFrame, exclude: str | None = None) -> Bins:
        bins = self(frame)
        return np.stack([bins[name] for name in bins if name != exclude], 1)

    def unordered(self, exclude: str | None = None) -> NDArray[np.bool_]:
        return np.array([name not in self.edges for name in self.sizes if name != exclude])


def _edges(cuts: Floats) -> Floats:
    """Return the unique cuts, with a separate bin for each value that fills more than one bin.

    In a column that is mostly 0, for example, larger values must not share a bin with 0.
    """
    values, counts = np.unique(cuts, return_counts=True)
    return np.union1d(values, np.nextafter(values[counts > 1], np.inf))


# Samples, real reference, naive baseline.
Compared = tuple[NumericFrame, NumericFrame, NumericFrame]


def _tvd_scores(
    real: NumericFrame, compared: Compared, binning: Binning, seed: int, check_stop: CheckStop
) -> list[Score]:
    """Score the mean total variation distance of single columns and of pairs of columns."""
    names = list(real.columns)
    pairs = list(combinations(names, 2))
    order = np.random.default_rng(seed).permutation(len(pairs))[:MAX_COLUMN_PAIRS]
    groups: list[tuple[str, list[tuple[str, ...]]]] = [("marginal_tvd", [(n,) for n in names])]
    if pairs:
        groups.append(("pairwise_tvd", [pairs[i] for i in order]))
    real_bins = binning(real)
    compared_bins = [binning(frame) for frame in compared]
    return [
        _tvd_score(name, real_bins, compared_bins, column_groups, binning, seed, check_stop)
        for name, column_groups in groups
    ]


def _tvd_score(
    name: str,
    real_bins: dict[str, Bins],
    compared_bins: list[dict[str, Bins]],
    column_groups: list[tuple[str, ...]],
    binning: Binning,
    seed: int,
    check_stop: CheckStop,
) -> Score:
    real = [_joint_bins(real_bins, group, binning) for group in column_groups]
    sides = [
        [_joint_bins(bins, group, binning) for group in column_groups] for bins in compared_bins
    ]

    def distances(side: list[Bins], index: NDArray[np.int64] | None = None) -> Floats:
        check_stop()
        parts = side if index is None else [bins[index] for bins in side]
        return np.array([total_variation_distance(*pair) for pair in zip(real, parts, strict=True)])

    values = distances(sides[0])
    resampled = bootstrap(
        lambda index: float(distances(sides[0], index).mean()), len(sides[0][0]), seed
    )
    return create_score(
        name,
        Estimate(float(values.mean()), resampled.error),
        "lower",
        real_reference=float(distances(sides[1]).mean()),
        naive_baseline=float(distances(sides[2]).mean()),
        per_label={" and ".join(g): float(v) for g, v in zip(column_groups, values, strict=True)},
    )


def _joint_bins(bins: dict[str, Bins], group: tuple[str, ...], binning: Binning) -> Bins:
    """Combine the bins of several columns into one number per row."""
    out = np.zeros(1, np.int64)
    for name in group:
        out = out * binning.sizes[name] + bins[name]
    return out


def total_variation_distance(a: Bins, b: Bins) -> float:
    """Return half of the summed differences of the bins' shares, from 0 to 1."""
    size = int(max(a.max(), b.max())) + 1
    shares = [np.bincount(bins, minlength=size) / len(bins) for bins in (a, b)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _detection(
    real: NumericFrame, compared: Compared, binning: Binning, seed: int, check_stop: CheckStop
) -> list[Score]:
    """Score boosted trees that learn to distinguish synthetic rows from holdout rows.

    Both sets have the same size. The trees are trained on one half and tested on the other.
    """
    rng = np.random.default_rng(seed)
    unordered = binning.unordered()

    def critic_outputs(frame: NumericFrame) -> tuple[Tensor, Tensor]:
        check_stop()
        n = min(len(real), len(frame), MAX_DETECTION_ROWS)
        real_bins, fake_bins = (
            binning.matrix(part.take(rng.permutation(len(part))[:n])) for part in (real, frame)
        )
        half = n // 2
        y = np.arange(2 * half) // half
        test_bins = np.concatenate([real_bins[half:], fake_bins[half:]])
        train_bins = np.concatenate([real_bins[:half], fake_bins[:half]])
        probabilities = torch.from_numpy(classify(train_bins, unordered, y, 2, test_bins)[:, 1])
        return probabilities[: n - half] - 0.5, probabilities[n - half :] - 0.5

    return detection_scores([critic_outputs(frame) for frame in compared])


def _tstr(
    real: NumericFrame,
    compared: Compared,
    binning: Binning,
    category_maps: CategoryMaps,
    target_column: str | None,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """Score boosted trees that are trained on samples and predict the target of holdout rows.

    The score is the area under the ROC curve for two classes, macro F1 for more classes, and the
    explained share of the variance (R²) for a numeric target. It is missing if there is no target,
    or if the target has a single class or more than MAX_CLASSES. This is TSTR: train on synthetic,
    test on real.
    """
    if target_column is None or target_column not in real.columns or len(real.columns) < 2:
        return []
    is_number = target_column not in category_maps.categories
    if not is_number and not 2 <= len(category_maps.categories[target_column]) <= MAX_CLASSES:
        return []
    if any(np.isnan(frame.columns[target_column]).all() for frame in (real, *compared)):
        return []
    unordered = binning.unordered(target_column)
    real = real.take(np.flatnonzero(~np.isnan(real.columns[target_column])))
    truth, test_bins = real.columns[target_column], binning.matrix(real, target_column)
    unit = power_of_two_scale(truth)

    def utility(frame: NumericFrame) -> Estimate:
        check_stop()
        labeled = np.flatnonzero(~np.isnan(frame.columns[target_column]))[:MAX_TSTR_ROWS]
        frame = frame.take(labeled)
        x, y = binning.matrix(frame, target_column), frame.columns[target_column]
        if is_number:
            predicted = regress(x, unordered, y / unit, test_bins)
            target, variance = truth / unit, (truth / unit).var() or 1.0
            return bootstrap(
                lambda i: float(1 - np.square(predicted[i] - target[i]).mean() / variance),
                len(truth),
                seed,
            )
        classes = len(category_maps.categories[target_column])
        probabilities = classify(x, unordered, y.astype(np.int64), classes, test_bins)
        if classes == 2:
            positive_probability = torch.from_numpy(probabilities[:, 1])
            is_positive = torch.from_numpy(truth == 1)
            if min(int(is_positive.sum()), int((~is_positive).sum())) < 2:
                return Estimate(0.5)
            return roc_auc(positive_probability[is_positive], positive_probability[~is_positive])
        predictions, labels = probabilities.argmax(1), truth.astype(np.int64)
        return bootstrap(lambda i: macro_f1(labels[i], predictions[i]), len(labels), seed)

    value, reference, baseline = (utility(frame) for frame in compared)
    return [
        create_score(
            "tstr_score", value, "higher", real_reference=reference, naive_baseline=baseline
        )
    ]


def macro_f1(truth: Bins, predictions: Bins) -> float:
    """Return the mean F1 score of the labels that occur in `truth`."""
    scores = []
    for label in np.unique(truth):
        hits = ((truth == label) & (predictions == label)).sum()
        scores.append(2 * hits / ((truth == label).sum() + (predictions == label).sum()))
    return float(np.mean(scores))


@dataclass(frozen=True)
class MixedPoints:
    """Rows in a MixedDistanceSpace. The distance of two rows is the sum over their columns."""

    numeric: torch.Tensor  # (N, A) values in [0, 1]
    one_hot: torch.Tensor  # (N, B) one-hot codes of the categorical columns, concatenated

    def __len__(self) -> int:
        return len(self.numeric)

    def __getitem__(self, rows: slice) -> "MixedPoints":
        return MixedPoints(self.numeric[rows], self.one_hot[rows])

    def nearest_distance(self, others: "MixedPoints", check_stop: CheckStop) -> torch.Tensor:
        """Return (N,) distances from each row to the nearest of the others."""
        distances, num_categorical = [], self.one_hot[:1].sum()
        for start in range(0, len(self), DISTANCE_CHUNK_SIZE):
            check_stop()
            part = self[start : start + DISTANCE_CHUNK_SIZE]
            # The product counts the categorical columns in which two rows are equal.
            mismatches = num_categorical - part.one_hot @ others.one_hot.T
            numeric = torch.cdist(part.numeric, others.numeric, p=1)
            distances.append((numeric + mismatches).min(1).values)
        return torch.cat(distances)

    def to_array(self) -> Floats:
        return torch.cat([self.numeric, self.one_hot], 1).double().numpy()


@dataclass(frozen=True)
class MixedDistanceSpace:
    """Map of rows to points whose columns all have distances between 0 and 1.

    A number becomes its quantile among the training rows; a missing number becomes 0.5. Two
    different categories have distance 1.
    """

    binning: Binning
    sorted_train_values: dict[str, Floats]  # numeric columns

    @classmethod
    def fit(cls, train: NumericFrame, binning: Binning) -> "MixedDistanceSpace":
        numeric = {name: train.columns[name] for name in binning.edges}
        return cls(binning, {name: np.sort(v[~np.isnan(v)]) for name, v in numeric.items()})

    def __call__(self, frame: NumericFrame) -> MixedPoints:
        numeric, one_hot = [np.empty((0, len(frame)))], [np.empty((len(frame), 0))]
        for name, values in frame.columns.items():
            if name in self.sorted_train_values:
                quantile = np.searchsorted(self.sorted_train_values[name], values) / max(
                    1, len(self.sorted_train_values[name])
                )
                numeric.append(np.where(np.isnan(values), 0.5, quantile)[None])
            else:
                size = self.binning.sizes[name]
                codes = np.where(np.isnan(values), size - 1, np.minimum(values, size - 1))
                one_hot.append(np.eye(size)[codes.astype(np.int64)])
        return MixedPoints(
            torch.from_numpy(np.concatenate(numeric).T.astype(np.float32)),
            torch.from_numpy(np.concatenate(one_hot, 1).astype(np.float32)),
        )


def _privacy(
    real: NumericFrame,
    train: NumericFrame,
    fake: NumericFrame,
    naive_rows: NumericFrame,
    space: MixedDistanceSpace,
    rng: np.random.Generator,
    seed: int,
    check_stop: CheckStop,
) -> list[Score]:
    """Score copies of training rows, membership inference and the uniqueness of samples.

    - `dcr_share` is the share of samples that are closer to a training row than to any of as many
      holdout rows (distance to closest record). It is 0.5 without memorization.
    - `exact_match_rate` is the share of samples that equal a training row. Its reference is the
      rate expected by chance: the rate of samples that equal a holdout row, scaled to the number of
      training rows, or the rate of holdout rows that equal a training row, if that is larger.
    """
    m = min(len(real), len(train), MAX_DCR_REFERENCE_ROWS)
    train_points, holdout_points = (space(_sample_rows(part, m, rng)) for part in (train, real))
    samples = space(_sample_rows(fake, MAX_DCR_REFERENCE_ROWS, rng))
    train_distance, holdout_distance = (
        samples[:MAX_DCR_SAMPLES].nearest_distance(side, check_stop)
        for side in (train_points, holdout_points)
    )
    # One half of the holdout is attacked; the other half is the attacker's reference.
    n = min(len(holdout_points) // 2, MAX_DCR_SAMPLES)
    share = (train_distance < holdout_distance).double() + (
        train_distance == holdout_distance
    ).double() / 2
    train_rows, holdout_rows = _row_set(train), _row_set(real)
    is_copy = np.array([row in train_rows for row in _row_bytes(fake)], np.float64)
    holdout_match_rate = float(np.mean([row in holdout_rows for row in _row_bytes(fake)]))
    train_holdout_rate = float(np.mean([row in train_rows for row in _row_bytes(real)]))
    expected = min(1.0, max(holdout_match_rate * len(train) / len(real), train_holdout_rate))
    unique_rate = Estimate(len(_row_set(fake)) / len(fake))
    real_sample = _sample_rows(train, len(fake), rng)
    return [
        create_score("dcr_share", Estimate.from_items(share.numpy()), "target", real_reference=0.5),
        create_score(
            "exact_match_rate", Estimate.from_items(is_copy), "lower", real_reference=expected
        ),
        *attack_membership(
            train_points[:n],
            holdout_points[:n],
            holdout_points[n:],
            samples,
            space(_sample_rows(naive_rows, MAX_DCR_REFERENCE_ROWS, rng)),
            nearest=partial(MixedPoints.nearest_distance, check_stop=check_stop),
            seed=seed,
        ),
        create_score(
            "unique_rate",
            unique_rate,
            "higher",
            real_reference=len(_row_set(real_sample)) / len(real_sample),
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
    category_maps: CategoryMaps,
    types: dict[str, str],
    target_column: str | None,
) -> list[dict[str, Any]]:
    """Describe each column for all rows (`label` None), and each numeric column for each label."""
    sections = [
        {
            "column": name,
            "type": types[name],
            "label": None,
            **_side_by_side(real, fake, category_maps, name),
        }
        for name in real.columns
    ]
    if (
        target_column not in category_maps.categories
        or len(category_maps.categories[target_column]) > MAX_CLASSES
    ):
        return sections
    for code, label in enumerate(category_maps.categories[target_column].to_pylist()):
        real_rows, fake_rows = (
            frame.take(np.flatnonzero(frame.columns[target_column] == code))
            for frame in (real, fake)
        )
        sections += [
            {
                "column": name,
                "type": types[name],
                "label": label,
                **_side_by_side(real_rows, fake_rows, category_maps, name),
            }
            for name in real.columns
            if name not in category_maps.categories
        ]
    return sections


def _side_by_side(
    real: NumericFrame, fake: NumericFrame, category_maps: CategoryMaps, name: str
) -> dict[str, Any]:
    sides = real.columns[name], fake.columns[name]
    if name in category_maps.categories:
        shares = [_shares(values, category_maps.categories[name]) for values in sides]
        return {"real": shares[0], "synthetic": shares[1], "histogram": None}
    statistics = [describe(values) for values in sides]
    return {"real": statistics[0], "synthetic": statistics[1], "histogram": histogram(*sides)}


def _shares(values: Floats, categories: pa.Array) -> dict[str, Any]:
    codes = values[~np.isnan(values)].astype(np.int64)
    counts = np.bincount(codes, minlength=len(categories))
    order = np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]
    shares = {categories[i].as_py(): float(counts[i] / max(1, len(codes))) for i in order.tolist()}
    return {"count": len(codes), "missing": len(values) - len(codes), "shares": shares}


def _column_associations(
    real: NumericFrame, fake: NumericFrame, binning: Binning
) -> dict[str, Any]:
    shown = list(real.columns)[:MAX_SHOWN_COLUMNS]
    matrices = [
        cramers_v_matrix({name: bins for name, bins in binning(frame).items() if name in shown})
        for frame in (real, fake)
    ]
    return {"columns": shown, "real": matrices[0], "synthetic": matrices[1]}


def _nearest_distances(
    real: NumericFrame,
    train: NumericFrame,
    fake: NumericFrame,
    space: MixedDistanceSpace,
    rng: np.random.Generator,
    check_stop: CheckStop,
) -> dict[str, list[float]] | None:
    """Return histograms of the distance to the nearest training row, for holdout and samples."""
    train_points = space(_sample_rows(train, MAX_DCR_REFERENCE_ROWS, rng))
    distances = (
        space(_sample_rows(frame, MAX_DCR_SAMPLES, rng)).nearest_distance(train_points, check_stop)
        for frame in (real, fake)
    )
    return histogram(*(side.double().numpy() for side in distances))
