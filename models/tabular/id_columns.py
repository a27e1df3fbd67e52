"""Columns that name their rows: nothing of them is learned but their form, and samples get fresh
values of that form, none of them twice."""

import math
import string
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

MAX_EXAMINED_VALUES = 10_000
# The narrowest set that holds all that was seen at a place stands for it.
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
    name: str
    arrow: pa.DataType
    next_integer: int  # of integers: larger than any that was seen
    alphabets: tuple[str, ...]  # of texts: the characters that each place may hold

    @classmethod
    def fit(
        cls, name: str, arrow: pa.DataType, values: pa.Array, min_value_count: int = 0
    ) -> "IdColumn":
        """Nothing that fewer than `min_value_count` rows have tells the form: fresh integers then begin
        where their digits end."""
        if pa.types.is_integer(arrow):
            return cls(name, arrow, _first_free(values, min_value_count), ())
        seen = [
            str(value) for value in values[:MAX_EXAMINED_VALUES].to_pylist() if value is not None
        ]
        if not seen:
            return cls(name, arrow, 0, (string.digits,) * 8)
        length = Counter(map(len, seen)).most_common(1)[0][0]
        columns = zip(*(value for value in seen if len(value) == length), strict=True)
        places = (_common(column, min_value_count) for column in columns)
        return cls(name, arrow, 0, tuple(_alphabet(place) for place in places))

    @property
    def capacity(self) -> int:
        """How many texts have this form."""
        return math.prod(len(place) for place in self.alphabets)

    def values(self, seed: int, indices: NDArray[np.int64]) -> pa.Array:
        """A value for each number: different numbers, different values."""
        if pa.types.is_integer(self.arrow):
            return pa.array([self.next_integer + int(i) for i in indices]).cast(self.arrow)
        made = [self._text(seed, int(i)) for i in indices]
        return pa.array(made, pa.string()).cast(self.arrow)

    def _text(self, seed: int, index: int) -> str:
        """A walk through all texts of the form, by a step that has no factor in common with their
        number; when all are used, they come again with a number behind."""
        room = self.capacity
        again, index = divmod(index, room)
        step = int(room * 0.6180339887) | 1
        while math.gcd(step, room) != 1:
            step += 2
        place = (index * step + seed * 0x9E3779B97F4A7C15) % room
        text = []
        for alphabet in self.alphabets:
            place, character = divmod(place, len(alphabet))
            text.append(alphabet[character])
        return "".join(text) + (f"-{again}" if again else "")

    def to_json(self) -> dict[str, Any]:
        return {"next_integer": self.next_integer, "alphabets": list(self.alphabets)}


def _first_free(values: pa.Array, min_value_count: int) -> int:
    found = values.drop_null()
    if len(found) < max(min_value_count, 1):
        return 0
    if not min_value_count:
        largest: int = pa.compute.max(found).as_py()
        return largest + 1
    ordered = found.take(pa.compute.sort_indices(found))
    reached: int = ordered[len(ordered) - min_value_count].as_py()  # by `min_value_count` rows
    return int(10 ** len(str(max(reached, 0))))


def _common(column: tuple[str, ...], min_value_count: int) -> set[str]:
    """Characters that enough of them have; any digit where there are none."""
    return {c for c, n in Counter(column).items() if n >= min_value_count} or set(string.digits)


def _alphabet(seen: set[str]) -> str:
    if len(seen) == 1:
        return next(iter(seen))
    for alphabet in ALPHABETS:
        if seen <= set(alphabet):
            return alphabet
    return "".join(sorted(seen))
