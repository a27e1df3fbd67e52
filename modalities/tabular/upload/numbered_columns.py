"""Columns such as `code`, `code 2` and `code 3`, which hold the values of one list.

The first one is often filled in all rows and the last one in few, so that their numbers of
different values say different things. They get the type of all their values together.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from modalities.tabular.upload.column_stats import ValueCounts
from modalities.tabular.upload.identifier_kinds import is_nearly_unique
from modalities.tabular.upload.spool import ParquetSpool
from modalities.tabular.upload.type_inference import InferredColumn

_NUMBER = re.compile(r"[\W_]*\d{1,2}$")


def give_one_type(
    columns: Sequence[InferredColumn], raw: ParquetSpool, categories_max: int
) -> None:
    """Make identifiers, or categories, of all columns of texts with the same name and a number."""
    groups = defaultdict[str, list[InferredColumn]](list)
    for inferred in columns:
        if _may_change(inferred):
            groups[_NUMBER.sub("", inferred.column.name)].append(inferred)
    for group in groups.values():
        if len({inferred.column.type for inferred in group}) == 2:
            _settle(group, raw, categories_max)


def _may_change(inferred: InferredColumn) -> bool:
    """Return True for texts that have neither a kind, such as e-mail addresses, nor an order."""
    column = inferred.column
    is_text = column.format is None and column.arrow is None and inferred.codes is None
    return is_text and column.type in ("id", "category")


def _settle(group: Sequence[InferredColumn], raw: ParquetSpool, categories_max: int) -> None:
    counts, valid, num_distinct = ValueCounts(), 0, 0
    for inferred in group:
        own = ValueCounts()
        for values in raw.column(inferred.column.name):
            counts.add(values)
            own.add(values)
            valid += len(values) - values.null_count
        num_distinct += own.distinct
    if counts.overflowed or counts.distinct == num_distinct:
        return  # no value is in two columns
    is_rare = is_nearly_unique(counts.distinct, valid) or counts.distinct > categories_max
    for inferred in group:
        inferred.column = replace(inferred.column, type="id" if is_rare else "category")
        inferred.readers = (inferred.column,)
