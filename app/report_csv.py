"""The statistics of a report as CSV: a line for each column, label and side, and for each value of
a category."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from app.schemas.reports import Report
from app.svg_charts import format_date

STATISTIC_NAMES = ("count", "missing", "mean", "std", "min", "q25", "median", "q75", "max")
CSV_COLUMNS = ("column", "type", "label", "side", "value", "share", *STATISTIC_NAMES)
TEXT_COLUMNS = ("column", "label", "value")  # come from the data


FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r")  # how what a spreadsheet would run begins


def render_csv(report: Report) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, restval="")
    writer.writeheader()
    for line in _lines(report):
        writer.writerow(line | {name: _escape_formula(line.get(name)) for name in TEXT_COLUMNS})
    return out.getvalue()


def _escape_formula(name: str | None) -> str:
    """A name of the data's, with an apostrophe before what would be a formula."""
    name = name or ""
    return f"'{name}" if name.startswith(FORMULA_PREFIXES) else name


def _lines(report: Report) -> Iterator[dict[str, Any]]:
    for row in report.statistics:
        about = {"column": row.column, "type": row.type, "label": row.label}
        for side, found in (("real", row.real), ("synthetic", row.synthetic)):
            known = {name: found[name] for name in STATISTIC_NAMES if name in found}
            yield {
                **about,
                "side": side,
                **(format_datetime_statistics(known) if row.type == "datetime" else known),
            }
            for value, share in found.get("shares", {}).items():
                yield {**about, "side": side, "value": value, "share": share}


def format_datetime_statistics(statistics: dict[str, Any]) -> dict[str, Any]:
    """Of times: dates, and a standard deviation in days."""
    spread = {"std": round(statistics["std"] / 86_400e6, 3)} if "std" in statistics else {}
    dates = {
        name: format_date(value)
        for name, value in statistics.items()
        if name not in ("count", "missing", "std")
    }
    return {**statistics, **dates, **spread}
