"""Columns such as `code`, `code 2` and `code 3`, which hold the values of one list.

The first one is often filled in all rows and the last one in few, so that their numbers of
different values say different things. They get the type of all their values together, if most
values of the smaller columns stand in the larger ones.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

import pyarrow.compute as pc

from modalities.tabular.type_casting import MISSING_MARKERS
from modalities.tabular.upload.files.spool import ParquetSpool
from modalities.tabular.upload.types.column_stats import ValueCounts
from modalities.tabular.upload.types.identifier_kinds import is_nearly_unique
from modalities.tabular.upload.types.type_inference import InferredColumn

_NUMBER = re.compile(r"[\W_]*\d{1,2}$")
_GENERATED = "column"  # of files without names
_MIN_SHARED = 0.5  # share of the different values of a column; more of them stand in larger ones


def give_one_type(
    columns: Sequence[InferredColumn], raw: ParquetSpool, categories_max: int
) -> None:
    """Make identifiers, or categories, of all columns of texts with the same name and a number."""
    groups = defaultdict[str, list[InferredColumn]](list)
    for inferred in columns:
        stem = _NUMBER.sub("", inferred.column.name)
        is_name = stem != _GENERATED and any(map(str.isalpha, stem))  # unlike 2019 and 2020
        if is_name and _may_change(inferred):
            groups[stem].append(inferred)
    for group in groups.values():
        if len({inferred.column.type for inferred in group}) == 2:
            _settle(group, raw, categories_max)


def _may_change(inferred: InferredColumn) -> bool:
    """Return True for texts that have neither a kind, such as e-mail addresses, nor an order."""
    column = inferred.column
    is_text = column.format is None and column.arrow is None and inferred.codes is None
    return is_text and column.type in ("id", "category")


def _settle(group: Sequence[InferredColumn], raw: ParquetSpool, categories_max: int) -> None:
    """Give one type to the columns that share most of their values, beginning with the largest."""
    counted = [(inferred, _count(inferred, raw)) for inferred in group]
    if any(counts.overflowed for _, counts in counted):
        return
    counted.sort(key=lambda pair: pair[1].distinct, reverse=True)
    of_one_list: list[InferredColumn] = []
    values: set[Hashable] = set()
    valid = 0
    for inferred, counts in counted:
        own = counts.values.keys()
        if not of_one_list or len(own & values) > _MIN_SHARED * len(own):
            of_one_list.append(inferred)
            values |= own
            valid += sum(counts.values.values())
    if len(of_one_list) < 2:
        return
    is_rare = is_nearly_unique(len(values), valid) or len(values) > categories_max
    for inferred in of_one_list:
        inferred.column = replace(inferred.column, type="id" if is_rare else "category")
        inferred.readers = (inferred.column,)


def _count(inferred: InferredColumn, raw: ParquetSpool) -> ValueCounts:
    """Count the values of a column without words such as `none`, which all columns may have."""
    counts = ValueCounts()
    for values in raw.column(inferred.column.name):
        is_missing = MISSING_MARKERS.contains(values)
        counts.add(values.filter(pc.invert(is_missing)))
    return counts
