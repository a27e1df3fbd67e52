"""Beginnings of postal codes by region, so that new codes fit the state of their row.

A beginning is used for a region if at least three of its rows have it; the rest of a code is new.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MIN_SHARED = 3  # rows of a region with a beginning that is used
MIN_COVERED = 0.5  # share of the codes of a region, by beginnings of one length
MIN_CODES = 0.95  # share of the texts that are postal codes; a few are damaged
MAX_CHARS = 3  # of a beginning
MIN_SAME = 0.8  # share of the rows with the most common first character of their region
MAX_REST = 0.4  # of the rows with another one, relative to those if there were no regions
MAX_COLUMNS = 2  # such as city and state
LEAD = "'"  # with which spreadsheets and shops keep leading zeros
_SEPARATOR = "\x1f"
MIN_REGIONS, MAX_REGIONS = 2, 1_000
POSTAL_NAME = re.compile(
    r"(?i)(?:^|[\W_]|[a-z](?=[A-Z]))(?:zip|postal|post|plz|cep|cap)(?:[\W_]?code|[\W_]?\d|$)|zipcode|"
    r"postcode|postal|codigo[\W_]postal"
)
_CODE = re.compile(
    r"\d{3,6}(?:-\d{4})?|\d{9}|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d"
)


Groups = dict[str, list[str]]  # codes by region


@dataclass(frozen=True)
class RegionPrefixes:
    """Beginnings of codes, with the number of their rows, by region.

    `columns` are those of the regions, such as city and state. `prefixes` has the values of all of
    them, and those of the last column alone for rare combinations.
    """

    columns: tuple[str, ...]
    width: int  # of codes that are written with leading zeros
    prefixes: Mapping[str, tuple[tuple[str, int], ...]]

    @classmethod
    def fit(cls, name: str, codes: pa.Array, regions: Mapping[str, pa.Array]) -> Self | None:
        """Choose the columns of `regions` on which the codes depend the most; None if none do."""
        if not POSTAL_NAME.search(name):
            return None
        all_texts = pc.utf8_ltrim(codes.cast(pa.string()), LEAD).to_pylist()
        texts = [text if text and _CODE.fullmatch(text) else None for text in all_texts]
        present = [text for text in texts if text is not None]
        if not present or len(present) < MIN_CODES * (len(codes) - codes.null_count):
            return None
        is_number = all(map(str.isdigit, present)) and not pa.types.is_string(codes.type)
        width = max(map(len, present)) if is_number else 0
        padded = [None if text is None else text.zfill(width) for text in texts]
        ranked: list[tuple[float, str, Groups]] = []
        for region, values in regions.items():
            groups = group_by_region(padded, region_keys([values]))
            if MIN_REGIONS <= len(groups) <= MAX_REGIONS and _depend(groups):
                ranked.append((_share_of_most_common(groups, 2), region, groups))
        ranked = sorted(ranked, key=lambda each: -each[0])[:MAX_COLUMNS]
        if not ranked:
            return None
        ranked.sort(key=lambda each: -len(each[2]))
        columns = tuple(region for _, region, _ in ranked)
        all_groups = ranked[-1][2] | group_by_region(
            padded, region_keys([regions[name] for name in columns])
        )
        return cls(
            columns, width, {key: shared_beginnings(group) for key, group in all_groups.items()}
        )

    def replace_beginnings(self, codes: pa.Array, rows: pa.RecordBatch) -> pa.Array:
        """Return the codes with the beginnings of the regions of their rows, if these have any."""
        weights = {
            region: ([text for text, _ in pairs], np.cumsum([n for _, n in pairs]))
            for region, pairs in self.prefixes.items()
            if pairs
        }
        regions = [rows.column(name) for name in self.columns]
        keys = zip(region_keys(regions), region_keys(regions[-1:]), strict=True)
        result = []
        for code, (key, coarse) in zip(codes.cast(pa.string()).to_pylist(), keys, strict=True):
            region = weights.get(key or "") or weights.get(coarse or "")
            if code is not None and region:
                beginnings, ends = region
                plain = code.lstrip(LEAD)
                padded = plain.zfill(self.width)
                at = crc32(padded.encode()) / 2**32 * ends[-1]
                beginning = beginnings[int(np.searchsorted(ends, at, side="right"))]
                code = code[: len(code) - len(plain)] + beginning + padded[len(beginning) :]
            result.append(code)
        return pc.cast(pa.array(result, pa.string()), codes.type)

    def to_json(self) -> dict[str, Any]:
        prefixes = {value: [list(pair) for pair in pairs] for value, pairs in self.prefixes.items()}
        return {"columns": list(self.columns), "width": self.width, "prefixes": prefixes}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        prefixes = {
            value: tuple((text, count) for text, count in pairs)
            for value, pairs in fields["prefixes"].items()
        }
        return cls(tuple(fields["columns"]), fields["width"], prefixes)


def region_keys(columns: Sequence[pa.Array]) -> list[str | None]:
    """Return the values of each row in one text; None where one of them is missing."""
    texts = [column.cast(pa.string()) for column in columns]
    keys: list[str | None] = pc.binary_join_element_wise(*texts, _SEPARATOR).to_pylist()
    return keys


def group_by_region(codes: Sequence[str | None], regions: Sequence[str | None]) -> Groups:
    """Return the codes of each region with enough rows."""
    groups: Groups = {}
    for code, region in zip(codes, regions, strict=True):
        if code is not None and region is not None:
            groups.setdefault(region, []).append(code)
    return {region: group for region, group in groups.items() if len(group) >= MIN_SHARED}


def _depend(groups: Mapping[str, Sequence[str]]) -> bool:
    """Return True if the first character of most codes is that of their region."""
    every = _share_of_most_common({"": [code for group in groups.values() for code in group]}, 1)
    same = _share_of_most_common(groups, 1)
    return same >= MIN_SAME and 1 - same <= MAX_REST * (1 - every)


def _share_of_most_common(groups: Mapping[str, Sequence[str]], chars: int) -> float:
    total = sum(map(len, groups.values()))
    common = sum(
        Counter(code[:chars] for code in group).most_common(1)[0][1] for group in groups.values()
    )
    return common / max(1, total)


def shared_beginnings(codes: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Return the longest beginnings that enough codes share."""
    for chars in range(MAX_CHARS, 0, -1):
        counts = Counter(code[:chars] for code in codes)
        shared = {text: n for text, n in counts.items() if n >= MIN_SHARED}
        if sum(shared.values()) >= MIN_COVERED * len(codes):
            return tuple(sorted(shared.items()))
    return ()
