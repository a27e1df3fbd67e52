"""Values of requests: as samples show them, or plain."""

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from modalities.tabular.request_values import (
    describe_invalid,
    plain_conditions,
    plain_row,
    plain_value,
    with_example,
)
from modalities.tabular.schema import Column
from models.tabular.conditions.condition import Alternatives, InvalidCondition

DOLLARS = Column("a", "number", decimals=2, format="$#,##0.00")
BLANK = Column("a", "integer", decimals=0, format="$#,##0 ")
CLOCK = Column("a", "time", format="%-I:%M %p")
LOCAL = Column("a", "datetime", format="%Y-%m-%dT%H:%M:%S+01:00")


@pytest.mark.parametrize(
    ("column", "value", "plain"),
    [
        (DOLLARS, "$1,200", 1200.0),
        (DOLLARS, "1200.5", 1200.5),
        (DOLLARS, 1200, 1200),
        (BLANK, "$92,368 ", 92_368),
        (BLANK, "$92,368", 92_368),
        (BLANK, " $92,368", 92_368),
        (BLANK, "92368", 92_368),
        (DOLLARS, "a lot", "a lot"),
        (Column("a", "number", decimals=2, format="#.##0,00 €"), "1.200,50 €", 1200.5),
        (Column("a", "number", decimals=1, format="0.0%"), "59.3%", 59.3),
        (Column("a", "integer", decimals=0), "12", 12),
        (Column("a", "datetime", format="%-m/%-d/%Y"), "06/01/2024", "2024-06-01T00:00:00.000000"),
        (Column("a", "datetime", format="%-m/%-d/%Y"), "2024-06-01", "2024-06-01T00:00:00.000000"),
        (Column("a", "datetime", format="Q%q %Y"), "Q3 2024", "2024-07-01T00:00:00.000000"),
        (Column("a", "datetime", format="%s", arrow="int64"), 0, "1970-01-01T00:00:00.000000"),
        (LOCAL, "2024-06-01T01:00:00+01:00", "2024-06-01T00:00:00.000000"),
        (CLOCK, "6:30 PM", 66_600_000_000),
        (CLOCK, "18:30", 66_600_000_000),
        (CLOCK, 9, "9"),  # not nine microseconds after midnight
        (LOCAL, 2024.5, "2024.5"),
        (Column("a", "datetime", format="%Y"), 2024, "2024-01-01T00:00:00.000000"),
        (Column("a", "duration", format="[h]:mm:ss"), "26:00:00", 93_600_000_000),
        (Column("a", "category"), 2139, "2139"),
        (Column("a", "boolean", format="no|yes"), "Yes", True),
        (DOLLARS, None, None),
    ],
)
def test_value_as_samples_show_it_becomes_plain(column: Column, value: Any, plain: Any) -> None:
    assert plain_value(column, value) == plain


def test_conditions_and_partial_rows_are_converted_by_column() -> None:
    columns = [DOLLARS, Column("b", "category")]
    where = {"a": {"gte": "$1,000", "lt": 2000}, "b": ["x", "y"], "unknown": "$5"}
    assert plain_conditions(columns, where) == {
        "a": {"gte": 1000.0, "lt": 2000},
        "b": ["x", "y"],
        "unknown": "$5",
    }
    assert plain_row(columns, {"a": "$7", "b": None}) == {"a": 7.0, "b": None}


@pytest.mark.parametrize(
    ("column", "message", "shown"),
    [
        (
            Column("a", "datetime", format="%-m/%-d/%Y %-I:%M %p"),
            "must be a date, such as 2024-05-31",
            "must be a date, such as 5/31/2024 2:30 PM, or 2024-05-31",
        ),
        (
            Column("a", "time", format="hmm"),
            "must be a time of day, such as 14:30:00",
            "must be a time of day, such as 1430, or 14:30:00",
        ),
        (
            Column("a", "duration", format="[h]h [m]m"),
            "must be a duration, such as 1:30:00",
            "must be a duration, such as 1h 30m, or 1:30:00",
        ),
        (
            Column("a", "datetime", format="%Y-%m-%d"),
            "must be a date, such as 2024-05-31 or 2024-05-31T14:30:00",
            "must be a date, such as 2024-05-31 or 2024-05-31T14:30:00",
        ),
        (Column("a", "integer"), "must be an integer", "must be an integer"),
        (BLANK, "must be an integer", "must be an integer, such as $1,234"),
        (DOLLARS, "must be a number", "must be a number, such as $1,234.50"),
        (Column("b", "time", format="%H:%M"), "must be a time of day, such as 14:30:00", ""),
    ],
)
def test_a_message_has_an_example_in_the_form_of_the_column(
    column: Column, message: str, shown: str
) -> None:
    assert with_example([column], "a", message) == (shown or message)


def test_a_refused_value_is_answered_with_possible_ones_in_the_form_of_the_file() -> None:
    column = Column("day", "datetime", format="%d-%m-%y")
    ends = pa.array([datetime(2014, 1, 3), datetime(2017, 12, 30)], pa.timestamp("us"))  # noqa: DTZ001
    error = InvalidCondition("day", "its values are", Alternatives(ends, "range"))
    assert describe_invalid([column], error) == "its values are from 03-01-14 to 30-12-17"
    assert describe_invalid([], error) == "its values are from 2014-01-03 to 2017-12-30"
    texts = Alternatives(pa.array(["A", "B"]), "some")
    error = InvalidCondition("day", "it may be", texts)
    assert describe_invalid([], error) == "it may be 'A', 'B' and others"
