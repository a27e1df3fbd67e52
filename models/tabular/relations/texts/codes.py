"""Codes of the values of other columns in identifiers, such as `FUR` of `Furniture`."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.tabular.relations.rows import array
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.ways import (
    CODE,
    CODE_DATE_WAYS,
    OPTIONAL_WAYS,
    REST,
    SAME,
    text_in_way,
)

MAX_KEYS_SHARE = 0.2  # different values of a column that has codes, per row
MAX_KEYS = 1_000
ROWS_PER_CODE = 5
MIN_SAMPLE_EVIDENCE = 20.0  # bits, of the examined rows
_RUNS = re.compile(r"[^\W\d_]+|\d+|.", re.DOTALL)

Part = tuple[str, str]  # a column and its way


def runs_of(text: str) -> list[str]:
    """Return the runs of letters, the runs of digits and the marks of a text."""
    return _RUNS.findall(text)


def class_of(run: str) -> str:
    """Return what a run consists of: letters, digits, or a mark."""
    return "a" if run[0].isalpha() else "9" if run[0].isdecimal() else run


class CodeFinder:
    """Finds the column that determines a run of letters or digits in the texts of some rows."""

    def __init__(self, rows: pa.Table, num_values: Mapping[Part, int]) -> None:
        """Prepare the columns whose numbers of values in the whole table are given."""
        ordered = sorted(num_values, key=lambda part: num_values[part])
        self._keys = {
            part: text_in_way(array(rows, part[0]), part[1]).to_pylist() for part in ordered
        }

    def find(self, runs: Sequence[str]) -> Part | None:
        """Return the part with the fewest values of which the runs are codes, or None."""
        if len({class_of(run) for run in runs}) > 1 or not runs[0].isalnum():
            return None
        if len(set(runs)) < 2:
            return None
        for part, keys in self._keys.items():
            codes = dict(zip(keys, runs, strict=True))
            evidence = bits_per_row(runs) * (len(runs) - len(codes))
            are_codes = all(codes[key] == run for key, run in zip(keys, runs, strict=True))
            if are_codes and evidence >= MIN_SAMPLE_EVIDENCE:
                return part[0], CODE + part[1]
        return None


def bits_per_row(texts: Sequence[str]) -> float:
    """Return the bits of evidence of a text that agrees with another one of the same shares."""
    _, counts = np.unique(np.array(texts, object), return_counts=True)
    return -float(np.log2(((counts / len(texts)) ** 2).sum()))


def count_values(table: pa.Table, types: Mapping[str, str]) -> dict[Part, int]:
    """Return the columns that may have codes, and how many values they have."""
    most = min(MAX_KEYS, MAX_KEYS_SHARE * len(table))
    return {part: n for part, n in _counted(table, types) if 1 < n <= most}


def _counted(table: pa.Table, types: Mapping[str, str]) -> Iterator[tuple[Part, int]]:
    for name in table.column_names:
        values = array(table, name)
        if values.null_count or types[name] not in ("category", "boolean", "integer", "datetime"):
            continue
        is_date = pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)
        for way in CODE_DATE_WAYS if is_date else (SAME,):
            yield (name, way), pc.count_distinct(text_in_way(values, way)).as_py()


def with_codes(joined: JoinedText, table: pa.Table) -> JoinedText:
    """Return a joined text with the codes of all values, which a few rows of each value show.

    A value of which all of these rows are exceptions has no code.
    """
    joined = replace(joined, codes=())
    coded = [i for i, way in enumerate(joined.ways) if way.startswith(CODE)]
    if not coded:
        return joined
    has_text = array(table, joined.column).is_valid().to_numpy(zero_copy_only=False)
    keys = {i: _keys(joined, table, i) for i in coded}
    chosen = np.unique(
        np.concatenate([_rows_of_each(keys[i], np.flatnonzero(has_text)) for i in coded])
    )
    rows = table.take(pa.array(chosen))
    given = [
        [None] * len(rows)
        if way == REST or i in coded or way in OPTIONAL_WAYS
        else joined.part(i, array(rows, joined.sources[i])).to_pylist()
        for i, way in enumerate(joined.ways)
    ]
    seen: list[dict[str, Counter[str]]] = [{} for _ in joined.ways]
    for text, row, *parts in zip(
        array(rows, joined.column).to_pylist(), chosen, *given, strict=True
    ):
        split = joined.split(text, parts)
        if split is None:
            continue
        for i in coded:
            seen[i].setdefault(keys[i][row], Counter())[split[i]] += 1
    codes = ({key: counts.most_common(1)[0][0] for key, counts in each.items()} for each in seen)
    return replace(joined, codes=tuple(codes))


def _keys(joined: JoinedText, table: pa.Table, index: int) -> list[str]:
    way = joined.ways[index].removeprefix(CODE)
    texts: list[str] = text_in_way(array(table, joined.sources[index]), way).to_pylist()
    return texts


def _rows_of_each(keys: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a few random ones of the rows with each key: exceptions are often the first ones."""
    rows = np.random.default_rng(0).permutation(rows)
    _, key = np.unique(np.array(keys, object)[rows], return_inverse=True)
    order = np.argsort(key, kind="stable")
    starts = np.searchsorted(key[order], key[order])
    return rows[order[np.arange(len(rows)) - starts < ROWS_PER_CODE]]
