"""Endings of numbers, such as .99, full hours and weekdays."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.numbers.columns import NumericColumn
from models.tabular.numbers.endings import Endings
from models.tabular.numbers.scale import Scale
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler

rng = np.random.default_rng(5)
DOLLARS = rng.integers(5, 4_000, 1_500)


def resample(values: pa.Array) -> pa.Array:
    """Return the values after a round trip, each with a new position in its bin."""
    column = NumericColumn.fit("x", values.type, values)
    tokens = column.encode(values, np.random.default_rng(1))
    metadata, arrays = column.pack()
    metadata = {"name": "x", **metadata}
    column = NumericColumn.unpack(metadata, column.layout, values.type, arrays)
    return column.decode(tokens, np.random.default_rng(2).random(len(values)))


def test_prices_have_their_endings_as_often_as_in_the_data() -> None:
    cents = rng.choice([99, 95, 0], 1_500, p=[0.7, 0.2, 0.1])
    prices = resample(pa.array(np.round(DOLLARS + cents / 100, 2))).to_numpy()
    endings = np.rint(prices * 100).astype(int) % 100
    assert set(endings) == {99, 95, 0}
    assert (endings == 99).mean() == pytest.approx(0.7, abs=0.05)
    assert (prices == np.round(prices, 2)).all()


@pytest.mark.parametrize("arrow", [pa.float64(), pa.decimal128(10, 1)])
def test_a_frequent_number_with_an_ending_of_its_own_keeps_its_share(arrow: pa.DataType) -> None:
    limits = rng.permutation(60_000)[:3_000].astype(float)
    limits[:150], limits[150:153] = 1_438.3, 2_000.7
    sampled = resample(pa.array(limits).cast(arrow)).cast(pa.float64()).to_numpy().round(1)
    assert (sampled == 1_438.3).sum() == 150
    assert (sampled % 1 > 0).mean() < 0.07


def test_decimal_prices_have_their_endings_as_often_as_in_the_data() -> None:
    cents = rng.choice([99, 95, 0], 1_500, p=[0.7, 0.2, 0.1])
    prices = pa.array(np.round(DOLLARS + cents / 100, 2)).cast(pa.decimal128(12, 2))
    endings = [int(price * 100) % 100 for price in resample(prices).to_pylist()]
    assert set(endings) == {99, 95, 0}


def test_steps_of_a_quarter_stay_steps_of_a_quarter() -> None:
    weights = resample(pa.array(rng.permutation(8_000)[:1_500] / 4)).to_numpy()
    assert (weights * 4 % 1 == 0).all()
    assert len(set(weights % 1)) == 4


@pytest.mark.parametrize("parts", [3, 12, 60])
def test_minutes_that_were_seconds_stay_whole_seconds(parts: int) -> None:
    minutes = rng.integers(1_000, 90_000, 3_000) / parts
    values = resample(pa.array(minutes)).to_numpy()
    assert np.array_equal(values, np.rint(values * parts) / parts)
    assert len(np.setdiff1d(values, minutes)) > 100


def test_floats_of_any_value_have_no_parts() -> None:
    values = rng.uniform(0, 1_000, 500)
    assert Scale.fit(pa.float64(), values).parts == 1


def test_visits_stay_within_business_hours_and_on_weekdays() -> None:
    monday = datetime(2024, 1, 1, tzinfo=UTC)
    visits = [
        monday + timedelta(days=7 * int(week) + int(day), hours=9 + float(hour))
        for week, day, hour in zip(
            rng.integers(0, 100, 3_000),
            rng.integers(0, 5, 3_000),
            rng.uniform(0, 8, 3_000).round(4),
            strict=True,
        )
    ]
    for arrow in (pa.timestamp("s"), pa.timestamp("ms", "UTC")):
        values = pa.array([visit.replace(microsecond=0) for visit in visits], arrow)
        sampled = resample(values).to_pylist()
        assert {visit.hour for visit in sampled} == set(range(9, 17))
        assert {visit.weekday() for visit in sampled} == set(range(5))


def test_uniform_endings_and_those_of_short_ranges_are_not_stretched() -> None:
    for values in (rng.integers(0, 10**6, 2_000), rng.permutation(2_000) % 30 + rng.random(2_000)):
        column = NumericColumn.fit("x", pa.array(values).type, pa.array(values))
        assert column.scale.endings is None


def test_numbers_survive_the_way_to_slots_and_back() -> None:
    numbers = rng.integers(-(10**6), 10**6, 5_000) * 100 + rng.choice(
        [1, 7, 99], 5_000, p=[0.9, 0.09, 0.01]
    )
    endings = Endings.fit(numbers, numbers[:0], [(100, 1, 3), (10, 5, 3)])
    assert endings is not None
    slots = endings.to_slots(np.sort(numbers))
    assert (np.diff(slots) >= 0).all()
    np.testing.assert_array_equal(endings.from_slots(slots), np.sort(numbers))
    far = endings.to_slots(np.array([-(2**62), 2**62]))
    assert far[0] < slots[0]
    assert slots[-1] < far[1]
    assert (
        Endings.from_json(endings.to_json()).to_slots(numbers[:9]).tolist()
        == endings.to_slots(numbers[:9]).tolist()
    )


def test_conditions_and_new_endings_of_partial_rows_are_supported(tmp_path: Path) -> None:
    table = pa.table({"price": DOLLARS + rng.choice([0.99, 0.5], 1_500), "n": DOLLARS % 7})
    schema = (ColumnSchema("price", "number"), ColumnSchema("n", "integer"))
    sampler = train_sampler(table, schema, tmp_path, steps=10)
    rows = sampler.sample(1, np.arange(50), {"price": {"gte": 1000.5, "lte": 1500.0}}).rows
    assert all(1000.5 <= price <= 1500.0 for price in rows.column("price").to_pylist())
    partial_rows = PartialRows.parse(sampler.tokenizer, [{"price": 1000.25}, {"price": 77.99}])
    completed = complete_rows(sampler, 1, np.arange(2), partial_rows).rows
    assert completed.column("price").to_pylist() == [1000.25, 77.99]


@pytest.mark.parametrize("arrow", [pa.timestamp("us"), pa.date32()])
@pytest.mark.parametrize("days", [timedelta(0), timedelta(14), timedelta(-1)])
def test_dates_of_the_same_day_of_each_month_stay_so(arrow: pa.DataType, days: timedelta) -> None:
    starts = [datetime(2010 + i // 12, 1 + i % 12, 1, tzinfo=UTC) for i in range(150)]
    dates = [start + days for start in starts if start.month != 7]
    values = resample(pa.array([date.replace(tzinfo=None) for date in dates], arrow))
    sampled = values.cast(pa.timestamp("us")).to_pylist()
    assert all((value - days).day == 1 for value in sampled)
    assert {(value - days).month for value in sampled} == set(range(1, 13))


def test_dates_of_few_months_are_not_bound_to_their_day() -> None:
    dates = [datetime(2024, 1 + i % 4, 15, tzinfo=UTC).replace(tzinfo=None) for i in range(99)]
    assert not NumericColumn.fit("x", pa.timestamp("us"), pa.array(dates)).scale.months
