"""Order of day and month in a table whose columns of dates have the same one."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from modalities.tabular.upload.files.spool import ParquetSpool
from modalities.tabular.upload.types.type_inference import InferredColumn

_DATE = re.compile(r"%-?(?P<first>[dm])(?P<mark>[-/.])%-?[dm](?P=mark)%-?(?P<year>[yY])")
_LATE_DAY = "(?:1[3-9]|2[0-9]|3[01])"  # no month
_MIN_DATES = 3  # with such a day: a single date may be a constant


def give_one_order(columns: Sequence[InferredColumn], raw: ParquetSpool) -> None:
    """Read dates that fit several orders in that of the other columns, if these have the same one.

    Only columns with the same separator and length of the year count, and only if several different
    dates show the order.
    """
    dates = [each for each in columns if each.column.type == "datetime" and len(each.readers) == 1]
    ambiguous = [each for each in dates if each.other_formats]
    if not ambiguous:
        return
    certain = [
        (match, each.column.name)
        for each in dates
        if not each.other_formats
        and (match := _DATE.search(each.column.format or ""))
        and _shows_order(match, raw, each.column.name)
    ]
    for inferred in ambiguous:
        formats = (inferred.column.format or "", *inferred.other_formats)
        matches = {format: match for format in formats if (match := _DATE.search(format))}
        sources = [
            (shown["first"], name)
            for shown, name in certain
            if any(_are_alike(match, shown) for match in matches.values())
        ]
        fitting = [f for f, match in matches.items() if match["first"] in dict(sources)]
        if len(fitting) == 1:
            inferred.column = replace(inferred.column, format=fitting[0])
            inferred.readers = (inferred.column,)
            inferred.order_from = sources[0][1]


def _are_alike(a: re.Match[str], b: re.Match[str]) -> bool:
    return (a["mark"], a["year"]) == (b["mark"], b["year"])


def _shows_order(match: re.Match[str], raw: ParquetSpool, name: str) -> bool:
    """Return True if the column has several different dates with a day above 12."""
    mark = re.escape(match["mark"])
    parts = [_LATE_DAY, "[0-9]{1,2}"]
    first, second = parts if match["first"] == "d" else reversed(parts)
    pattern = rf"(?:^|[^0-9])(?P<date>{first}{mark}{second}{mark}[0-9]+)"
    dates: set[str] = set()
    for texts in raw.column(name):
        if texts.type != pa.string():
            return False
        shown = pc.extract_regex(texts.unique().drop_null(), pattern).drop_null()
        dates.update(pc.struct_field(shown, "date").unique().to_pylist())
        if len(dates) >= _MIN_DATES:
            return True
    return False
