"""Texts that consist of several numbers, such as `120/80`, `12 (3.4%)` or `1.4 ± 0.2`.

The numbers are not learned together with the other columns of a row, but new texts have numbers of
the same sizes: each one is drawn between quantiles, in dependence on the first number of its text.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.noise import Indices, uniforms
from models.tabular.identifiers.templates import OTHER_NOISE, choose

MAX_SHAPES = 12
MIN_SHAPE_FRACTION = 0.005  # of the texts; rarer shapes are left out
MIN_SHAPE_COUNT = 3
MIN_BIN = 10  # texts in each bin of the first number
MAX_BINS = 16
_QUANTILES = np.linspace(0.01, 0.99, 25)  # the extreme values could identify a row
MIN_DISORDER = 0.02  # share of the numbers that are out of order in other texts
NUMBER = re.compile(
    r"(?:(?<![^\s(\[,;:=/])[-\u2212])?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?"
)


@dataclass(frozen=True)
class Part:
    """Form of one number: decimals, digits with leading zeros, and the thousands mark.

    `sign` is 1 or -1 if the number is the first one plus or minus a number without a sign. `low`
    and `high` are the limits of new numbers.
    """

    decimals: int
    is_trimmed: bool  # without zeros at the end
    width: int  # of whole numbers with leading zeros
    has_marks: bool
    low: float
    high: float
    sign: int = 0

    def write(self, value: float) -> str:
        text = f"{value:,.{self.decimals}f}" if self.has_marks else f"{value:.{self.decimals}f}"
        if self.is_trimmed and self.decimals:
            text = text.rstrip("0").rstrip(".")
        return text.removeprefix("-" if not float(text.replace(",", "")) else "").zfill(self.width)


@dataclass(frozen=True)
class Shape:
    """Texts with the same marks between their numbers.

    `quantiles` (B, P, Q) are those of each number in each bin of the first one, all in equal shares
    of the texts.
    """

    marks: tuple[str, ...]
    parts: tuple[Part, ...]
    weight: float
    quantiles: NDArray[np.float64]

    @classmethod
    def fit(cls, marks: tuple[str, ...], texts: Sequence[str], weight: float) -> Self:
        numbers = [NUMBER.findall(text) for text in texts]
        columns = [list(column) for column in zip(*numbers, strict=True)]
        values = np.array([[_value(number) for number in row] for row in numbers])
        parts = []
        for i, column in enumerate(columns):
            sign = _order(values[:, 0], values[:, i]) if i else 0
            parts.append(_part(column, values[:, i], sign))
            values[:, i] = abs(values[:, i] - values[:, 0]) if sign else values[:, i]
        if not parts:  # a word instead of numbers
            return cls(marks, (), weight, np.zeros((1, 0, len(_QUANTILES))))
        order = np.argsort(values[:, 0], kind="stable")
        bins = np.array_split(order, max(1, min(MAX_BINS, len(texts) // MIN_BIN)))
        quantiles = [np.quantile(values[rows], _QUANTILES, axis=0).T for rows in bins]
        return cls(marks, tuple(parts), weight, np.array(quantiles))

    def texts(self, noise: NDArray[np.float64]) -> list[str]:
        """Return one text for each row of uniform numbers (N, 1 + P)."""
        if not self.parts:
            return [self.marks[0]] * len(noise)
        bins = np.minimum((noise[:, 0] * len(self.quantiles)).astype(int), len(self.quantiles) - 1)
        at = np.linspace(0, 1, self.quantiles.shape[2])
        values = np.empty((len(noise), len(self.parts)))
        for i in range(len(self.parts)):
            for b in range(len(self.quantiles)):
                rows = bins == b
                values[rows, i] = np.interp(noise[rows, 1 + i], at, self.quantiles[b, i])
            decimals = max(self.parts[i].decimals, self.parts[0].decimals)
            values[:, i] = np.round(values[:, i], decimals)
            if self.parts[i].sign:
                values[:, i] = values[:, 0] + self.parts[i].sign * values[:, i]
            values[:, i] = np.clip(values[:, i], self.parts[i].low, self.parts[i].high)
        written = [
            [part.write(value) for value in values[:, i]] for i, part in enumerate(self.parts)
        ]
        return [
            self.marks[0]
            + "".join(number + mark for number, mark in zip(row, self.marks[1:], strict=True))
            for row in zip(*written, strict=True)
        ]


@dataclass(frozen=True)
class Quantities:
    """New texts of a column of quantities; different rows may have the same text."""

    shapes: tuple[Shape, ...]

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Self:
        counts = Counter(map(marks_of, texts))
        minimum = max(MIN_SHAPE_COUNT, MIN_SHAPE_FRACTION * len(texts))
        common = [marks for marks, n in counts.most_common(MAX_SHAPES) if n >= minimum]
        shapes = [
            Shape.fit(marks, [text for text in texts if marks_of(text) == marks], counts[marks])
            for marks in common
        ]
        return cls(tuple(shapes))

    def texts(self, seed: int, stream: int, indices: Indices) -> pa.StringArray:
        size = 1 + max(len(shape.parts) for shape in self.shapes)
        noise = uniforms(seed, indices, OTHER_NOISE + size, stream)
        chosen = choose([shape.weight for shape in self.shapes], noise[:, 1])
        texts = np.empty(len(indices), object)
        for i, shape in enumerate(self.shapes):
            rows = chosen == i
            texts[rows] = shape.texts(noise[rows, OTHER_NOISE:])
        return pa.array(texts, pa.string())

    def to_json(self) -> dict[str, Any]:
        shapes = [
            {
                "marks": list(shape.marks),
                "parts": [list(vars(part).values()) for part in shape.parts],
                "weight": shape.weight,
                "quantiles": shape.quantiles.tolist(),
            }
            for shape in self.shapes
        ]
        return {"quantities": shapes}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        shapes = [
            Shape(
                tuple(shape["marks"]),
                tuple(Part(*part) for part in shape["parts"]),
                shape["weight"],
                np.reshape(
                    shape["quantiles"],
                    (len(shape["quantiles"]), len(shape["parts"]), len(_QUANTILES)),
                ),
            )
            for shape in fields["quantities"]
        ]
        return cls(tuple(shapes))


def marks_of(text: str) -> tuple[str, ...]:
    """Return the texts before, between and after the numbers of a text."""
    return tuple(NUMBER.split(text))


def _value(number: str) -> float:
    return float(number.replace(",", "").replace("\u2212", "-"))


def _order(first: NDArray[np.float64], other: NDArray[np.float64]) -> int:
    """Return 1 or -1 if all numbers are at least, or at most, the first one of their text.

    Return 0 if this also holds for the numbers of different texts, which do not depend on them.
    """
    for sign in (1, -1):
        if (sign * (other - first) >= 0).all():
            shuffled = np.roll(other, len(other) // 2)
            return sign if (sign * (shuffled - first) < 0).mean() > MIN_DISORDER else 0
    return 0


def _part(numbers: Sequence[str], values: NDArray[np.float64], sign: int) -> Part:
    low, high = np.quantile(values, _QUANTILES[[0, -1]])
    decimals = [len(number.partition(".")[2]) for number in numbers]
    wholes = [number.lstrip("-\u2212") for number in numbers]
    is_padded = any(re.match(r"0\d", whole) for whole in wholes)
    width = min(map(len, wholes)) if is_padded else 0
    return Part(
        decimals=min(max(decimals), 9),
        is_trimmed=len(set(decimals)) > 1,
        width=width,
        has_marks=any("," in number for number in numbers),
        low=float(low),
        high=float(high),
        sign=sign,
    )
