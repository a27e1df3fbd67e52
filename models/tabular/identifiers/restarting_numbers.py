"""Numbers that count up again for each value of another column, such as `9` in `AZ-9`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from zlib import crc32

import pyarrow as pa
import pyarrow.compute as pc

MAX_DIFFERENT = 0.5  # numbers per row
MAX_KEYS = 1_000  # values of the other column


def are_restarting(rests: pa.Array) -> bool:
    """Return True for numbers of different lengths that several rows share, such as 1 to 53."""
    rests = rests.drop_null()
    if not len(rests) or pc.count_distinct(rests).as_py() > MAX_DIFFERENT * len(rests):
        return False
    lengths = pc.min_max(pc.utf8_length(rests)).as_py()
    are_numbers = pc.all(pc.match_substring_regex(rests, "^[0-9]{1,9}$")).as_py()
    return are_numbers and lengths["min"] < lengths["max"]


@dataclass(frozen=True)
class RestartingNumbers:
    """The largest number of each value of `column`."""

    column: str
    largest: Mapping[str, int]

    @classmethod
    def fit(cls, rests: pa.Array, name: str, column: pa.Array) -> Self | None:
        """Return the largest of the (N,) `rests` by the (N,) values of a column, if these are few.

        Rests that are no numbers are missing.
        """
        largest: dict[str, int] = {}
        keys = column.cast(pa.string()).to_pylist()
        for rest, key in zip(rests.to_pylist(), keys, strict=True):
            if rest is not None and key is not None:
                largest[key] = max(largest.get(key, 0), int(rest))
        return cls(name, largest) if 1 < len(largest) <= MAX_KEYS else None

    def within(self, rests: pa.Array, rows: pa.RecordBatch) -> pa.Array:
        """Return the rests, with numbers from 1 to the largest one instead of larger ones."""
        keys = rows.column(self.column).cast(pa.string()).to_pylist()
        result = []
        for rest, key in zip(rests.to_pylist(), keys, strict=True):
            largest = self.largest.get(key or "", 0)
            if rest is not None and rest.isdecimal() and int(rest) > largest > 0:
                number = str(1 + crc32(f"{key}{rest}".encode()) % largest)
                rest = number.zfill(len(rest)) if rest.startswith("0") else number
            result.append(rest)
        return pa.array(result, rests.type)

    def to_json(self) -> dict[str, Any]:
        return {"column": self.column, "largest": dict(self.largest)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        return cls(fields["column"], fields["largest"])
