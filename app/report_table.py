"""The statistics of a report as CSV: a line for each column, label and side, and for each value of
a category."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from app.plots import day
from app.schemas.reports import Report

FIGURES = ("count", "missing", "mean", "std", "min", "q25", "median", "q75", "max")
HEADER = ("column", "type", "label", "side", "value", "share", *FIGURES)
NAMES = ("column", "label", "value")  # come from the data


FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how what a spreadsheet would run begins


def csv_of(report: Report) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, HEADER, restval="")
    writer.writeheader()
    for line in _lines(report):
        writer.writerow(line | {name: _inert(line.get(name)) for name in NAMES})
    return out.getvalue()


def _inert(name: str | None) -> str:
    """A name of the data's, with an apostrophe before what would be a formula."""
    name = name or ""
    return f"'{name}" if name.startswith(FORMULA) else name


def _lines(report: Report) -> Iterator[dict[str, Any]]:
    for row in report.statistics:
        about = {"column": row.column, "type": row.type, "label": row.label}
        for side, found in (("real", row.real), ("synthetic", row.synthetic)):
            known = {name: found[name] for name in FIGURES if name in found}
            yield {**about, "side": side, **(in_days(known) if row.type == "datetime" else known)}
            for value, share in found.get("shares", {}).items():
                yield {**about, "side": side, "value": value, "share": share}


def in_days(figures: dict[str, Any]) -> dict[str, Any]:
    """Of times: dates, and a standard deviation in days."""
    spread = {"std": round(figures["std"] / 86_400e6, 3)} if "std" in figures else {}
    dates = {
        name: day(value)
        for name, value in figures.items()
        if name not in ("count", "missing", "std")
    }
    return {**figures, **dates, **spread}
