"""A picture of rows: real ones as black points, made ones as red, where two numbers place them.
Where rare values are protected, real ones are left out: a point alone is one row's."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from models.tabular.autoregressive_sampler import TokenSampler
from models.tabular.categorical_columns import Floats, as_text
from models.tabular.data import LabeledRows
from models.tabular.tokenizer import Tokenizer

MAX_POINTS = 500
SIDE, MARGIN = 320, 12  # pixels
MAX_CATEGORIES = 8  # of a category, the commonest: each is a direction of its own
REAL, SYNTHETIC = (0, 0, 0), (214, 39, 40)


@dataclass(frozen=True)
class ScatterPreview:
    """Points are placed by the two columns there are, or by the two main components of all columns
    (Pearson 1901), found once, so that the pictures of a run can be compared."""

    tokenizer: Tokenizer
    categories: dict[str, list[str]]
    mean: Floats  # (F,)
    scale: Floats
    components: Floats  # (F, 2)
    real: Floats  # (N, 2)
    shows_real: bool

    @classmethod
    def fit(cls, rows: LabeledRows, tokenizer: Tokenizer, min_value_count: int = 0) -> Self:
        some = np.random.default_rng(0).permutation(rows.train)[:MAX_POINTS]
        table = rows.take(np.sort(some))
        if min_value_count:
            table = _as_learned(tokenizer, table)
        names = {c.name: _commonest(table.column(c.name)) for c in tokenizer.columns}
        numbers = _numbers(tokenizer, names, table)
        middle, scale = _moments(numbers)
        filled = _filled(numbers, middle, scale)
        directions = np.eye(filled.shape[1], 2)  # a single column lies on a line
        if filled.shape[1] > 2:
            components = np.linalg.svd(filled, full_matrices=False)[2][:2].T
            directions[:, : components.shape[1]] = components
        return cls(
            tokenizer, names, middle, scale, directions, filled @ directions, not min_value_count
        )

    def render(self, sampler: TokenSampler, seed: int) -> NDArray[np.uint8]:
        """(SIDE, SIDE, 3). The same random numbers each time."""
        noise = torch.Generator().manual_seed(seed)
        tokens, places = sampler.sample(
            torch.rand(sampler.num_uniforms, MAX_POINTS, generator=noise), {}
        )
        made = self.tokenizer.decode(tokens.numpy(), places.numpy().astype(np.float64))
        numbers = _numbers(self.tokenizer, self.categories, made)
        sheet = np.full((SIDE, SIDE, 3), 255, np.uint8)
        if self.shows_real:
            self._mark(sheet, self.real, REAL)
        self._mark(sheet, _filled(numbers, self.mean, self.scale) @ self.components, SYNTHETIC)
        return sheet

    def _mark(self, sheet: NDArray[np.uint8], points: Floats, colour: tuple[int, int, int]) -> None:
        """Two by two pixels each; what lies beyond the real points is put at the edge."""
        low, high = self.real.min(0), self.real.max(0)
        share = (points - low) / np.maximum(high - low, 1e-9)
        place = MARGIN + np.clip(share, -0.03, 1.03) * (SIDE - 2 * MARGIN - 2)
        for x, y in place.astype(int):
            sheet[SIDE - y - 2 : SIDE - y, x : x + 2] = colour


def _as_learned(tokenizer: Tokenizer, table: pa.Table) -> pa.Table:
    """With common values in place of rare ones."""
    u = np.full((tokenizer.num_decode_uniforms, len(table)), 0.5)
    return pa.Table.from_batches([tokenizer.decode(tokenizer.encode(table, seed=0), u)])


def _moments(numbers: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of each column's finite numbers; there may be none."""
    finite = np.isfinite(numbers)
    count = np.maximum(finite.sum(0), 1)
    middle = np.where(finite, numbers, 0.0).sum(0) / count
    apart = np.where(finite, numbers - middle, 0.0)
    return middle, np.sqrt((apart**2).sum(0) / count) + 1e-9


def _filled(numbers: Floats, middle: Floats, scale: Floats) -> Floats:
    filled = np.where(np.isfinite(numbers), (numbers - middle) / scale, 0.0)
    return np.clip(filled, -5, 5)


def _is_number(arrow: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(arrow) or pa.types.is_floating(arrow) or pa.types.is_timestamp(arrow)
    )


def _commonest(values: pa.ChunkedArray) -> list[str]:
    if _is_number(values.type):
        return []
    counted = as_text(values.combine_chunks()).value_counts().to_pylist()
    found = [pair for pair in counted if pair["values"] is not None]
    found.sort(key=lambda pair: (-pair["counts"], pair["values"]))
    return [pair["values"] for pair in found[:MAX_CATEGORIES]]


def _numbers(
    tokenizer: Tokenizer, names: dict[str, list[str]], rows: pa.Table | pa.RecordBatch
) -> Floats:
    """(N, F): a number as it is, a name as one of several zeros and a one."""
    parts = []
    for column in tokenizer.columns:
        values = rows.column(column.name)
        if isinstance(values, pa.ChunkedArray):
            values = values.combine_chunks()
        if _is_number(values.type):
            if pa.types.is_timestamp(values.type):
                values = values.cast(pa.int64())
            parts.append(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
        else:
            text = np.array(as_text(values).to_pylist(), dtype=object)
            parts += [(text == name).astype(np.float64) for name in names[column.name]]
    if not parts:  # nothing but missing values
        parts = [np.zeros(rows.num_rows)]
    return np.stack(parts, 1)
