"""The statistics of a report as CSV."""

import csv
import io

from app.report_table import csv_of
from app.schemas.reports import Report, Statistics


def test_a_spreadsheet_finds_no_formula_in_names_that_look_like_one() -> None:
    names = ("=1+1", "+x", "@SUM(A1)", "-", "-2", "\t=1", "plain", "a,=b", "")
    shares = dict.fromkeys(names, 0.1)
    rows = [
        Statistics(column="=cmd|x", real={"count": 2, "shares": shares}, synthetic={}),
        Statistics(column="n", label="=label", real={"count": 2, "min": -3.5}, synthetic={}),
    ]
    report = Report(model="mdl_1", reference="m:1", state="measured", statistics=rows)
    lines = list(csv.DictReader(io.StringIO(csv_of(report), newline="")))
    told = [line["value"] for line in lines if line["share"]]
    assert told == ["'=1+1", "'+x", "'@SUM(A1)", "'-", "'-2", "'\t=1", "plain", "a,=b", ""]
    assert {line["column"] for line in lines} == {"'=cmd|x", "n"}
    number = next(line for line in lines if line["column"] == "n" and line["side"] == "real")
    assert (number["label"], number["min"]) == ("'=label", "-3.5")  # a number is none
