"""Ends of places by region, such as `Zaire` of `Kinshasa, Zaire`, so that new places fit their row.

An end is used for a region, such as the country in another column, if at least three of its rows
have it.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from zlib import crc32

import numpy as np
import pyarrow as pa

from models.tabular.identifiers.places.regions import (
    MAX_REGIONS,
    MIN_COVERED,
    MIN_REGIONS,
    MIN_SHARED,
    Groups,
    group_by_region,
    region_keys,
)

MIN_PLACES = 0.6  # share of the texts that have an end
MIN_SAME = 0.5  # share of the rows with the most common end of their region
MAX_REST = 0.6  # of the rows with another one, relative to those if there were no regions
_END = re.compile(r"(?P<place>.*\S, ?)(?P<end>[^,\d]*[^,\d\s])", re.DOTALL)


@dataclass(frozen=True)
class PlaceEnds:
    """Ends, with the number of their rows, by the value of `column`."""

    column: str
    ends: Mapping[str, tuple[tuple[str, int], ...]]

    @classmethod
    def fit(cls, texts: pa.Array, regions: Mapping[str, pa.Array]) -> Self | None:
        """Choose the column of `regions` on which the ends depend the most; None if none does."""
        ends = [None if text is None else _end_of(text) for text in texts.to_pylist()]
        present = [end for end in ends if end is not None]
        if not present or len(present) < MIN_PLACES * (len(texts) - texts.null_count):
            return None
        best: Self | None = None
        most = 0.0
        for name, values in regions.items():
            groups = group_by_region(ends, region_keys([values]))
            if not MIN_REGIONS <= len(groups) <= MAX_REGIONS:
                continue
            same = _share_of_most_common(groups)
            shared = {region: _shared_ends(group) for region, group in groups.items()}
            if same > most and _depend(groups, same) and _cover(shared, groups):
                best, most = cls(name, {key: each for key, each in shared.items() if each}), same
        return best

    def replace_ends(self, texts: pa.Array, rows: pa.RecordBatch) -> pa.Array:
        """Return the places with the ends of the regions of their rows, if these have any."""
        result = []
        regions = region_keys([rows.column(self.column)])
        for text, region in zip(texts.to_pylist(), regions, strict=True):
            ends = self.ends.get(region or "", ())
            match = _END.fullmatch(text) if text is not None and ends else None
            if match is not None:
                limits = np.cumsum([count for _, count in ends])
                at = crc32(text.encode()) / 2**32 * limits[-1]
                text = match["place"] + ends[int(np.searchsorted(limits, at, side="right"))][0]
            result.append(text)
        return pa.array(result, texts.type)

    def to_json(self) -> dict[str, Any]:
        ends = {value: [list(pair) for pair in pairs] for value, pairs in self.ends.items()}
        return {"column": self.column, "ends": ends}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        ends = {
            value: tuple((text, count) for text, count in pairs)
            for value, pairs in fields["ends"].items()
        }
        return cls(fields["column"], ends)


def _end_of(text: str) -> str | None:
    match = _END.fullmatch(text)
    return match and match["end"]


def _share_of_most_common(groups: Groups) -> float:
    common = sum(Counter(group).most_common(1)[0][1] for group in groups.values())
    return common / max(1, sum(map(len, groups.values())))


def _depend(groups: Groups, same: float) -> bool:
    """Return True if many ends are the most common one of their region, more than of all rows."""
    every = _share_of_most_common({"": [end for group in groups.values() for end in group]})
    return same >= MIN_SAME and 1 - same <= MAX_REST * (1 - every)


def _shared_ends(group: Sequence[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((end, n) for end, n in Counter(group).items() if n >= MIN_SHARED))


def _cover(shared: Mapping[str, Sequence[tuple[str, int]]], groups: Groups) -> bool:
    """Return True if most rows have a shared end of their region."""
    num_shared = sum(count for pairs in shared.values() for _, count in pairs)
    return num_shared >= MIN_COVERED * sum(map(len, groups.values()))
