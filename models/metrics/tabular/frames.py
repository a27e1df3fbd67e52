"""Tables as arrays of numbers and as bins."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.tabular.categorical_columns import as_text
from models.tabular.schema import ColumnSchema

Floats = NDArray[np.float64]
Bins = NDArray[np.int64]

FINE_BINS = 64  # for boosted trees
MAX_CLASSES = 20  # of a target; data with more are not evaluated label by label
MAX_CATEGORIES = 250  # per column; further categories share one bin


@dataclass(frozen=True)
class NumericFrame:
    """Columns of (N,) floats: numbers, or codes of categories (CategoryMaps). NaN is missing."""

    columns: dict[str, Floats]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, index: NDArray[np.int64]) -> "NumericFrame":
        return NumericFrame({name: values[index] for name, values in self.columns.items()})


Compared = tuple[NumericFrame, NumericFrame, NumericFrame]  # samples, real reference, baseline


@dataclass(frozen=True)
class CategoryMaps:
    """Categories of the categorical columns. The code of a category is its position."""

    categories: dict[str, pa.Array]

    @classmethod
    def fit(cls, tables: Sequence[pa.Table], schema: Sequence[ColumnSchema]) -> "CategoryMaps":
        return cls(
            {
                c.name: pa.chunked_array(
                    [as_text(table.column(c.name).combine_chunks()) for table in tables]
                )
                .unique()
                .drop_null()
                for c in schema
                if c.type in ("category", "boolean")
            }
        )

    def to_frame(self, table: pa.Table, column_names: list[str]) -> NumericFrame:
        columns = {}
        for name in column_names:
            values = table.column(name).combine_chunks()
            if name in self.categories:
                codes = pc.index_in(as_text(values), value_set=self.categories[name])
                columns[name] = codes.cast(pa.float64()).to_numpy(zero_copy_only=False)
            else:
                columns[name] = _numbers(values)
        return NumericFrame(columns)


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


def sample_rows(frame: NumericFrame, count: int, rng: np.random.Generator) -> NumericFrame:
    return frame.take(rng.permutation(len(frame))[:count])
