"""Scatter plot of a training run: real rows as black points, synthetic ones as red points.

Where `min_value_count` protects rare values, real rows are not drawn, because an isolated point
would reveal a single row.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from models.tabular.autoregressive.sampler import TokenSampler
from models.tabular.categorical_columns import Floats, as_text
from models.tabular.data import LabeledRows
from models.tabular.relations.rows import array, as_floats
from models.tabular.tokenizer import Tokenizer

MAX_POINTS = 500
SIDE, MARGIN = 320, 12  # pixels
MAX_CATEGORIES = 8  # per column, the most frequent ones, one-hot encoded
REAL, SYNTHETIC = (0, 0, 0), (214, 39, 40)  # RGB


@dataclass(frozen=True)
class ScatterPreview:
    """A fixed projection of rows to the plane.

    The axes are the features themselves if there are at most two, otherwise the first two principal
    components (Pearson 1901) of the real rows. The axes do not change during a run, so that its
    previews are comparable.
    """

    tokenizer: Tokenizer
    categories: dict[str, list[str]]
    mean: Floats  # (F,)
    scale: Floats
    components: Floats  # (F, 2)
    real: Floats  # (N, 2) projected real rows
    shows_real: bool

    @classmethod
    def fit(cls, rows: LabeledRows, tokenizer: Tokenizer, min_value_count: int = 0) -> Self:
        indices = np.random.default_rng(0).permutation(rows.train)[:MAX_POINTS]
        table = rows.take(np.sort(indices))
        if min_value_count:
            table = _replace_rare_values(tokenizer, table)
        categories = {name: _most_frequent(table.column(name)) for name in tokenizer.column_names}
        features = _features(tokenizer, categories, table)
        mean, scale = _mean_and_deviation(features)
        standardized = _standardize(features, mean, scale)
        directions = np.eye(standardized.shape[1], 2)  # a single feature is drawn as a line
        if standardized.shape[1] > 2:
            components = np.linalg.svd(standardized, full_matrices=False)[2][:2].T
            directions[:, : components.shape[1]] = components
        return cls(
            tokenizer,
            categories,
            mean,
            scale,
            directions,
            standardized @ directions,
            not min_value_count,
        )

    def render(self, sampler: TokenSampler, seed: int) -> NDArray[np.uint8]:
        """Return a (SIDE, SIDE, 3) image; every call uses the same uniforms."""
        generator = torch.Generator().manual_seed(seed)
        tokens, decode_u = sampler.sample(
            torch.rand(sampler.num_uniforms, MAX_POINTS, generator=generator).to(sampler.device), {}
        )
        rows = self.tokenizer.decode(
            tokens.cpu().numpy(), decode_u.cpu().numpy().astype(np.float64)
        )
        features = _features(self.tokenizer, self.categories, rows)
        image = np.full((SIDE, SIDE, 3), 255, np.uint8)
        if self.shows_real:
            self._mark(image, self.real, REAL)
        self._mark(
            image, _standardize(features, self.mean, self.scale) @ self.components, SYNTHETIC
        )
        return image

    def _mark(self, image: NDArray[np.uint8], points: Floats, color: tuple[int, int, int]) -> None:
        """Draw points of two by two pixels; points beyond the real ones go to the edge."""
        low, high = self.real.min(0), self.real.max(0)
        relative = (points - low) / np.maximum(high - low, 1e-9)
        pixels = MARGIN + np.clip(relative, -0.03, 1.03) * (SIDE - 2 * MARGIN - 2)
        for x, y in pixels.astype(int):
            image[SIDE - y - 2 : SIDE - y, x : x + 2] = color


def _replace_rare_values(tokenizer: Tokenizer, table: pa.Table) -> pa.Table:
    """Return the table with the values that the tokenizer decodes, without rare ones."""
    u = np.full((tokenizer.num_decode_uniforms, len(table)), 0.5)
    return pa.Table.from_batches([tokenizer.decode(tokenizer.encode(table, seed=0), u)])


def _mean_and_deviation(features: Floats) -> tuple[Floats, Floats]:
    """Return the mean and deviation of each feature's finite values; there may be none."""
    finite = np.isfinite(features)
    count = np.maximum(finite.sum(0), 1)
    mean = np.where(finite, features, 0.0).sum(0) / count
    centered = np.where(finite, features - mean, 0.0)
    return mean, np.sqrt((centered**2).sum(0) / count) + 1e-9


def _standardize(features: Floats, mean: Floats, scale: Floats) -> Floats:
    standardized = np.where(np.isfinite(features), (features - mean) / scale, 0.0)
    return np.clip(standardized, -5, 5)


def _is_number(arrow: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_temporal(arrow)
    )


def _most_frequent(values: pa.ChunkedArray) -> list[str]:
    if _is_number(values.type):
        return []
    value_counts = as_text(values.combine_chunks()).value_counts().to_pylist()
    categories = [pair for pair in value_counts if pair["values"] is not None]
    categories.sort(key=lambda pair: (-pair["counts"], pair["values"]))
    return [pair["values"] for pair in categories[:MAX_CATEGORIES]]


def _features(
    tokenizer: Tokenizer, categories: dict[str, list[str]], rows: pa.Table | pa.RecordBatch
) -> Floats:
    """Return (N, F) features: numbers unchanged, categories one-hot encoded."""
    parts = []
    for name in tokenizer.column_names:
        values = array(rows, name)
        if _is_number(values.type):
            parts.append(as_floats(values))
        else:
            text = np.array(as_text(values).to_pylist(), dtype=object)
            parts += [(text == category).astype(np.float64) for category in categories[name]]
    if not parts:  # all values are missing
        parts = [np.zeros(rows.num_rows)]
    return np.stack(parts, 1)
