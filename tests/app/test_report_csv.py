"""The statistics of a report as CSV."""

import csv
import io

from app.report_csv import render_csv
from app.schemas.reports import ColumnStatistics, Report


def test_names_that_look_like_formulas_are_escaped() -> None:
    names = ("=1+1", "+x", "@SUM(A1)", "-", "-2", "\t=1", "plain", "a,=b", "")
    shares = dict.fromkeys(names, 0.1)
    rows = [
        ColumnStatistics(
            column="=cmd|x",
            real={"count": 2, "missing": 0, "shares": shares},
            synthetic={"count": 0, "missing": 2},
        ),
        ColumnStatistics(
            column="n",
            label="=label",
            real={"count": 2, "missing": 0, "min": -3.5},
            synthetic={"count": 0, "missing": 2},
        ),
    ]
    report = Report(model="mdl_1", reference="m:1", state="evaluated", statistics=rows)
    lines = list(csv.DictReader(io.StringIO(render_csv(report), newline="")))
    values = [line["value"] for line in lines if line["share"]]
    assert values == ["'=1+1", "'+x", "'@SUM(A1)", "'-", "'-2", "'\t=1", "plain", "a,=b", ""]
    assert {line["column"] for line in lines} == {"'=cmd|x", "n"}
    number = next(line for line in lines if line["column"] == "n" and line["side"] == "real")
    # A negative number is not a formula.
    assert (number["label"], number["min"]) == ("'=label", "-3.5")


def test_dates_times_of_day_and_durations_are_not_microseconds() -> None:
    numbers = {"count": 2, "missing": 0, "mean": 30_660e6, "std": 5_400e6}
    expected = {
        "datetime": ("1970-01-01", "0.062"),
        "time": ("08:31:00", "01:30:00"),
        "duration": ("08:31:00", "01:30:00"),
        "number": ("30660000000.0", "5400000000.0"),
    }
    rows = [
        ColumnStatistics(column="c", type=type, real=numbers, synthetic=numbers)
        for type in expected
    ]
    report = Report(model="mdl_1", reference="m:1", state="evaluated", statistics=rows)
    lines = csv.DictReader(io.StringIO(render_csv(report), newline=""))
    found = {line["type"]: (line["mean"], line["std"]) for line in lines}
    assert found == expected
