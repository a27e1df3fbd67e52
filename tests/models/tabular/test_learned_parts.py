"""Datetimes whose time of day or day of the week depends on other columns, or on each other."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest
from numpy.typing import NDArray

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import Condition, InvalidCondition, InvalidPartialRow
from models.tabular.data import LabeledRows
from models.tabular.prepare import RelationPlan, plan_relations
from models.tabular.relations.dates.calendar_columns import CalendarColumn
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import Schema, make_settings, train_sampler

N = 1_500
RNG = np.random.default_rng(7)
FIRST = np.datetime64("2023-01-02T00:00", "us")  # a Monday
IS_NAP = RNG.random(N) < 0.5
Times = NDArray[np.datetime64]


def at(days: Any, minutes: Any) -> Times:
    times = np.datetime64(FIRST) + days * np.timedelta64(1, "D") + minutes * np.timedelta64(1, "m")
    return np.asarray(times)


def schema_of(table: pa.Table) -> Schema:
    def column(field: pa.Field) -> ColumnSchema:
        nullable = table.column(field.name).null_count > 0
        if pa.types.is_temporal(field.type):
            return ColumnSchema(field.name, "datetime", nullable=nullable)
        is_text = pa.types.is_string(field.type)
        return ColumnSchema(field.name, "category" if is_text else "integer", nullable=nullable)

    return tuple(map(column, table.schema))


def plan_of(table: pa.Table, **settings: Any) -> RelationPlan:
    rows = LabeledRows.split(
        table, schema_of(table), target_column=None, holdout_fraction=0.1, seed=1
    )
    return plan_relations(rows, make_settings(table, **settings))


def parts_of(table: pa.Table, **settings: Any) -> list[str]:
    return list(plan_of(table, **settings).coding.parts)


def sleep(kinds: NDArray[np.bool_] = IS_NAP) -> pa.Table:
    """Return naps by day and sleep in the evening, which may last ten hours."""
    quarters = np.where(kinds, RNG.integers(9 * 4, 17 * 4, N), RNG.integers(16 * 4, 23 * 4, N))
    start = at(RNG.integers(0, 300, N), quarters * 15)
    lasts = np.where(kinds, RNG.integers(10, 90, N), RNG.integers(20, 600, N))
    end = start + lasts * np.timedelta64(1, "m")
    return pa.table({"start": start, "end": end, "kind": np.where(kinds, "nap", "night")})


def hours_of(values: pa.Array) -> NDArray[np.int64]:
    return np.asarray(pa.compute.hour(values).to_numpy(zero_copy_only=False))


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    table, folder = sleep(), tmp_path_factory.mktemp("model")
    return train_sampler(table, schema_of(table), folder, steps=40, random_order_prob=0.5)


@pytest.mark.parametrize(
    "arrow",
    [pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("ns"), pa.timestamp("us", "UTC")],
    ids=str,
)
def test_datetimes_follow_from_their_days_and_learned_parts(arrow: pa.DataType) -> None:
    times = at(RNG.integers(-30_000, 300, N), RNG.integers(0, 24 * 60, N))  # before 1970, too
    values = pa.array(times, mask=RNG.random(N) < 0.1).cast(arrow)
    rows = pa.table({"at": values})
    for parts in (("time",), ("day_of_week",), ("time", "day_of_week")):
        column = CalendarColumn("at", parts)
        coded = {"at": column.encode(rows, arrow), **column.encode_parts(rows)}
        assert list(coded) == ["at", *(f"{part}(at)" for part in parts)]
        assert column.decode(pa.RecordBatch.from_pydict(coded), arrow) == values
        assert CalendarColumn.unpack(column.pack()) == column


def test_a_time_of_day_that_depends_on_another_column_is_learned_separately() -> None:
    table = sleep()
    assert parts_of(table) == ["time(start)"]
    coded = plan_of(table).coding.encode(table)
    assert coded.column_names == ["start", "time(start)", "end", "kind"]
    shuffled = table.set_column(2, "kind", pa.array(RNG.permutation(table["kind"].to_pylist())))
    independent = shuffled.drop_columns("end")
    assert parts_of(independent) == []
    assert plan_of(independent).coding.encode(independent) == independent


def test_a_day_of_the_week_on_which_numbers_depend_is_learned_separately() -> None:
    days = RNG.integers(0, 900, N)
    sales = np.where(days % 7 >= 5, 100, 0) + RNG.integers(0, 90, N)
    for arrow in (pa.date32(), pa.timestamp("us")):
        dates = pa.array(at(days, 0)).cast(arrow)
        assert parts_of(pa.table({"on": dates, "sales": sales})) == ["day_of_week(on)"]
    few = pa.array(at(days % 60, 0))  # dates that each have a token stay those of the rows
    assert parts_of(pa.table({"on": few, "sales": sales})) == []


def test_times_that_depend_on_the_day_of_the_week_are_learned_with_it() -> None:
    days = RNG.integers(0, 900, N)
    minutes = RNG.integers(0, 300, N) + np.where(days % 7 >= 5, 900, 500)
    assert parts_of(pa.table({"at": at(days, minutes)})) == ["time(at)", "day_of_week(at)"]


def test_datetimes_that_several_rows_share_stay_those_of_the_rows() -> None:
    shared = at(RNG.integers(0, 900, 400), RNG.integers(0, 24 * 60, 400))
    times = shared[RNG.integers(0, 400, N)]
    kinds = np.where(hours_of(pa.array(times)) < 12, "morning", "evening")
    kinds = np.where(RNG.random(N) < 0.3, "any", kinds)
    assert parts_of(pa.table({"at": times, "kind": kinds})) == []


def test_parts_are_switched_off_by_their_names_and_listed() -> None:
    table = sleep()
    plan = plan_of(table)
    listed = {"name": "time(start)", "kind": "learned_part", "columns": ["start"]}
    assert {**listed, "enforced": False} in plan.describe()
    switched_off = plan_of(table, relations=["time(start)"])
    assert not switched_off.coding.parts
    assert "time(start)" in switched_off.names  # so that no warning names it as unknown
    assert parts_of(table, min_value_count=5) == []


def test_times_of_samples_depend_on_other_columns_and_durations_stay_exact(
    sampler: TableSampler,
) -> None:
    assert sampler.tokenizer.column_names == ["start", "end", "kind"]
    rows = sampler.sample(1, np.arange(600)).rows
    assert rows.schema == sleep().schema
    start, end = (rows.column(name).to_numpy() for name in ("start", "end"))
    assert (start < end).all()
    assert (start.astype("M8[m]").astype(int) % 15 == 0).all()
    is_nap = np.array(rows.column("kind").to_pylist()) == "nap"
    is_by_day = hours_of(rows.column("start")) < 17
    assert is_by_day[is_nap].mean() > 0.9
    assert is_by_day[~is_nap].mean() < 0.35


@pytest.mark.parametrize(
    ("spec", "has_parts"),
    [
        ("2023-02-01T15:00:00", True),
        (["2023-02-01T15:00:00", "2023-09-01T08:00:00"], True),
        ([None, "2023-02-01T15:00:00"], True),
        (None, True),
        ({"gte": "2023-02-01T15:00:00", "lt": "2023-02-01T18:30:00"}, True),
        ({"gt": "2023-02-01T15:00:00", "lte": "2023-09-01T08:00:00"}, False),
        ({"gte": "2023-02-01T15:00:00"}, False),
    ],
    ids=str,
)
def test_coded_rows_satisfy_the_relaxed_conditions_of_those_that_satisfy_the_whole(
    spec: Any, *, has_parts: bool
) -> None:
    special = at(np.array([30, 242, 30]), np.array([15, 8, 16]) * 60)
    others = at(RNG.integers(0, 300, N), 9 * 60)
    times = pa.array([*special, *others, None], pa.timestamp("us"))
    column = CalendarColumn("at", ("time", "day_of_week"))
    rows = pa.table({"at": times})
    coded = {"at": column.encode(rows, times.type), **column.encode_parts(rows)}
    condition = Condition.parse(rows.schema.field("at"), spec)
    relaxed = {each.column: each for each in column.relax(condition)}
    assert len(relaxed) == (3 if has_parts else 1)
    may_match = np.all([each.matches(coded[name]) for name, each in relaxed.items()], axis=0)
    matches = condition.matches(times)
    assert matches.any()
    assert may_match[matches].all()
    assert not may_match.all()


def test_a_part_is_not_learned_if_a_column_has_its_name() -> None:
    table = sleep()
    table = table.append_column("time(start)", pa.array(RNG.integers(0, 50, N)))
    assert parts_of(table) == []


def test_a_gan_learns_datetimes_with_missing_values_as_a_whole() -> None:
    table = sleep()
    gaps = pa.compute.if_else(pa.array(RNG.random(N) < 0.3), None, table["start"])
    table = table.drop_columns("end")
    with_gaps = table.set_column(0, "start", gaps)
    assert parts_of(table, architecture="gan") == parts_of(with_gaps) == ["time(start)"]
    assert parts_of(with_gaps, architecture="gan") == []


def test_conditions_and_partial_rows_have_datetimes_with_learned_parts(
    sampler: TableSampler,
) -> None:
    bounds = {"gte": "2023-02-01T15:00:00", "lt": "2023-03-01T00:00:00"}
    starts = sampler.sample(1, np.arange(50), {"start": bounds}).rows.column("start").to_numpy()
    assert starts.min() >= np.datetime64("2023-02-01T15:00")
    assert starts.max() < np.datetime64("2023-03-01T00:00")
    on_one_day = sampler.sample(1, np.arange(5), {"start": "2023-02-01T15:00:00"})
    assert set(map(str, on_one_day.rows.column("start").to_pylist())) == {"2023-02-01 15:00:00"}
    assert on_one_day.acceptance_rate > 0.01  # the tokens of its day and of its time are chosen
    with pytest.raises(InvalidCondition) as refused:
        sampler.sample(1, np.arange(5), {"start": "2023-02-01T03:00:00"})
    assert refused.value.column == "start"
    given = [
        {"start": "2023-04-05T10:15:00"},
        {"start": "2023-10-01T23:15:00", "kind": "night"},
        {"end": "2023-04-05T11:07:00", "kind": "nap"},
    ]
    partial_rows = PartialRows.parse(sampler.tokenizer, given)
    completion = complete_rows(sampler, 1, np.arange(3), partial_rows)
    assert completion.acceptance_rate > 0.2
    completed = completion.rows.to_pylist()
    for row, values in zip(completed, given, strict=True):
        assert row["start"] <= row["end"]
        for name in values.keys() - {"kind"}:
            assert row[name].isoformat() == values[name]
    with pytest.raises(InvalidPartialRow, match="between the values") as error:
        PartialRows.parse(sampler.tokenizer, [{"start": "2023-04-05T10:20:00"}])
    assert error.value.column == "start"
