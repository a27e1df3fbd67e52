"""A column as tokens: what the networks read and write, and the way back to values.

A column takes one or more steps of a row's sequence. The tokens of its first step are exact_values
(values that stand for themselves), then groups (of rare values, or of neighbouring numbers), then
one for missing. Where the first step gave a group, each further step gives one digit of the place
inside it; elsewhere those steps hold NONE. N is a number of rows, S of steps.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.tabular.schema import UnsupportedColumn

Tokens = NDArray[np.int64]
Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]

NO_SUB_BIN = 0  # a digit's token where there is no group: digit k has token k + 1
MAX_SINGLE_STEP_VALUES = 256  # more values than this become groups and digits


@dataclass(frozen=True)
class TokenLayout:
    exact_values: int
    bins: int = 0
    sub_bins: tuple[int, ...] = ()  # how many there are at each further step
    missing: bool = False

    @property
    def step_sizes(self) -> tuple[int, ...]:
        """Tokens of each step."""
        first = self.exact_values + self.bins + self.missing
        return first, *(size + 1 for size in self.sub_bins)

    @property
    def missing_token(self) -> int:
        return self.exact_values + self.bins

    def is_bin(self, first: Tokens) -> NDArray[np.bool_]:
        """Where the first step's token is a group."""
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
    """One learned column. `draws` tells whether decoding needs a random number of its own."""

    @property
    def name(self) -> str: ...

    @property
    def layout(self) -> TokenLayout: ...

    @property
    def needs_uniform(self) -> bool: ...

    @property
    def positions(self) -> list[Floats]:
        """For each step, where its tokens lie between 0 and 1; NaN for those that lie nowhere."""

    def encode(self, values: pa.Array, rng: np.random.Generator | None) -> Tokens:
        """(N,) values to (S, N). Those that share several places are spread over them by `rng`, or
        all go into the middle."""

    def decode(self, tokens: Tokens, u: Floats) -> pa.Array:
        """(S, N) tokens and (N,) numbers in (0, 1) to (N,) values of the column's own type."""

    def pack(self) -> tuple[dict[str, Any], Arrays]: ...


@dataclass(frozen=True)
class CategoricalColumn:
    """Texts, booleans, and whatever else has only names. The commonest value comes first."""

    name: str
    arrow: pa.DataType
    categories: pa.Array  # of string
    layout: TokenLayout
    counts: tuple[int, ...] = ()  # of the names, if there are rare ones that become one of them

    @classmethod
    def fit(
        cls, name: str, arrow: pa.DataType, values: pa.Array, min_value_count: int = 0
    ) -> "CategoricalColumn":
        """Names that fewer than `min_value_count` rows have are not kept. Raises UnfitColumn when none
        are left."""
        counted = as_text(values).value_counts()
        found = sorted(
            zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True),
            key=lambda pair: (-pair[1], pair[0] or ""),
        )
        present = [pair for pair in found if pair[0] is not None]
        kept = [pair for pair in present if pair[1] >= min_value_count]
        if present and not kept:
            raise UnsupportedColumn(name, f"has no value that {min_value_count} rows have")
        names = pa.array([value for value, _ in kept], pa.string())
        counts = tuple(n for _, n in kept) if len(kept) < len(present) else ()
        missing = values.null_count > 0
        if len(names) <= MAX_SINGLE_STEP_VALUES:
            return cls(name, arrow, names, TokenLayout(len(names), missing=missing), counts)
        steps = int(np.ceil(np.log(len(names)) / np.log(MAX_SINGLE_STEP_VALUES)))
        radix = int(np.ceil(len(names) ** (1 / steps)))
        groups = -(-len(names) // radix ** (steps - 1))
        return cls(
            name, arrow, names, TokenLayout(0, groups, (radix,) * (steps - 1), missing), counts
        )

    @property
    def needs_uniform(self) -> bool:
        return False

    @property
    def positions(self) -> list[Floats]:
        return [np.full(size, np.nan) for size in self.layout.step_sizes]

    def encode(self, values: pa.Array, rng: np.random.Generator | None) -> Tokens:
        """A name that was not kept counts as one of those that were, as common ones as they are;
        one that was never seen as missing, or as the commonest."""
        text = as_text(values)
        found = pa.compute.index_in(text, value_set=self.categories)
        index = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        if self.counts and rng is not None:
            rare = (index < 0) & text.is_valid().to_numpy(zero_copy_only=False)
            shares = np.array(self.counts) / sum(self.counts)
            index[rare] = rng.choice(len(shares), int(rare.sum()), p=shares)
        tokens = np.zeros((len(self.layout.step_sizes), len(index)), np.int64)
        known = index >= 0
        scale = int(np.prod(self.layout.sub_bins, dtype=np.int64))
        tokens[0] = np.where(known, index // scale, 0)
        for step, radix in enumerate(self.layout.sub_bins, start=1):
            scale //= radix
            tokens[step] = np.where(known, index // scale % radix + 1, 1)
        if self.layout.missing:
            tokens[0, ~known] = self.layout.missing_token
            tokens[1:, ~known] = NO_SUB_BIN
        return tokens

    def decode(self, tokens: Tokens, u: Floats) -> pa.Array:
        del u
        index = tokens[0].copy()
        for step, radix in enumerate(self.layout.sub_bins, start=1):
            index = index * radix + np.maximum(tokens[step] - 1, 0)
        gone = tokens[0] >= self.layout.missing_token
        taken = self.categories.take(
            pa.array(np.minimum(index, max(len(self.categories) - 1, 0)), mask=gone)
            if len(self.categories)
            else pa.nulls(len(index), pa.int64())
        )
        return from_text(taken, self.arrow)

    def decode_categories(self) -> pa.Array:
        """All values but missing."""
        return from_text(self.categories, self.arrow)

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        names = self.categories.to_pylist()
        return {"kind": "category", "categories": names, "counts": list(self.counts)}, {}


def as_text(values: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values if values.type == pa.string() else values.cast(pa.string())


def from_text(values: pa.Array, arrow: pa.DataType) -> pa.Array:
    if pa.types.is_null(arrow):
        return pa.nulls(len(values))
    if pa.types.is_dictionary(arrow):
        return values.cast(arrow.value_type).dictionary_encode().cast(arrow)
    return values if arrow == pa.string() else values.cast(arrow)
