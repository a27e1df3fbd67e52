"""Identifier columns: only their format is learned, and samples get new unique values."""

import math
import string
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MAX_EXAMINED_VALUES = 10_000
# A character position gets the first alphabet that contains all characters seen there.
ALPHABETS = (
    string.digits,
    string.digits + "abcdef",
    string.digits + "ABCDEF",
    string.ascii_uppercase,
    string.ascii_lowercase,
    string.digits + string.ascii_uppercase,
    string.digits + string.ascii_lowercase,
    string.digits + string.ascii_letters,
)


@dataclass(frozen=True)
class IdColumn:
    """An identifier column: consecutive integers, or strings of a fixed format."""

    name: str
    arrow: pa.DataType
    next_integer: int  # integers: larger than any value seen
    alphabets: tuple[str, ...]  # strings: the possible characters at each position

    @classmethod
    def fit(
        cls, name: str, arrow: pa.DataType, values: pa.Array, min_value_count: int = 0
    ) -> "IdColumn":
        """Learn the format.

        With `min_value_count`, characters that fewer strings share are not used, and new integers
        start at the next power of ten above those that at least `min_value_count` rows reach.
        """
        if pa.types.is_integer(arrow):
            return cls(name, arrow, _first_free(values, min_value_count), ())
        seen = [
            str(value) for value in values[:MAX_EXAMINED_VALUES].to_pylist() if value is not None
        ]
        if not seen:
            return cls(name, arrow, 0, (string.digits,) * 8)
        length = Counter(map(len, seen)).most_common(1)[0][0]
        positions = zip(*(value for value in seen if len(value) == length), strict=True)
        characters = (_common(position, min_value_count) for position in positions)
        return cls(
            name, arrow, 0, tuple(_alphabet(seen_characters) for seen_characters in characters)
        )

    @property
    def capacity(self) -> int:
        """Return the number of strings that have this format."""
        return math.prod(len(alphabet) for alphabet in self.alphabets)

    def values(self, seed: int, indices: NDArray[np.int64]) -> pa.Array:
        """Return one value for each index; different indices have different values."""
        if pa.types.is_integer(self.arrow):
            return pa.array([self.next_integer + int(i) for i in indices]).cast(self.arrow)
        texts = [self._text(seed, int(i)) for i in indices]
        return pa.array(texts, pa.string()).cast(self.arrow)

    def _text(self, seed: int, index: int) -> str:
        """Return string `index` of a permutation of all strings of this format.

        The permutation steps through them by a stride that is coprime to their number. When all
        strings are used, they repeat with a numeric suffix.
        """
        capacity = self.capacity
        repetition, index = divmod(index, capacity)
        stride = int(capacity * 0.6180339887) | 1
        while math.gcd(stride, capacity) != 1:
            stride += 2
        position = (index * stride + seed * 0x9E3779B97F4A7C15) % capacity
        characters = []
        for alphabet in self.alphabets:
            position, character = divmod(position, len(alphabet))
            characters.append(alphabet[character])
        return "".join(characters) + (f"-{repetition}" if repetition else "")

    def to_json(self) -> dict[str, Any]:
        return {"next_integer": self.next_integer, "alphabets": list(self.alphabets)}


def _first_free(values: pa.Array, min_value_count: int) -> int:
    """Return the first integer for new values; see `IdColumn.fit`."""
    present = values.drop_null()
    if len(present) < max(min_value_count, 1):
        return 0
    if not min_value_count:
        largest: int = pa.compute.max(present).as_py()
        return largest + 1
    ascending = present.take(pa.compute.sort_indices(present))
    # At least `min_value_count` rows reach this value.
    reached: int = ascending[len(ascending) - min_value_count].as_py()
    return int(10 ** len(str(max(reached, 0))))


def _common(characters: tuple[str, ...], min_value_count: int) -> set[str]:
    """Return the characters that `min_value_count` strings have here, or all digits if none."""
    return {c for c, n in Counter(characters).items() if n >= min_value_count} or set(string.digits)


def _alphabet(seen: set[str]) -> str:
    if len(seen) == 1:
        return next(iter(seen))
    for alphabet in ALPHABETS:
        if seen <= set(alphabet):
            return alphabet
    return "".join(sorted(seen))
