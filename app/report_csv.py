"""CSV export of a report's statistics.

There is one line for each column, label and side (real or synthetic), and one for each value of a
category.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any

from app.schemas.reports import Report
from app.value_format import format_date

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
            if row.type == "datetime":
                statistics = format_datetime_statistics(statistics)
            yield {**key, "side": side, **statistics}
            for value, share in values.get("shares", {}).items():
                yield {**key, "side": side, "value": value, "share": share}


def format_datetime_statistics(statistics: dict[str, Any]) -> dict[str, Any]:
    """Convert microseconds since 1970 to dates, and the standard deviation to days."""
    spread = {"std": round(statistics["std"] / 86_400e6, 3)} if "std" in statistics else {}
    dates = {
        name: format_date(value)
        for name, value in statistics.items()
        if name not in ("count", "missing", "std")
    }
    return {**statistics, **dates, **spread}
