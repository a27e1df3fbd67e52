"""Shapes of postal codes by country, such as `99-999` in Poland or `9999 AA` in the Netherlands."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.tabular.identifiers.places.regions import (
    LEAD,
    MAX_REGIONS,
    MIN_REGIONS,
    POSTAL_NAME,
    group_by_region,
    region_keys,
)

# Bits of the shapes of all codes, and of those of a region relative to them.
MIN_BITS, MAX_REST = 0.5, 0.4
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXY"


@dataclass(frozen=True)
class RegionShapes:
    """Shapes of codes, with the number of their rows, by the values of a column.

    A shape has 9 for each digit, A or a for each letter, and the marks of the codes.
    """

    column: str
    shapes: Mapping[str, tuple[tuple[str, int], ...]]

    @classmethod
    def fit(cls, name: str, codes: pa.Array, regions: Mapping[str, pa.Array]) -> Self | None:
        """Choose the column of `regions` that determines the shapes most; None if none does.

        Shapes of a single row are left out.
        """
        if not POSTAL_NAME.search(name) or not pa.types.is_string(codes.type):
            return None
        texts = pc.utf8_ltrim(codes, LEAD).to_pylist()
        shapes = [None if text is None else _shape(text) for text in texts]
        best, most = None, 0.0
        for region, values in regions.items():
            groups = group_by_region(shapes, region_keys([values]))
            if not MIN_REGIONS <= len(groups) <= MAX_REGIONS:
                continue
            rows = sum(map(len, groups.values()))
            every = _bits([shape for group in groups.values() for shape in group])
            within = sum(len(group) * _bits(group) for group in groups.values()) / rows
            if every >= MIN_BITS and within <= MAX_REST * every and every - within > most:
                most, best = every - within, cls(region, _repeated_shapes(groups))
        return best

    def replace_shapes(self, codes: pa.Array, rows: pa.RecordBatch) -> pa.Array:
        """Replace codes of other shapes than those of their region, if this has any."""
        regions = region_keys([rows.column(self.column)])
        result = []
        for code, region in zip(codes.to_pylist(), regions, strict=True):
            shapes = self.shapes.get(region or "", ())
            plain = (code or "").lstrip(LEAD)
            shape = _shape(plain)
            if plain and shape and shapes and shape not in dict(shapes):
                code = code[: len(code) - len(plain)] + _code_of_shape(plain, shapes)
            result.append(code)
        return pa.array(result, codes.type)

    def to_json(self) -> dict[str, Any]:
        shapes = {region: [list(pair) for pair in pairs] for region, pairs in self.shapes.items()}
        return {"column": self.column, "shapes": shapes}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        shapes = {
            region: tuple((shape, count) for shape, count in pairs)
            for region, pairs in fields["shapes"].items()
        }
        return cls(fields["column"], shapes)


def _repeated_shapes(
    groups: Mapping[str, Sequence[str]],
) -> dict[str, tuple[tuple[str, int], ...]]:
    counts = {region: Counter(group).most_common() for region, group in groups.items()}
    return {
        region: tuple((shape, n) for shape, n in pairs if n > 1) for region, pairs in counts.items()
    }


def _shape(code: str) -> str | None:
    """Return the shape of a code; None if it has characters of which a shape would show the text.

    These are letters of other scripts and accented ones.
    """
    shape = re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"\d", "9", code)))
    return shape if shape.isascii() else None


def _bits(shapes: Sequence[str]) -> float:
    """Return the entropy of shapes."""
    shares = np.array(list(Counter(shapes).values())) / len(shapes)
    return float(-(shares * np.log2(shares)).sum())


def _code_of_shape(code: str, shapes: Sequence[tuple[str, int]]) -> str:
    """Return a code of one of the shapes, which depends on another code only."""
    ends = np.cumsum([count for _, count in shapes])
    at = crc32(code.encode()) / 2**32 * ends[-1]
    shape = shapes[int(np.searchsorted(ends, at, side="right"))][0]
    rng = np.random.default_rng(crc32(f"{code} {shape}".encode()))
    numbers = rng.integers(0, 10 * len(_LETTERS), len(shape))
    pools = {"9": "0123456789", "A": _LETTERS, "a": _LETTERS.lower()}
    return "".join(
        pools[mark][number % len(pools[mark])] if mark in pools else mark
        for mark, number in zip(shape, numbers, strict=True)
    )
