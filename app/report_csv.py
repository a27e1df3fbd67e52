"""CSV export of a report's statistics.

There is one line for each column, label and side (real or synthetic), and one for each value of a
category.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any

from app.schemas.reports import Report
from app.value_format import format_duration, format_value

STATISTIC_NAMES = ("count", "missing", "mean", "std", "min", "q25", "median", "q75", "max")
CSV_COLUMNS = ("column", "type", "label", "side", "value", "share", *STATISTIC_NAMES)
TEXT_COLUMNS = ("column", "label", "value")  # their text comes from the dataset

# A spreadsheet evaluates cells with these prefixes as formulas (OWASP, "CSV Injection").
FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")


def render_csv(report: Report) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, restval="")
    writer.writeheader()
    for line in _lines(report):
        writer.writerow(line | {name: _escape_formula(line.get(name)) for name in TEXT_COLUMNS})
    return out.getvalue()


def _escape_formula(text: str | None) -> str:
    """Put an apostrophe before text that a spreadsheet would evaluate as a formula."""
    text = text or ""
    return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text


def _lines(report: Report) -> Iterator[dict[str, Any]]:
    for row in report.statistics:
        key = {"column": row.column, "type": row.type, "label": row.label}
        for side, fields in (("real", row.real), ("synthetic", row.synthetic)):
            values = fields.model_dump(exclude_none=True)
            statistics = {name: values[name] for name in STATISTIC_NAMES if name in values}
            statistics = format_time_statistics(statistics, row.type)
            yield {**key, "side": side, **statistics}
            for value, share in values.get("shares", {}).items():
                yield {**key, "side": side, "value": value, "share": share}


def format_time_statistics(statistics: dict[str, Any], type: str | None) -> dict[str, Any]:
    """Convert microseconds to dates, times of day or durations.

    The standard deviation of dates is in days. Statistics of other types are unchanged.
    """
    if type not in ("datetime", "time", "duration"):
        return statistics
    values = {
        name: format_value(value, type)
        for name, value in statistics.items()
        if name not in ("count", "missing", "std")
    }
    if (std := statistics.get("std")) is None:
        return statistics | values
    spread = round(std / 86_400e6, 3) if type == "datetime" else format_duration(std)
    return {**statistics, **values, "std": spread}
