"""Orders and distances of dates, also of those that are spread over columns."""

from calendar import month_name
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from models.metrics.tabular.relation_checks import score_relations
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.data import LabeledRows
from models.tabular.prepare import RelationPlan, plan_relations
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.detection import detect_relations
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema, ColumnType
from tests.models.tabular.tiny_tables import make_settings, train_sampler

N = 1_500
RNG = np.random.default_rng(8)
STARTS = np.datetime64("2019-01-01") + RNG.integers(0, 900, N)
NIGHTS = RNG.poisson(4, N) + np.where(RNG.random(N) < 0.1, 20, 0)
WEEKEND = RNG.binomial(NIGHTS, 0.3)
ENDS = STARTS + NIGHTS
NO_SHOW = RNG.random(N) < 0.3
START, END = (f"date({p}_year, {p}_month, {p}_day)" for p in ("start", "end"))


def spread(prefix: str, days: NDArray[Any], *, words: bool = False) -> dict[str, pa.Array]:
    """Return the year, the month and the day of dates as columns, null where there is no date."""
    dates = [None if np.isnat(day) else day.item() for day in days.astype("M8[D]")]
    month = [None if d is None else d.strftime("%B") if words else d.month for d in dates]
    return {
        f"{prefix}_year": pa.array([None if d is None else d.year for d in dates]),
        f"{prefix}_month": pa.array(month),
        f"{prefix}_day": pa.array([None if d is None else d.day for d in dates]),
    }


def column(days: NDArray[Any]) -> pa.Array:
    return pa.array(days.astype("M8[us]"))


def dates_of(rows: Any, prefix: str) -> NDArray[Any]:
    """Return the dates that are spread over columns of sampled rows."""
    months = [
        month if isinstance(month, int) else list(month_name).index(month)
        for month in rows.column(f"{prefix}_month").to_pylist()
    ]
    parts = (rows.column(f"{prefix}_{part}").to_pylist() for part in ("year", "day"))
    years, days = parts
    return np.array(
        [f"{y}-{m:02}-{d:02}" for y, m, d in zip(years, months, days, strict=True)], "M8[D]"
    )


STAYS = {
    **spread("start", STARTS, words=True),
    "week": NIGHTS - WEEKEND,
    "weekend": WEEKEND,
    **spread("end", ENDS, words=True),
}
BOOKINGS = {
    **spread("start", STARTS),
    "nights": NIGHTS,
    "status": np.where(NO_SHOW, "no-show", "left"),
    "changed": column(np.where(NO_SHOW, STARTS - RNG.integers(0, 60, N), ENDS)),
}


def schema_of(table: pa.Table) -> tuple[ColumnSchema, ...]:
    columns = []
    for field in table.schema:
        type: ColumnType = "integer" if pa.types.is_integer(field.type) else "category"
        type = "datetime" if pa.types.is_temporal(field.type) else type
        columns.append(ColumnSchema(field.name, type, nullable=table[field.name].null_count > 0))
    return tuple(columns)


def plan(table: pa.Table, **settings: Any) -> RelationPlan:
    rows = LabeledRows.split(
        table, schema_of(table), target_column=None, holdout_fraction=0.1, seed=1
    )
    return plan_relations(rows, make_settings(table, **settings))


def enforced(table: pa.Table, **settings: Any) -> dict[str, bool]:
    return {each["name"]: each["enforced"] for each in plan(table, **settings).describe()}


def assert_round_trip(table: pa.Table) -> pa.Table:
    """Assert that the rows follow from the coded ones, which are returned."""
    coding = plan(table).coding
    coded = RelationCoding.unpack(coding.pack()).encode(table)
    batch = coded.combine_chunks().to_batches()[0]
    assert pa.Table.from_batches([coding.decode(batch, table.schema)]) == table
    return coded


def sampler_of(table: pa.Table, folder: Path, **options: Any) -> TableSampler:
    return train_sampler(table, schema_of(table), folder, **{"steps": 40, **options})


@pytest.mark.parametrize("arrow", [pa.date32(), pa.timestamp("s"), pa.timestamp("us")])
@pytest.mark.parametrize("words", [False, True])
def test_a_date_over_columns_bounds_a_date_column(arrow: pa.DataType, words: bool) -> None:
    later, earlier = (column(days).cast(arrow) for days in (ENDS, STARTS - NIGHTS))
    start = spread("start", STARTS, words=words)
    after = pa.table({**start, "left": later})
    assert enforced(after)[f"{START} <= left"]
    before = pa.table({**start, "booked": earlier})
    assert enforced(before)[f"booked <= {START}"]
    for table, name in ((after, "left"), (before, "booked")):
        coded = assert_round_trip(table)
        assert coded.column_names == table.column_names
        assert len(coded[name].unique()) == len(np.unique(NIGHTS))


def test_of_two_dates_over_columns_the_second_one_is_a_distance(tmp_path: Path) -> None:
    table = pa.table({**spread("start", STARTS), **spread("end", ENDS)})
    assert enforced(table)[f"{START} <= {END}"]
    assert "start_year <= end_year" not in enforced(table)  # it follows
    coded = assert_round_trip(table)
    assert coded.column_names == ["start_year", "start_month", "start_day", END]
    batch = sampler_of(table, tmp_path).sample(1, np.arange(1_000))
    nights = (dates_of(batch.rows, "end") - dates_of(batch.rows, "start")).astype(int)
    assert nights.min() == 0
    assert np.isin(nights, NIGHTS).mean() > 0.99
    assert batch.acceptance_rate > 0.9


def test_days_between_dates_over_columns_determine_a_number(tmp_path: Path) -> None:
    table = pa.table({**spread("start", STARTS), **spread("end", ENDS), "stay": NIGHTS + 1})
    assert enforced(table)[f"days({END} - {START}) + 1 = stay"]
    assert "stay" not in assert_round_trip(table).column_names
    rows = sampler_of(table, tmp_path, architecture="gan").sample(1, np.arange(300)).rows
    nights = (dates_of(rows, "end") - dates_of(rows, "start")).astype(int)
    assert rows.column("stay").to_pylist() == (nights + 1).tolist()


def test_a_date_may_be_numbers_of_days_after_another_one(tmp_path: Path) -> None:
    """The end may be a column or spread over columns; so may the start."""
    name = "{} + week + weekend = {}"
    stays = pa.table(STAYS)
    days = {"week": NIGHTS - WEEKEND, "weekend": WEEKEND}
    tables = {
        name.format(START, END): stays,
        name.format(START, "left"): pa.table(
            {**spread("start", STARTS), **days, "left": column(ENDS)}
        ),
        name.format("came", END): pa.table({"came": column(STARTS), **days, **spread("end", ENDS)}),
        name.format("came", "left"): pa.table(
            {"came": column(STARTS), **days, "left": column(ENDS)}
        ),
    }
    for expected, table in tables.items():
        assert enforced(table)[expected]
        assert_round_trip(table)
    rows = sampler_of(stays, tmp_path).sample(1, np.arange(500)).rows
    nights = rows.column("week").to_numpy() + rows.column("weekend").to_numpy()
    assert (dates_of(rows, "end") == dates_of(rows, "start") + nights).all()


def test_days_after_a_date_may_have_exceptions(tmp_path: Path) -> None:
    table = pa.table(BOOKINGS)
    name = f"{START} + nights ~ changed"
    assert enforced(table)[name] is False
    assert_round_trip(table)
    rows = sampler_of(table, tmp_path, steps=300).sample(1, np.arange(1_000)).rows
    has_left = np.array(rows.column("status").to_pylist()) == "left"
    distance = (rows.column("changed").to_numpy() - dates_of(rows, "start")).astype("m8[D]")
    holds = distance.astype(int) == rows.column("nights").to_numpy()
    assert holds[has_left].mean() > 0.99
    assert (distance.astype(int)[~has_left] <= 0).mean() > 0.97
    # Of dates in order, the sum is still better than the distance.
    later = {**BOOKINGS, "changed": column(np.where(NO_SHOW, STARTS + 60, ENDS))}
    names = enforced(pa.table(later))
    assert names[f"{START} <= changed"]
    assert name in names


def test_close_dates_are_learned_as_a_distance(tmp_path: Path) -> None:
    """Without an order, a start that is early or late is near the plan."""
    late = np.where(RNG.random(N) < 0.2, -1, RNG.poisson(1, N))
    for other, start in ((spread("start", STARTS), START), ({"plan": column(STARTS)}, "plan")):
        table = pa.table({**other, "began": column(STARTS + late)})
        assert enforced(table)[f"{start} ~ began"] is False
        assert_round_trip(table)
    table = pa.table({**spread("start", STARTS), **spread("end", STARTS + late)})
    assert f"{START} ~ {END}" in enforced(table)
    assert_round_trip(table)
    rows = sampler_of(table, tmp_path).sample(1, np.arange(500)).rows
    assert set((dates_of(rows, "end") - dates_of(rows, "start")).astype(int)) <= set(range(-1, 9))


def test_dates_in_order_that_are_close_to_a_third_one_keep_their_order(tmp_path: Path) -> None:
    """Records are stored some time before or after the end of what they record."""
    stored = ENDS + np.random.default_rng(5).integers(-30, 5, N)
    dates = {"started": column(STARTS), "ended": column(ENDS), "stored": column(stored)}
    for names in (("started", "ended", "stored"), ("stored", "started", "ended")):
        table = pa.table({name: dates[name] for name in names})
        for label in (None, "stored"):
            rows = LabeledRows.split(
                table, schema_of(table), target_column=label, holdout_fraction=0.1, seed=1
            )
            coding = plan_relations(rows, make_settings(table)).coding
            assert "started <= ended" in {relation.name for relation in coding.relations}
            # Each date but one is a distance from another one.
            assert len(coding.names) == 2
            assert not coding.checked
    rows = sampler_of(table, tmp_path, steps=10).sample(1, np.arange(500)).rows
    assert (rows.column("ended").to_numpy() >= rows.column("started").to_numpy()).all()


def test_conditions_on_parts_of_both_dates_give_exact_counts(tmp_path: Path) -> None:
    sampler = sampler_of(pa.table(STAYS), tmp_path, random_order_prob=0.5)
    for condition in (
        {"start_month": "July"},
        {"end_month": "July"},
        {"end_year": 2020, "end_day": [1, 2, 3]},
        {"start_month": "July", "end_month": "August"},
    ):
        rows = sampler.sample(3, np.arange(20), condition).rows
        assert rows.num_rows == 20
        for name, value in condition.items():
            allowed = value if isinstance(value, list) else [value]
            assert set(rows.column(name).to_pylist()) <= set(allowed)
        nights = rows.column("week").to_numpy() + rows.column("weekend").to_numpy()
        assert (dates_of(rows, "end") == dates_of(rows, "start") + nights).all()


@pytest.mark.parametrize("any_order", [0.0, 0.5])
def test_partial_rows_may_have_dates_or_parts_of_them(any_order: float, tmp_path: Path) -> None:
    sampler = sampler_of(pa.table(STAYS), tmp_path, random_order_prob=any_order)
    end = {"end_year": 2020, "end_month": "July", "end_day": 3}
    start = {"start_year": 2020, "start_month": "June", "start_day": 29}
    given = [
        {"start_month": "July"},
        {"end_month": "July"},
        end,
        {**end, "start_month": "June"},
        {**end, **start},
        {**end, **start, "week": 3},
        {**end, "week": 3, "weekend": 2},
    ]
    partial_rows = PartialRows.parse(sampler.tokenizer, given * 5)
    rows = complete_rows(sampler, 1, np.arange(len(given) * 5), partial_rows).rows
    for row, values in zip(rows.to_pylist(), given * 5, strict=True):
        assert row.items() >= values.items()
    nights = rows.column("week").to_numpy() + rows.column("weekend").to_numpy()
    starts, ends = dates_of(rows, "start"), dates_of(rows, "end")
    assert (ends == starts + nights).all()
    assert (starts[6::7] == np.datetime64("2020-06-28")).all()
    contradiction = {**end, **start, "week": 3, "weekend": 2}
    with pytest.raises(InvalidPartialRow, match="week \\+ weekend = date") as error:
        PartialRows.parse(sampler.tokenizer, [contradiction])
    assert error.value.column == "end_day"
    with pytest.raises(InvalidPartialRow, match="not a column"):
        PartialRows.parse(sampler.tokenizer, [{END: "2020-07-03"}])


def test_a_given_date_column_gives_a_date_over_columns_near_it(tmp_path: Path) -> None:
    sampler = sampler_of(pa.table(BOOKINGS), tmp_path, steps=300)
    changed = {"changed": "2020-03-05", "status": "left"}
    start = {"start_year": 2020, "start_month": 3, "start_day": 2}
    for given in (changed, {**changed, "start_month": 2}, {**changed, **start}):
        partial_rows = PartialRows.parse(sampler.tokenizer, [given] * 30)
        rows = complete_rows(sampler, 1, np.arange(30), partial_rows).rows
        starts, nights = dates_of(rows, "start"), rows.column("nights").to_numpy()
        assert (starts + nights == np.datetime64("2020-03-05")).mean() > 0.9
        assert nights.max() <= NIGHTS.max()
        assert set(rows.column("start_month").to_pylist()) <= {given.get("start_month", 3), 2, 3}


def test_given_dates_may_be_at_any_distance(tmp_path: Path) -> None:
    """Distances of few rows have no tokens of their own."""
    table = pa.table({**spread("start", STARTS), "at": column(STARTS + RNG.integers(-400, 400, N))})
    assert f"{START} ~ at" in enforced(table)
    sampler = sampler_of(table, tmp_path)
    given = {"start_year": 2020, "start_month": 3, "start_day": 2, "at": "2020-04-30"}
    partial_rows = PartialRows.parse(sampler.tokenizer, [given] * 30)
    completion = complete_rows(sampler, 1, np.arange(30), partial_rows)
    assert {str(day)[:10] for day in completion.rows.column("at").to_pylist()} == {"2020-04-30"}
    assert completion.acceptance_rate >= 1 / 32  # of as many particles


def test_dates_that_are_missing_as_a_whole_stay_so(tmp_path: Path) -> None:
    still_here = RNG.random(N) < 0.2
    ends = np.where(still_here, np.datetime64("NaT"), ENDS)
    table = pa.table({**spread("start", STARTS), **spread("end", ends)})
    assert enforced(table)[f"{START} <= {END}"]
    assert assert_round_trip(table).column_names[-1] == END
    rows = sampler_of(table, tmp_path).sample(1, np.arange(300)).rows
    missing = {tuple(rows.column(f"end_{p}").is_null().to_pylist()) for p in ("year", "day")}
    assert len(missing) == 1
    assert rows.column("end_day").null_count > 20


def test_parts_that_are_missing_on_their_own_are_learned_and_the_order_is_checked(
    tmp_path: Path,
) -> None:
    parts = spread("end", ENDS)
    parts["end_day"] = pa.array(parts["end_day"].to_pylist(), mask=RNG.random(N) < 0.1)
    table = pa.table({**spread("start", STARTS), **parts})
    assert enforced(table)[f"{START} <= {END}"]
    assert assert_round_trip(table).column_names == table.column_names
    rows = sampler_of(table, tmp_path).sample(1, np.arange(300)).rows
    present = rows.filter(rows.column("end_day").is_valid())
    assert (dates_of(present, "end") >= dates_of(present, "start")).all()


def test_a_date_between_others_is_a_distance_from_the_first_one() -> None:
    born, died = STARTS - RNG.integers(7_000, 15_000, N), ENDS + RNG.integers(0, 2_000, N)
    parts = spread("died", died)
    parts["died_day"] = pa.array(parts["died_day"].to_pylist(), mask=RNG.random(N) < 0.1)
    table = pa.table(
        {**spread("born", born), "first": column(STARTS), "last": column(ENDS), **parts}
    )
    names = enforced(table)
    assert names["first <= last"]
    assert names["last <= date(died_year, died_month, died_day)"]
    assert len(assert_round_trip(table)["last"].unique()) == len(np.unique(NIGHTS))


def test_chains_of_dates_hold_next_to_close_dates(tmp_path: Path) -> None:
    columns = {**spread("start", STARTS), **spread("end", ENDS), **spread("paid", ENDS + 3)}
    table = pa.table({**columns, "closed": column(ENDS + NIGHTS)})
    paid = "date(paid_year, paid_month, paid_day)"
    names = enforced(table)
    assert {f"{START} <= {END}", f"{END} <= {paid}", f"{paid} ~ closed"} <= names.keys()
    sampler = sampler_of(table, tmp_path, steps=10)
    rows = sampler.sample(1, np.arange(300)).rows
    assert sampler.tokenizer.coding.satisfied(rows).all()
    assert set(dates_of(rows, "paid") - dates_of(rows, "end")) == {np.timedelta64(3, "D")}


def test_a_date_between_two_that_do_not_move_leaves_these_in_order(tmp_path: Path) -> None:
    table = pa.table({**spread("start", STARTS), **spread("end", ENDS), "paid": column(ENDS + 2)})
    sampler = sampler_of(table, tmp_path, steps=10, label="paid")
    rows = sampler.sample(1, np.arange(300)).rows
    assert sampler.tokenizer.coding.satisfied(rows).all()
    assert (dates_of(rows, "start") <= rows.column("paid").to_numpy()).all()


def test_days_hold_where_all_are_present(tmp_path: Path) -> None:
    nights = pa.array(NIGHTS, mask=RNG.random(N) < 0.01)
    days = {"nights": nights, "extra": WEEKEND}
    table = pa.table({**spread("start", STARTS), **days, "left": column(ENDS + WEEKEND)})
    name = f"{START} + nights + extra = left"
    assert enforced(table)[name]
    assert_round_trip(table)
    rows = sampler_of(table, tmp_path, steps=10).sample(1, np.arange(1_000)).rows
    relation = next(each for each in plan(table).relations if each.name == name)
    assert relation.holds(rows).all()


def test_given_dates_may_have_a_time_of_day(tmp_path: Path) -> None:
    times = ENDS.astype("M8[s]") + RNG.integers(0, 86_400, N)
    table = pa.table({**spread("start", STARTS), "left": column(times)})
    assert enforced(table)[f"{START} <= left"]
    sampler = sampler_of(table, tmp_path)
    for given in ({"left": "2020-03-05T15:12:07"}, {"left": "2020-03-05T15:12:07", "start_day": 1}):
        partial_rows = PartialRows.parse(sampler.tokenizer, [given] * 10)
        rows = complete_rows(sampler, 1, np.arange(10), partial_rows).rows
        assert {str(time) for time in rows.column("left").to_pylist()} == {"2020-03-05 15:12:07"}
        nights = np.datetime64("2020-03-05") - dates_of(rows, "start")
        assert 0 <= nights.astype(int).min() <= nights.astype(int).max() <= NIGHTS.max()


def test_a_date_that_is_also_a_column_has_no_relation_of_its_own() -> None:
    table = pa.table({"came": column(STARTS), **spread("came", STARTS), "left": column(ENDS)})
    assert not any("date(" in name and "valid" not in name for name in enforced(table))


def test_dates_beyond_those_of_nanoseconds_are_not_compared() -> None:
    left = column(ENDS).cast(pa.timestamp("ns"))
    table = pa.table({**spread("start", STARTS), "left": left})
    assert enforced(table)[f"{START} <= left"]
    assert_round_trip(table)
    old = pa.table({**spread("start", STARTS - 200_000), "left": left})  # before 1677
    assert set(enforced(old)) == {f"valid_{START}"}
    some = np.where(NO_SHOW, STARTS - 200_000, STARTS)
    assert_round_trip(pa.table({**spread("start", some), "left": left}))


def test_independent_dates_have_no_relation() -> None:
    others = RNG.permutation(ENDS)
    table = pa.table(
        {**spread("start", STARTS), **spread("end", others), "at": column(others[::-1])}
    )
    assert set(enforced(table)) <= {f"valid_{START}", f"valid_{END}"}


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (STAYS, f"{START} + week + weekend = {END}"),
        (STAYS, f"{START} <= {END}"),
        (BOOKINGS, f"{START} + nights ~ changed"),
    ],
)
def test_relations_of_dates_are_switched_off_by_name(columns: dict[str, Any], name: str) -> None:
    table = pa.table(columns)
    assert name in enforced(table)
    assert not enforced(table, relations=[name]).get(name, False)
    assert name not in {each.name for each in plan(table, relations=[name]).coding.with_exceptions}
    assert name in plan(table, relations=[name]).names
    assert not plan(table, relations=False).coding.columns


def test_rare_values_are_protected_but_orders_and_exact_days_remain() -> None:
    table = pa.table(STAYS)
    names = enforced(table, min_value_count=5)
    assert names[f"{START} + week + weekend = {END}"]
    assert "~" not in "".join(enforced(pa.table(BOOKINGS), min_value_count=5))
    assert not plan(table, min_value_count=5).coding.limits


def test_the_report_says_in_how_many_samples_a_relation_of_dates_holds() -> None:
    table = pa.table(STAYS)
    shuffled = table.set_column(
        table.column_names.index("end_day"), "end_day", table["end_day"].take(RNG.permutation(N))
    )
    rows = LabeledRows.split(
        table, schema_of(table), target_column=None, holdout_fraction=0.1, seed=1
    )
    train, holdout = rows.take(rows.train), rows.take(rows.holdout)
    for samples, holds in ((train, True), (shuffled, False)):
        (score,), report = score_relations(rows, train, holdout, samples, seed=1)
        shares = {each["name"]: each["holds_in_samples"] for each in report}
        share = shares[f"{START} + week + weekend = {END}"]
        assert (share == 1) == holds
        assert (score.value <= 0.01) == holds
        entry = next(each for each in report if each["kind"] == "date_sum")
        assert entry["columns"] == list(STAYS)


def test_days_between_two_dates_may_have_few_different_values() -> None:
    rng = np.random.default_rng(2)
    sent = np.datetime64("2024-01-01") + rng.permutation(90)[:60].astype("m8[D]")
    days = rng.integers(1, 6, 60)
    table = pa.table({"sent": sent, "came": sent + days.astype("m8[D]"), "days": days})
    types = {"sent": "datetime", "came": "datetime", "days": "integer"}
    assert "days(came - sent) = days" in [r.name for r in detect_relations(table, types)]
