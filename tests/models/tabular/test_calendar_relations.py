"""Columns that follow from a date, and dates that are spread over columns."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidCondition, InvalidPartialRow
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.planning import plan_coding
from models.tabular.relations.relation import Relation
from models.tabular.schema import ColumnSchema, ColumnType
from tests.models.tabular.tiny_tables import train_sampler

N = 1_200
RNG = np.random.default_rng(4)
DAYS = [date(2015, 7, 1) + timedelta(int(i)) for i in RNG.integers(0, 793, N)]
TICKS = RNG.integers(0, 24, N) * np.timedelta64(1, "h")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def spreadsheet_week(day: date) -> int:
    """Return the week of a date: 1 January is in the first one, and weeks begin on Sundays."""
    first = day.replace(month=1, day=1)
    return ((day - first).days + first.isoweekday() % 7) // 7 + 1


WEEKS = {
    "iso_week": lambda day: day.isocalendar().week,
    "week_U": lambda day: int(day.strftime("%U")),
    "week_W": lambda day: int(day.strftime("%W")),
    "weeknum": spreadsheet_week,
}
NUMBERS = {
    **WEEKS,
    "iso_year": lambda day: day.isocalendar().year,
    "day_of_year": lambda day: day.timetuple().tm_yday,
    "two_digit_year": lambda day: day.year % 100,
}


def types_of(table: pa.Table) -> dict[str, ColumnType]:
    types: dict[str, ColumnType] = {}
    for field in table.schema:
        if pa.types.is_integer(field.type):
            types[field.name] = "integer"
        else:
            types[field.name] = "datetime" if pa.types.is_temporal(field.type) else "category"
    return types


def names_of(table: pa.Table, **options: int) -> list[str]:
    relations = detect_relations(table, types_of(table), **options)
    return [relation.name for relation in relations]


def coding_of(table: pa.Table) -> RelationCoding:
    return plan_coding(detect_relations(table, types_of(table)), table, ())


def round_trip(coding: RelationCoding, table: pa.Table) -> pa.Table:
    coded = RelationCoding.unpack(coding.pack()).encode(table)
    batch = coded.combine_chunks().to_batches()[0]
    return pa.Table.from_batches([coding.decode(batch, table.schema)])


def schema_of(table: pa.Table) -> tuple[ColumnSchema, ...]:
    return tuple(ColumnSchema(name, type) for name, type in types_of(table).items())


def spread(days: list[date], **columns: Any) -> pa.Table:
    """Return a table with the parts of dates as columns."""
    parts = {name: [getattr(day, name) for day in days] for name in ("year", "month", "day")}
    return pa.table(parts | columns)


@pytest.mark.parametrize("part", NUMBERS)
@pytest.mark.parametrize("min_value_count", [0, 5])
def test_numbers_that_follow_from_a_date_are_parts_of_it(part: str, min_value_count: int) -> None:
    numbers = [NUMBERS[part](day) for day in DAYS]
    times = np.array(DAYS, "M8[us]") + TICKS
    table = pa.table({"at": times, "n": numbers})
    options = {"min_value_count": min_value_count}
    assert f"{part}(at) = n" in names_of(table, **options)
    assert round_trip(coding_of(table), table) == table
    assert coding_of(table).encode(table).column_names == ["at"]
    in_columns = spread(DAYS, n=numbers)
    name = f"{part}(year, month, day) = n"
    if part == "two_digit_year":  # the year is a column
        assert "year -> n" in names_of(in_columns, **options)
    else:
        assert name in names_of(in_columns, **options)
    assert round_trip(coding_of(in_columns), in_columns) == in_columns
    assert "n" not in coding_of(in_columns).encode(in_columns).column_names


def test_first_days_of_periods_follow_from_a_time() -> None:
    times = np.array(DAYS, "M8[us]") + TICKS
    days = np.array(DAYS, "M8[D]")
    weeks = days - (days.astype(int) + 3) % 7
    for part, first in {"first_of_month": times.astype("M8[M]"), "first_of_week": weeks}.items():
        table = pa.table({"at": times, "period": first.astype("M8[us]")})
        assert f"{part}(at) = period" in names_of(table)
        assert round_trip(coding_of(table), table) == table


def test_weeks_of_dates_that_no_training_row_has_follow_the_calendar() -> None:
    relation = Relation(
        "date_part", ("y", "m", "d", "week"), part="iso_week", roles=("year", "month", "day")
    )
    rows = pa.table({"y": [2016, 2019], "m": [1, 12], "d": [3, 30], "week": [53, 1]})
    assert relation.holds(rows).all()
    late = rows.set_column(3, "week", pa.array([1, 1]))
    assert list(relation.holds(late)) == [False, True]


MONTH_NAMES = {
    "English": "%B",
    "short": "%b",
    "padded": "%m",
}


@pytest.mark.parametrize("form", MONTH_NAMES.values(), ids=MONTH_NAMES)
@pytest.mark.parametrize("year_form", ["%Y", "%y"])
def test_months_may_be_texts_and_years_may_have_two_digits(form: str, year_form: str) -> None:
    table = pa.table(
        {
            "arrival_date_year": [int(day.strftime(year_form)) for day in DAYS],
            "arrival_date_month": [day.strftime(form) for day in DAYS],
            "arrival_date_day_of_month": [day.day for day in DAYS],
            "arrival_date_week_number": [spreadsheet_week(day) for day in DAYS],
        }
    )
    columns = "arrival_date_year, arrival_date_month, arrival_date_day_of_month"
    names = names_of(table)
    assert f"valid_date({columns})" in names
    assert f"weeknum({columns}) = arrival_date_week_number" in names
    assert round_trip(coding_of(table), table) == table


def test_months_of_other_languages_are_read() -> None:
    french = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"
    months = [french.split()[day.month - 1] for day in DAYS]
    days = [day.day for day in DAYS]
    assert names_of(pa.table({"mois": months, "jour": days})) == ["valid_date(mois, jour)"]


@pytest.mark.parametrize(
    "names",
    [
        ("Month", "Day"),
        ("month", "date_of_month"),
        ("birthMonth", "birthDay"),
        ("MONTH", "DAY_OF_MONTH"),
        ("Month", "DayofMonth"),
    ],
)
def test_month_and_day_alone_are_valid_dates(names: tuple[str, str]) -> None:
    month, day = names
    table = pa.table({month: [d.month for d in DAYS], day: [d.day for d in DAYS]})
    assert f"valid_date({month}, {day})" in names_of(table)
    relation = Relation("valid_date", names, roles=("month", "day"))
    rows = pa.table({month: [6, 2, 2, 12, None], day: [31, 29, 30, 31, 31]})
    assert list(relation.holds(rows)) == [False, True, False, True, True]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("month", "day_of_week"),
        ("month", "dose"),
        ("birth_month", "death_day"),
        ("weeks", "day"),
        ("month1", "day2"),
    ],
)
def test_other_numbers_are_not_a_date(first: str, second: str) -> None:
    table = pa.table({first: [d.month for d in DAYS], second: [d.day for d in DAYS]})
    assert not any("valid_date" in name for name in names_of(table))


def test_columns_with_one_impossible_date_are_not_a_date() -> None:
    table = spread([*DAYS, date(2016, 1, 30)])
    broken = table.set_column(1, "month", pa.array([*table["month"].to_pylist()[:-1], 2]))
    assert "valid_date(year, month, day)" in names_of(table)
    assert not any("valid_date" in name for name in names_of(broken))


def test_days_that_every_month_has_need_no_check() -> None:
    early = [day.replace(day=min(day.day, 28)) for day in DAYS]
    assert not any("valid_date" in name for name in names_of(spread(early)))


def test_numbers_of_dates_may_be_written_in_very_many_ways() -> None:
    zeros = RNG.integers(0, 1_000, (3, N))
    table = spread(DAYS)
    texts = [
        [f"{'0' * count}{number}" for count, number in zip(each, column.to_pylist(), strict=True)]
        for each, column in zip(zeros, table.columns, strict=True)
    ]
    assert "valid_date(year, month, day)" in names_of(pa.table(texts, names=table.column_names))


def test_a_leap_day_may_be_in_a_row_without_a_year() -> None:
    relation = Relation("valid_date", ("year", "month", "day"), roles=("year", "month", "day"))
    rows = pa.table({"year": [2015, None, None], "month": [2, 2, 2], "day": [29, 29, 30]})
    assert list(relation.holds(rows)) == [False, True, False]


def test_rows_without_a_part_keep_their_values() -> None:
    weeks = [spreadsheet_week(day) for day in DAYS]
    table = spread(DAYS, week=weeks)
    incomplete = pa.table(
        {
            name: pa.array(column.to_pylist(), mask=RNG.random(N) < 0.1)
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    )
    names = names_of(incomplete)
    assert {"valid_date(year, month, day)", "weeknum(year, month, day) = week"} <= set(names)
    assert round_trip(coding_of(incomplete), incomplete) == incomplete


def test_parts_of_a_date_column_are_not_a_date_of_their_own() -> None:
    table = spread(DAYS, date=np.array(DAYS, "M8[us]"))
    assert [relation.name for relation in coding_of(table).relations] == [
        "year(date) = year",
        "month(date) = month",
        "day(date) = day",
    ]


def sampled_dates(rows: pa.RecordBatch) -> list[date]:
    """Return the dates of rows; raises ValueError if one does not exist."""
    parts = (rows.column(name).to_pylist() for name in ("year", "month", "day"))
    return [date(*each) for each in zip(*parts, strict=True)]


def test_samples_have_only_valid_dates_with_their_weeks(tmp_path: Path) -> None:
    weeks = [day.isocalendar().week for day in DAYS]
    table = spread(DAYS, week=weeks, amount=RNG.integers(0, 500, N))
    sampler = train_sampler(table, schema_of(table), tmp_path)
    rows = sampler.sample(1, np.arange(2_000)).rows
    expected = [day.isocalendar().week for day in sampled_dates(rows)]
    assert rows.column("week").to_pylist() == expected
    for conditions in ({"month": 2}, {"day": 31}, {"week": 9}):
        rows = sampler.sample(1, np.arange(50), conditions).rows
        expected = [day.isocalendar().week for day in sampled_dates(rows)]
        assert rows.column("week").to_pylist() == expected
    given = [{"year": 2016, "month": 2}, {"day": 31}, {"week": 9}, {"month": 2, "day": 29}]
    partial_rows = PartialRows.parse(sampler.tokenizer, given)
    rows = complete_rows(sampler, 1, np.arange(len(given)), partial_rows).rows
    days = sampled_dates(rows)
    assert (days[0].month, days[1].day) == (2, 31)
    assert days[3] == date(2016, 2, 29)
    assert [day.isocalendar().week for day in days] == rows.column("week").to_pylist()
    with pytest.raises(InvalidPartialRow, match="valid_date"):
        PartialRows.parse(sampler.tokenizer, [{"year": 2015, "month": 2, "day": 29}])


ORDERS = [("year", "month", "day", "weekday"), ("weekday", "month", "day", "year")]


@pytest.mark.parametrize("names", ORDERS, ids=["weekday last", "weekday first"])
@pytest.mark.parametrize("any_order", [0.0, 0.5], ids=["in order", "any order"])
def test_weekdays_of_spread_dates_are_learned_and_fit(
    names: tuple[str, ...], any_order: float, tmp_path: Path
) -> None:
    """Sampling restricts the tokens, so that few rows are rejected."""
    weekdays = [WEEKDAYS[day.weekday()] for day in DAYS]
    table = spread(DAYS, weekday=weekdays).select(names)
    sampler = train_sampler(
        table, schema_of(table), tmp_path, random_order_prob=any_order, steps=30
    )
    assert [column.name for column in sampler.tokenizer.columns] == list(names)
    batch = sampler.sample(1, np.arange(500))
    assert batch.acceptance_rate > 0.99
    assert min(DAYS) <= min(sampled_dates(batch.rows))
    assert max(DAYS) >= max(sampled_dates(batch.rows))
    checked = [
        sampler.sample(1, np.arange(40), conditions).rows
        for conditions in ({"weekday": "Sun"}, {"day": 31}, {"month": 2, "weekday": "Mon"})
    ]
    given = [
        {"year": 2016, "day": 29, "month": 2},
        {"year": 2031, "month": 4},  # no training row has this year
        {"weekday": "Sun", "month": 2},
        {"day": 31},
    ]
    partial_rows = PartialRows.parse(sampler.tokenizer, given)
    checked.append(complete_rows(sampler, 1, np.arange(4), partial_rows).rows)
    for rows in (batch.rows, *checked):
        expected = [WEEKDAYS[day.weekday()] for day in sampled_dates(rows)]
        assert rows.column("weekday").to_pylist() == expected
    assert checked[-1].column("weekday")[0].as_py() == "Mon"


@pytest.mark.parametrize(("rows", "architecture"), [(100, "autoregressive"), (N, "gan")])
def test_weekdays_of_spread_dates_follow_from_them_without_masks(
    rows: int, architecture: str, tmp_path: Path
) -> None:
    """Days of few rows have no tokens of their own, and one architecture has no masks."""
    days = DAYS[:rows]
    table = spread(days, weekday=[WEEKDAYS[day.weekday()] for day in days])
    sampler = train_sampler(table, schema_of(table), tmp_path, steps=30, architecture=architecture)
    batch = sampler.sample(1, np.arange(300))
    expected = [WEEKDAYS[day.weekday()] for day in sampled_dates(batch.rows)]
    assert batch.rows.column("weekday").to_pylist() == expected
    assert batch.acceptance_rate > 0.4
    assert min(days) <= min(sampled_dates(batch.rows))


def dated(days: list[date], **columns: Any) -> pa.Table:
    return pa.table({"at": np.array(days, "M8[us]"), **columns})


@pytest.mark.parametrize("arrow", [pa.date32(), pa.timestamp("s"), pa.timestamp("us")])
def test_dates_with_weekdays_are_learned_as_weeks(arrow: pa.DataType) -> None:
    times = np.array(DAYS, "M8[us]") + TICKS * (arrow != pa.date32())
    times -= np.timedelta64(70 * 365, "D") * (RNG.random(N) < 0.5)  # before 1970, too
    weekdays = np.array(WEEKDAYS)[(times.astype("M8[D]").astype(int) + 3) % 7]
    numbers = (times.astype("M8[D]").astype(int) + 3) % 7
    for column in (weekdays, numbers, numbers + 1):
        table = pa.table({"at": pa.array(times).cast(arrow), "weekday": column})
        coded = coding_of(table).encode(table)
        assert coded.column_names == ["at", "weekday"]
        days, weeks = (
            len(each["at"].cast(pa.timestamp("s")).cast(pa.date32(), safe=False).unique())
            for each in (table, coded)
        )
        assert weeks < 0.3 * days
        assert round_trip(coding_of(table), table) == table


def test_other_columns_of_samples_depend_on_the_day_of_the_week(tmp_path: Path) -> None:
    numbers = np.array([day.weekday() for day in DAYS])
    sales = np.where(numbers == 6, 0, 100) + RNG.integers(0, 50, N)
    table = dated(DAYS, weekday=np.array(WEEKDAYS)[numbers], sales=sales)
    sampler = train_sampler(table, schema_of(table), tmp_path, steps=300)
    rows = sampler.sample(1, np.arange(1_000)).rows
    weekdays = [WEEKDAYS[day.weekday()] for day in rows.column("at").to_pylist()]
    assert rows.column("weekday").to_pylist() == weekdays
    sampled = rows.column("sales").to_numpy()
    is_sunday = np.array(weekdays) == "Sun"
    assert sampled[is_sunday].mean() < 50 < 100 < sampled[~is_sunday].mean()


@pytest.mark.parametrize(
    ("label", "any_order"), [(None, 0.0), (None, 0.5), ("weekday", 0.5)], ids=str
)
def test_conditions_and_partial_rows_may_have_weekdays_or_dates(
    label: str | None, any_order: float, tmp_path: Path
) -> None:
    weekdays = [WEEKDAYS[day.weekday()] for day in DAYS]
    table = dated(DAYS, weekday=weekdays, amount=RNG.integers(0, 500, N))
    sampler = train_sampler(
        table, schema_of(table), tmp_path, label=label, steps=30, random_order_prob=any_order
    )
    conditions = [
        {"weekday": "Sun"},
        {"at": {"gte": "2016-02-01", "lt": "2016-03-01"}},
        {"at": {"gt": "2017-08-01"}, "weekday": ["Tue", "Wed"]},
        {"at": "2016-02-29T00:00:00"},
        {"at": ["2016-02-29T00:00:00", "2016-03-02T00:00:00"]},
    ]
    batches = [sampler.sample(1, np.arange(30), each) for each in conditions]
    given = [{"weekday": "Sun"}, {"at": "2016-02-29"}, {"at": "2031-01-01", "amount": 3}]
    partial_rows = PartialRows.parse(sampler.tokenizer, given)
    completion = complete_rows(sampler, 1, np.arange(3), partial_rows)
    completed = completion.rows
    for rows in (completed, *(batch.rows for batch in batches)):
        expected = [WEEKDAYS[day.weekday()] for day in rows.column("at").to_pylist()]
        assert rows.column("weekday").to_pylist() == expected
    assert completed.column("weekday").to_pylist() == ["Sun", "Mon", "Wed"]
    assert all(day.month == 2 for day in batches[1].rows.column("at").to_pylist())
    assert set(batches[2].rows.column("weekday").to_pylist()) == {"Tue", "Wed"}
    assert {str(day)[:10] for day in batches[3].rows.column("at").to_pylist()} == {"2016-02-29"}
    if any_order:  # the tokens of its week are chosen first
        assert batches[3].acceptance_rate > 0.02
        assert completion.acceptance_rate > 0.9
    with pytest.raises(InvalidPartialRow, match="day_of_week"):
        PartialRows.parse(sampler.tokenizer, [{"at": "2016-02-29", "weekday": "Sun"}])
    with pytest.raises(InvalidPartialRow, match="never missing"):
        PartialRows.parse(sampler.tokenizer, [{"at": None}])
    with pytest.raises(InvalidCondition, match="never missing"):
        sampler.sample(1, np.arange(3), {"at": None})


def test_of_two_dates_in_order_the_second_one_stays_a_distance() -> None:
    later = [
        day + timedelta(int(days)) for day, days in zip(DAYS, RNG.integers(1, 9, N), strict=True)
    ]
    table = dated(
        DAYS,
        on=[WEEKDAYS[day.weekday()] for day in DAYS],
        until=np.array(later, "M8[us]"),
        until_day=[WEEKDAYS[day.weekday()] for day in later],
    )
    coded = coding_of(table).encode(table)
    assert coded.column_names == ["at", "on", "until"]
    assert len(coded["until"].unique()) == 8
    assert round_trip(coding_of(table), table) == table


def test_weekdays_follow_from_dates_where_some_are_missing() -> None:
    weekdays = pa.array([WEEKDAYS[day.weekday()] for day in DAYS], mask=RNG.random(N) < 0.02)
    table = dated(DAYS, weekday=weekdays)
    assert "day_of_week(at) -> weekday" in names_of(table)
    assert round_trip(coding_of(table), table) == table


def test_relations_of_dates_can_be_switched_off(tmp_path: Path) -> None:
    table = spread(DAYS[:600])
    name = "valid_date(year, month, day)"
    for setting in (False, [name]):
        sampler = train_sampler(table, schema_of(table), tmp_path, steps=1, relations=setting)
        assert name not in [relation.name for relation in sampler.tokenizer.coding.relations]


def test_a_given_date_whose_weekday_no_row_has_is_refused(tmp_path: Path) -> None:
    days = [day for day in DAYS if day.weekday() < 5]
    table = dated(days, weekday=[WEEKDAYS[day.weekday()] for day in days])
    sampler = train_sampler(table, schema_of(table), tmp_path, steps=5)
    with pytest.raises(InvalidPartialRow, match="has a day of week that no training row") as error:
        PartialRows.parse(sampler.tokenizer, [{"at": "2016-03-04"}, {"at": "2016-03-05"}])
    assert (error.value.row, error.value.column) == (1, "at")


def test_a_given_date_of_a_new_year_has_the_number_of_the_nearest_one(tmp_path: Path) -> None:
    table = dated(DAYS, fee=[{2015: 5, 2016: 7, 2017: 9}[day.year] for day in DAYS])
    sampler = train_sampler(table, schema_of(table), tmp_path, steps=5)
    given = PartialRows.parse(sampler.tokenizer, [{"at": "2019-05-01"}])
    assert complete_rows(sampler, 1, np.arange(1), given).rows["fee"].to_pylist() == [9]


def test_hours_and_minutes_of_a_time_of_day_are_found() -> None:
    minutes = np.random.default_rng(3).integers(0, 1_440, 300)
    table = pa.table(
        {
            "time": pa.array(minutes * 60_000_000, pa.time64("us")),
            "hour": minutes // 60,
            "minute": minutes % 60,
        }
    )
    types = {"time": "time", "hour": "integer", "minute": "integer"}
    names = {relation.name for relation in detect_relations(table, types)}
    assert {"hour(time) = hour", "minute(time) = minute"} <= names


@pytest.mark.parametrize(("part", "unit"), [("unix_seconds", 1), ("unix_milliseconds", 1_000)])
@pytest.mark.parametrize("zone", [None, "Europe/Helsinki"])
def test_unix_times_follow_from_their_datetime(part: str, unit: int, zone: str | None) -> None:
    seconds = 1_400_000_000 + np.sort(RNG.integers(0, 30_000_000, 200))
    moments = pa.array(seconds, pa.int64()).cast(pa.timestamp("s", zone))
    table = pa.table({"created": moments, "stamp": pa.array(seconds * unit)})
    assert names_of(table) == [f"{part}(created) = stamp"]
    relation = detect_relations(table, types_of(table))[0]
    later = table.set_column(1, "stamp", pa.array(seconds * unit + unit))
    assert relation.holds(table).all()
    assert not relation.holds(later).any()
