"""Columns as tokens: the interface of a tokenized column, and categorical columns.

A column takes one or more steps of a row. The tokens of its first step are `exact_values` (values
with a token of their own), then bins (groups of categories, or intervals of numbers), then one
token for missing. If the first step selected a bin, each further step selects a sub-bin: one digit
of the position inside the bin. Otherwise the further steps hold NO_SUB_BIN. Shapes: N rows, S
steps.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.schema import UnsupportedColumn

Tokens = NDArray[np.int64]
Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

NO_SUB_BIN = 0  # token of a sub-bin step where the first step is not a bin; sub-bin k is k + 1
MAX_SIMILAR_VALUES = 3  # in an error message
MAX_SINGLE_STEP_VALUES = 256  # columns with more categories use bins and sub-bins


@dataclass(frozen=True)
class TokenLayout:
    exact_values: int
    bins: int = 0
    sub_bins: tuple[int, ...] = ()  # number of sub-bins of each further step
    missing: bool = False

    @property
    def step_sizes(self) -> tuple[int, ...]:
        """Return the number of tokens of each step."""
        first = self.exact_values + self.bins + self.missing
        return first, *(size + 1 for size in self.sub_bins)

    @property
    def missing_token(self) -> int:
        return self.exact_values + self.bins

    def is_bin(self, first: Tokens) -> NDArray[np.bool_]:
        """Return the mask of first-step tokens that are bins."""
        return (first >= self.exact_values) & (first < self.exact_values + self.bins)

    def to_json(self) -> dict[str, Any]:
        return {
            "exact_values": self.exact_values,
            "bins": self.bins,
            "sub_bins": list(self.sub_bins),
            "missing": self.missing,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TokenLayout":
        return cls(**{**values, "sub_bins": tuple(values["sub_bins"])})


class Column(Protocol):
    """One learned column.

    `needs_uniform`: decoding needs a uniform per row, for the position within a bin.
    """

    @property
    def name(self) -> str: ...

    @property
    def layout(self) -> TokenLayout: ...

    @property
    def needs_uniform(self) -> bool: ...

    @property
    def positions(self) -> list[Floats]:
        """Return each step's token positions in [0, 1]; NaN for tokens without an order."""

    @property
    def fine_positions(self) -> list[Floats | None]:
        """Return the positions in [0, 1] of the cells of each further step, if these have some.

        A cell is a pair of a bin and a sub-bin, numbered bin * sub_bins + sub_bin.
        """

    def encode(self, values: pa.Array, rng: np.random.Generator | None) -> Tokens:
        """Map (N,) values to (S, N) tokens.

        A value that several tokens can represent is assigned to one of them at random with
        `rng`, or to the middle one without it.
        """

    def decode(self, tokens: Tokens, u: Floats) -> pa.Array:
        """Map (S, N) tokens and (N,) uniforms to (N,) values of the column's Arrow type."""

    def pack(self) -> tuple[dict[str, Any], Arrays]: ...


@dataclass(frozen=True)
class CategoricalColumn:
    """A column of strings, booleans or other values without an order.

    Categories are sorted by frequency, the most frequent first.
    """

    name: str
    arrow: pa.DataType
    categories: pa.Array  # of string
    layout: TokenLayout
    counts: tuple[int, ...] = ()  # of the categories; empty unless rare values were dropped

    @classmethod
    def fit(
        cls, name: str, arrow: pa.DataType, values: pa.Array, min_value_count: int = 0
    ) -> "CategoricalColumn":
        """Fit the categories, without values that occur in fewer than `min_value_count` rows.

        Raises UnsupportedColumn if no category is left.
        """
        value_counts = as_text(values).value_counts()
        by_frequency = sorted(
            zip(value_counts.field(0).to_pylist(), value_counts.field(1).to_pylist(), strict=True),
            key=lambda pair: (-pair[1], pair[0] or ""),
        )
        present = [pair for pair in by_frequency if pair[0] is not None]
        frequent = [pair for pair in present if pair[1] >= min_value_count]
        if present and not frequent:
            raise UnsupportedColumn(name, f"no value occurs in at least {min_value_count} rows")
        categories = pa.array([value for value, _ in frequent], pa.string())
        counts = tuple(n for _, n in frequent) if len(frequent) < len(present) else ()
        missing = values.null_count > 0
        if len(categories) <= MAX_SINGLE_STEP_VALUES:
            return cls(
                name, arrow, categories, TokenLayout(len(categories), missing=missing), counts
            )
        steps = int(np.ceil(np.log(len(categories)) / np.log(MAX_SINGLE_STEP_VALUES)))
        radix = int(np.ceil(len(categories) ** (1 / steps)))
        bins = -(-len(categories) // radix ** (steps - 1))
        return cls(
            name, arrow, categories, TokenLayout(0, bins, (radix,) * (steps - 1), missing), counts
        )

    @property
    def needs_uniform(self) -> bool:
        return False

    @property
    def positions(self) -> list[Floats]:
        return [np.full(size, np.nan) for size in self.layout.step_sizes]

    @property
    def fine_positions(self) -> list[Floats | None]:
        return [None] * len(self.layout.sub_bins)

    def encode(self, values: pa.Array, rng: np.random.Generator | None) -> Tokens:
        """Encode (N,) values as (S, N) tokens.

        With `rng`, a value without a token (rare or unseen) becomes a category drawn at random by
        frequency, if rare values were dropped. Otherwise it becomes missing, or the most frequent
        category if the column has no missing values.
        """
        text = as_text(values)
        matches = pa.compute.index_in(text, value_set=self.categories)
        index = matches.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        if self.counts and rng is not None:
            rare = (index < 0) & text.is_valid().to_numpy(zero_copy_only=False)
            frequencies = np.array(self.counts) / sum(self.counts)
            index[rare] = rng.choice(len(frequencies), int(rare.sum()), p=frequencies)
        tokens = np.zeros((len(self.layout.step_sizes), len(index)), np.int64)
        has_token = index >= 0
        scale = int(np.prod(self.layout.sub_bins, dtype=np.int64))
        tokens[0] = np.where(has_token, index // scale, 0)
        for step, radix in enumerate(self.layout.sub_bins, start=1):
            scale //= radix
            tokens[step] = np.where(has_token, index // scale % radix + 1, 1)
        if self.layout.missing:
            tokens[0, ~has_token] = self.layout.missing_token
            tokens[1:, ~has_token] = NO_SUB_BIN
        return tokens

    def decode(self, tokens: Tokens, u: Floats) -> pa.Array:
        del u
        index = tokens[0].copy()
        for step, radix in enumerate(self.layout.sub_bins, start=1):
            index = index * radix + np.maximum(tokens[step] - 1, 0)
        is_missing = tokens[0] >= self.layout.missing_token
        categories = self.categories.take(
            pa.array(np.minimum(index, max(len(self.categories) - 1, 0)), mask=is_missing)
            if len(self.categories)
            else pa.nulls(len(index), pa.int64())
        )
        return from_text(categories, self.arrow)

    def decode_categories(self) -> pa.Array:
        """Return all values except missing."""
        return from_text(self.categories, self.arrow)

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        categories = self.categories.to_pylist()
        return {"kind": "category", "categories": categories, "counts": list(self.counts)}, {}


def similar_values(column: Column, values: Iterable[pa.Scalar]) -> str:
    """Return a phrase for an error message with the column's values that resemble `values`."""
    if not isinstance(column, CategoricalColumn):
        return ""
    return similar_texts(column.categories.to_pylist(), column.arrow, map(str, values))


def similar_texts(categories: Sequence[str], arrow: pa.DataType, texts: Iterable[str]) -> str:
    """Return a phrase for an error message with the `categories` that resemble `texts`."""
    texts = [text.lower() for text in texts]
    by_lower = {each.lower(): each for each in categories}
    contained = [by_lower[each] for each in by_lower for text in texts if text and text in each]
    close = [by_lower[each] for text in texts for each in get_close_matches(text, by_lower)]
    similar = list(dict.fromkeys([*contained, *close, *categories]))[:MAX_SIMILAR_VALUES]
    if pa.types.is_primitive(arrow):
        return f"; its values are others, such as {', '.join(similar)}"
    return f"; its values are text, such as {', '.join(map(repr, similar))}"


def as_text(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values if values.type == pa.string() else values.cast(pa.string())


def from_text(values: pa.Array, arrow: pa.DataType) -> pa.Array:
    if pa.types.is_null(arrow):
        return pa.nulls(len(values))
    if pa.types.is_dictionary(arrow):
        return values.cast(arrow.value_type).dictionary_encode().cast(arrow)
    if pa.types.is_time(arrow):  # which Arrow reads as a part of a datetime only
        dated = pa.compute.binary_join_element_wise("1970-01-01", values, " ")
        return dated.cast(pa.timestamp(arrow.unit)).cast(arrow)
    return values if arrow == pa.string() else values.cast(arrow)


def have_same_text(a: pa.Array, b: pa.Array) -> NDArray[np.bool_]:
    """Return the (N,) mask of values with the same text, or that are both missing."""
    texts = as_text(a), as_text(b)
    both_missing = pa.compute.and_(*(text.is_null() for text in texts))
    is_same = pa.compute.or_(pa.compute.equal(*texts).fill_null(False), both_missing)
    return np.asarray(is_same.to_numpy(zero_copy_only=False), bool)
