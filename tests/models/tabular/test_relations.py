"""Relations between columns are found, and generated rows satisfy them."""

from collections import Counter
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.errors import AcceptanceRateTooLow
from models.tabular.completion import row_completion
from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidCondition, InvalidPartialRow
from models.tabular.data import LabeledRows
from models.tabular.numbers.grid import NumberGrid
from models.tabular.prepare import plan_relations
from models.tabular.relations.coding import RelationCoding
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.lookups.discrete import find_lookups
from models.tabular.relations.planning import plan_coding
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema, ColumnType
from models.tabular.tokenizer import Tokenizer
from models.tabular.training import train
from tests.models.tabular.tiny_tables import (
    RecordingCallbacks,
    load_sampler,
    make_settings,
    train_sampler,
)


def round_all(values: Any) -> Any:
    """Round to six significant digits, as some programs print numbers."""
    return np.array([float(f"{value:.6g}") for value in values])


def to_clock(seconds: Any) -> pa.Array:
    """Return the time of day of seconds since a midnight."""
    return pa.array(seconds % 86_400 * 10**6).cast(pa.time64("us"))


N = 400
RNG = np.random.default_rng(3)
A, B = RNG.integers(0, 500, N), RNG.integers(0, 500, N)
LIKES = np.where(np.arange(N) % 100 == 0, 1, 77 * A + B % 64)
PRICES = np.round(RNG.lognormal(4, 1, N), 2)
QUANTITIES = RNG.integers(1, 30, N)
TIMES = np.datetime64("2024-01-01T08:00:00", "s") + RNG.integers(0, 10**7, N).astype("m8[s]")
MINUTES = RNG.integers(1, 3000, N)
CITIES = RNG.integers(0, 12, N)
PEOPLE = RNG.integers(10**5, 10**7, N)
EXPECTED = RNG.lognormal(6, 1, N)
REGIONS = RNG.lognormal(2, 1, (3, N))
DAYS = np.datetime64("2019-01-01", "s") + RNG.integers(0, 1_400, N).astype("m8[D]")
MONTHS = DAYS.astype("M8[M]").astype(int) % 12
WEEKDAYS = (DAYS.astype("M8[D]").astype(int) + 3) % 7  # 0: Monday
MONTH_NAMES = np.array([date(2020, month, 1).strftime("%B") for month in range(1, 13)])
HOURS = TIMES.astype("M8[h]").astype(int) % 24
SHIFTS = np.array(["night", "day", "evening"])
SECONDS = RNG.integers(0, 50_000, N)
CLOCKED_TIMES = DAYS.astype("M8[us]") + SECONDS.astype("m8[s]")
CLOCKS, LATER_CLOCKS = (
    pa.array(1_000_000 * seconds).cast(pa.time64("us")) for seconds in (SECONDS, SECONDS + A)
)
LATER = SECONDS + RNG.integers(1, 60_000, N)  # for some, on the next day
# Minutes, of which a few end on the next day.
SHIFT = np.where(A > 494, 960, np.random.default_rng(5).integers(30, 900, N))
CURRENCIES = np.array(["CHF", "EUR", "USD"])[CITIES % 3]
EUROS = np.round(PRICES * np.array([1.0642, 1, 0.8615])[CITIES % 3], 2)
STAYS = RNG.integers(0, 200, N)
PARTS = RNG.integers(0, 900, (5, N))
COLORS = RNG.choice(["red", "green", "blue"], N, p=[0.5, 0.47, 0.03])
FLAGS = ("red", "green", "blue")
COUNTS = RNG.integers(1, 5_000, (10, N))
WIDE = {
    **{f"count_{i}": count for i, count in enumerate(COUNTS)},
    "all": 5_000 + A,
    **{f"percent_{i}": np.round(100 * count / (5_000 + A), 4) for i, count in enumerate(COUNTS)},
}
LASTED, RESTED = (seconds.astype("m8[s]").astype("m8[us]") for seconds in (60 * A, B))


def column_types(table: pa.Table) -> dict[str, ColumnType]:
    types: dict[str, ColumnType] = {}
    for field in table.schema:
        if pa.types.is_integer(field.type):
            types[field.name] = "integer"
        elif pa.types.is_floating(field.type):
            types[field.name] = "number"
        elif pa.types.is_duration(field.type):
            types[field.name] = "duration"
        elif pa.types.is_time(field.type):
            types[field.name] = "time"
        elif pa.types.is_temporal(field.type):
            types[field.name] = "datetime"
        else:
            types[field.name] = "category"
    return types


def names_of(table: pa.Table, **options: int) -> list[str]:
    relations = detect_relations(table, column_types(table), **options)
    return [relation.name for relation in relations]


def coding_of(table: pa.Table, *fixed: str) -> RelationCoding:
    return plan_coding(detect_relations(table, column_types(table)), table, fixed)


def round_trip(coding: RelationCoding, table: pa.Table) -> pa.Table:
    coded = RelationCoding.unpack(coding.pack()).encode(table)
    return pa.Table.from_batches(
        [coding.decode(coded.combine_chunks().to_batches()[0], table.schema)]
    )


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        (
            "100 - a = b",
            {"a": np.round(PRICES % 100, 2), "b": np.round(100 - PRICES % 100, 2)},
        ),
        ("low <= high", {"low": A, "high": A + RNG.integers(0, 90, N)}),
        ("start <= end", {"start": TIMES, "end": TIMES + MINUTES.astype("m8[m]")}),
        ("a + b = c", {"a": A, "b": B, "c": A + B}),
        ("a + p + b = c", {"a": A, "p": PRICES, "b": B, "c": np.round(A + PRICES + B, 2)}),
        ("a + b = c", {"c": A - B, "a": A, "b": -B}),
        ("0.19 * p = tax", {"p": PRICES, "tax": np.round(0.19 * PRICES, 2)}),
        ("1.8 * c + 32 = f", {"c": PRICES, "f": np.round(1.8 * PRICES + 32, 3)}),
        ("q * q = square", {"q": QUANTITIES, "square": QUANTITIES**2}),
        ("p * q = c", {"p": PRICES, "q": QUANTITIES, "c": np.round(PRICES * QUANTITIES, 2)}),
        (
            "p * q - a = c",
            {
                "p": PRICES,
                "q": QUANTITIES,
                "a": A % 7,
                "c": np.round(PRICES * QUANTITIES - A % 7, 2),
            },
        ),
        (
            "p * q + fee = c",
            {
                "c": np.round(PRICES * QUANTITIES + B % 11, 2),
                "fee": B % 11,
                "p": PRICES,
                "q": QUANTITIES,
            },
        ),
        ("0.01 * p * a = c", {"p": PRICES, "a": A, "c": np.round(PRICES * A / 100, 2)}),
        ("a / q = rate", {"a": A, "q": QUANTITIES, "rate": np.round(A / QUANTITIES, 3)}),
        (
            "seconds(end - start) = seconds",
            {"start": TIMES, "end": TIMES + MINUTES.astype("m8[m]"), "seconds": 60 * MINUTES},
        ),
        (
            "north + south + west ≈ all",
            {
                "north": np.round(REGIONS[0], 1),
                "south": np.round(REGIONS[1], 1),
                "west": np.round(REGIONS[2], 1),
                "all": np.round(REGIONS.sum(0), 1),
            },
        ),
        (
            "100000 * deaths / people = rate",
            {"deaths": A, "people": PEOPLE, "rate": A / PEOPLE * 1e5},
        ),
        (
            "expected + excess = count",
            {"expected": EXPECTED, "count": A + 1_000, "excess": A + 1_000 - EXPECTED},
        ),
        ("month(day) = m", {"day": TIMES, "m": TIMES.astype("M8[M]").astype(int) % 12 + 1}),
        ("month(day) -> month", {"day": DAYS, "month": MONTH_NAMES[MONTHS]}),
        ("day_of_week(day) -> works", {"day": DAYS, "works": WEEKDAYS < 5}),
        ("hour(at) -> shift", {"at": TIMES, "shift": SHIFTS[HOURS // 8]}),
        ("date(at) = day", {"at": TIMES, "day": TIMES.astype("M8[D]").astype("M8[s]")}),
        ("time(at) = clock", {"at": CLOCKED_TIMES, "clock": CLOCKS}),
        ("start <= end", {"start": CLOCKS, "end": LATER_CLOCKS}),
        ("seconds(end - start) = lasted", {"start": CLOCKS, "end": LATER_CLOCKS, "lasted": A}),
        (
            "(end - start) = lasted",
            {"start": CLOCKED_TIMES, "end": CLOCKED_TIMES + LASTED, "lasted": LASTED},
        ),
        (
            "start + lasted = end",
            {"start": CLOCKS, "lasted": to_clock(LATER - SECONDS), "end": to_clock(LATER)},
        ),
        (
            "start + lasted = end",
            {
                "end": to_clock(LATER),
                "start": CLOCKS,
                "lasted": pa.array((LATER - SECONDS) * 10**6).cast(pa.duration("us")),
            },
        ),
        (
            "start + minutes = end",
            {"start": to_clock(60 * A), "minutes": SHIFT, "end": to_clock(60 * (A + SHIFT))},
        ),
        (
            "start + hours = end",
            {
                "end": to_clock(60 * (A + SHIFT)),
                "start": to_clock(60 * A),
                "hours": np.round(SHIFT / 60, 2),
            },
        ),
        ("factor(currency) * p = euros", {"currency": CURRENCIES, "p": PRICES, "euros": EUROS}),
        (
            "factor(currency) * p = euros",
            {"currency": CURRENCIES, "p": PRICES, "euros": np.round(EUROS)},
        ),
        (
            "100 * new / old - 100 = change",
            {"old": A + 9, "new": B + 9, "change": np.round(100 * (B + 9) / (A + 9) - 100, 2)},
        ),
        (
            "opening + received - sold = closing",
            {"opening": A, "received": B, "sold": MINUTES, "closing": A + B - MINUTES},
        ),
        (
            "north + east + south + west + abroad = all",
            {
                "all": PARTS.sum(0),
                **dict(zip(("north", "east", "south", "west", "abroad"), PARTS, strict=True)),
            },
        ),
        ("1 - red - green = blue", {name: (name == COLORS).astype(int) for name in FLAGS}),
        ("100 * count_9 / all = percent_9", WIDE),
        ("q * q = square", {**WIDE, "q": QUANTITIES, "square": QUANTITIES**2}),
        (
            "100 * a / all = percent",
            {
                "a": A + 1,
                "all": 9 * A + B + 1,
                "percent": round_all(100 * (A + 1) / (9 * A + B + 1)),
            },
        ),
        (
            "likes / views = share",  # as spreadsheets write it
            {
                "views": 9_973 * (A + 1),
                "likes": LIKES,
                "share": [
                    float(f"{share:.9f}" if share >= 1e-4 else f"{share:.5e}")
                    for share in LIKES / (9_973 * (A + 1))
                ],
            },
        ),
        (
            "days(end - start) + 1 = stay",
            {"start": DAYS, "end": DAYS + STAYS.astype("m8[D]"), "stay": STAYS + 1},
        ),
        ("drive + rest = trip", {"drive": LASTED, "rest": RESTED, "trip": LASTED + RESTED}),
        ("a -> band", {"a": A, "band": A // 100}),
        (
            "city -> country",
            {
                "city": np.array(list("abcdefghijkl"))[CITIES],
                "country": np.array(["x", "y"])[CITIES % 2],
            },
        ),
        (
            "city -> latitude",
            {
                "city": np.array(list("abcdefghijkl"))[CITIES],
                "latitude": RNG.normal(40, 10, 12)[CITIES],
            },
        ),
        (
            "city -> opens",
            {
                "city": np.array(list("abcdefghijkl"))[CITIES],
                "opens": to_clock(3_600 * 7 + 1_260 * CITIES),
            },
        ),
        (
            "city -> founded",
            {
                "city": np.array(list("abcdefghijkl"))[CITIES],
                "founded": np.where(CITIES == 3, np.datetime64("NaT", "s"), TIMES[CITIES]),
            },
        ),
    ],
)
def test_a_relation_is_found_and_survives_coding(name: str, columns: dict[str, Any]) -> None:
    table = pa.table(columns)
    coding = coding_of(table)
    assert name in [relation.name for relation in coding.relations]
    assert not coding.encode(table).equals(table)
    decoded = round_trip(coding, table)
    assert coding.satisfied(decoded).all()
    assert decoded.schema == table.schema
    for name in set(table.schema.names) - coding.names:
        assert decoded[name].equals(table[name])
    for name in coding.names:  # where a digit is exactly halfway, either neighbor is right
        assert decoded[name].null_count == table[name].null_count
        equal = pa.compute.equal(decoded[name], table[name]).drop_null().to_numpy()
        if pa.types.is_floating(
            table[name].type
        ):  # the last bit depends on the order of operations
            equal = np.isclose(decoded[name].to_numpy(), table[name].to_numpy(), rtol=1e-12, atol=0)
        assert equal.mean() > 0.97


def test_exactly_one_of_the_flags_of_a_category_is_set() -> None:
    table = pa.table({name: name == COLORS for name in FLAGS})
    coding = coding_of(table).with_limits(table)
    (relation,) = coding.checked
    assert relation.name == "1 - red - green = blue"
    mixed = [RNG.permutation(table[name].to_numpy()) for name in FLAGS]
    batch = pa.RecordBatch.from_arrays([pa.array(flags) for flags in mixed], schema=table.schema)
    assert np.array_equal(coding.is_valid(batch, table.schema)[0], np.sum(mixed, axis=0) == 1)


def test_rows_whose_coded_columns_leave_their_range_are_known() -> None:
    rng = np.random.default_rng(1)
    part = rng.integers(10, 200, N)
    start = rng.integers(0, 1_000, N)
    table = pa.table(
        {
            "all": part + rng.integers(5, 90, N),
            "part": part,
            "start": start,
            "end": np.minimum(start + rng.integers(0, 400, N), 1_050),
        }
    )
    rest = pa.compute.subtract(table["all"], table["part"])
    table = table.append_column("rest", rest)
    types = column_types(table)
    coding = plan_coding(detect_relations(table, types), table, ("all",)).with_limits(table)
    coding = RelationCoding.unpack(coding.pack())
    assert coding.names == {"start", "part"}
    coded = coding.encode(table).combine_chunks().to_batches()[0]
    assert all(mask.all() for mask in coding.is_valid(coded, table.schema))
    # Each value of another row: parts become negative, and ends come after the last one.
    shuffled = [values.take(pa.array(rng.permutation(N))) for values in coded.columns]
    mixed = pa.RecordBatch.from_arrays(shuffled, schema=coded.schema)
    decoded = pa.Table.from_batches([coding.decode(mixed, table.schema)])
    is_valid = np.logical_and(*coding.is_valid(mixed, table.schema))
    assert 0.1 < is_valid.mean() < 0.95
    kept = decoded.filter(pa.array(is_valid))
    for name in table.schema.names:
        low, high = pa.compute.min_max(table[name]).values()
        assert pa.compute.min(kept[name]).as_py() >= low.as_py()
        assert pa.compute.max(kept[name]).as_py() <= high.as_py()
    assert pa.compute.max(decoded["end"]).as_py() <= 1_050
    assert coding.satisfied(decoded).all()


def test_a_number_that_hardly_any_row_has_is_searched() -> None:
    values = np.full(20_000, np.nan)
    values[7] = 1.5  # which the screened rows do not have
    table = pa.table({"a": np.arange(20_000) % 97, "rare": pa.array(values, from_pandas=True)})
    assert names_of(table) == []


def test_independent_columns_have_no_relations() -> None:
    rng = np.random.default_rng(1)
    table = pa.table(
        {
            "a": rng.integers(0, 5, N),
            "b": rng.integers(0, 4, N),
            "rare": (rng.random(N) < 0.005).astype(np.int64),
            "below_all": rng.integers(0, 10, N),
            "above_all": rng.integers(10, 99, N),
            "p": rng.lognormal(size=N),
            "c": np.array(list("abc"))[rng.integers(0, 3, N)],
        }
    )
    assert names_of(table) == []


def test_relations_of_a_table_that_is_sorted_by_time_are_found() -> None:
    """The first rows of such a table have few of the seasons and no amounts."""
    n = 30_000
    days = np.sort(RNG.integers(0, 90 * 365, n))
    net = np.round(RNG.lognormal(4, 1, n), 2) * (days > 30 * 365)
    table = pa.table(
        {
            "date": (np.datetime64("1929-07-01") + days).astype("M8[s]"),
            "season": 1929 + days // 365,
            "net": net,
            "tax": np.round(0.19 * net, 2),
        }
    )
    assert names_of(table) == ["0.19 * net = tax", "tax <= net", "date -> season"]
    relation = detect_relations(table, column_types(table))[-1]
    assert len(relation.values) == 90


def test_values_that_are_not_learned_follow_from_nothing() -> None:
    table = pa.table({"city": CITIES, "mayor": CITIES.astype(str)})
    types: dict[str, ColumnType] = {"city": "integer", "mayor": "id"}
    assert detect_relations(table, types) == []


def make_matches() -> pa.Table:
    """Return matches between different ones of 10 teams, which are numbered in another order."""
    home = RNG.integers(0, 10, 600)
    visitor = (home + RNG.integers(1, 10, 600)) % 10
    names = np.array(list("ABCDEFGHIJ"))
    return pa.table({"home": names[home], "visitor": names[visitor], "home_id": home})


def test_two_columns_with_common_values_that_are_never_equal_are_distinct() -> None:
    matches = make_matches()
    assert "home != visitor" in names_of(matches)
    twice = pa.concat_tables([matches, matches.slice(0, 1).set_column(1, "visitor", [["A"]])])
    with_equal = twice.set_column(0, "home", pa.array([*matches["home"].to_pylist(), "A"]))
    assert "home != visitor" not in names_of(with_equal)
    separate = matches.set_column(1, "visitor", pa.compute.utf8_lower(matches["visitor"]))
    assert "home != visitor" not in names_of(separate)


def test_samples_have_no_equal_values_in_distinct_columns(tmp_path: Path) -> None:
    matches = make_matches().select(["home", "visitor"])
    schema = tuple(ColumnSchema(name, "category") for name in matches.column_names)
    for relations, has_equal in ((True, False), (False, True)):
        options: dict[str, Any] = {"steps": 5, "label": "home", "relations": relations}
        model = train_sampler(matches, schema, tmp_path, **options)
        rows = model.sample(1, np.arange(500)).rows
        assert pa.compute.any(pa.compute.equal(*rows.columns)).as_py() == has_equal


def test_one_row_that_breaks_a_relation_is_enough_to_dismiss_it() -> None:
    total = A + B
    total[7] += 100
    assert names_of(pa.table({"a": A, "b": B, "c": total})) == ["a <= c", "b <= c"]


@pytest.mark.parametrize("share", [0.001, 1.0], ids=["one cell", "all cells"])
def test_errors_of_floats_break_no_sum(share: float) -> None:
    """Programs write 10.299999999 or 10.299999999999999 for a sum of 10.3."""
    rng = np.random.default_rng(0)
    net, tax = (np.round(rng.lognormal(mean, 1, 1_000), 1) for mean in (3, 1))
    total = np.round(net + tax, 1) * np.where(np.arange(1_000) < share * 1_000, 1 - 1e-10, 1)
    table = pa.table({"net": net, "tax": tax, "total": total})
    relations = detect_relations(table, dict.fromkeys(table.column_names, "number"))
    assert "net + tax = total" in {relation.name for relation in relations}
    coding = plan_coding(relations, table, ())
    batch = coding.encode(table).combine_chunks().to_batches()[0]
    decoded = coding.decode(batch, table.schema)["total"].to_numpy()
    assert np.array_equal(decoded, np.round(net + tax, 1))


def test_numbers_with_many_decimals_keep_them() -> None:
    values = pa.array([0.123456789, 1e-9, 123_456.000_001])
    grid = NumberGrid.fit(values)
    assert grid.from_grid(*grid.to_grid(values)).equals(values)


def test_samples_of_a_rounded_sum_stay_within_its_roundings(tmp_path: Path) -> None:
    parts = np.round(REGIONS, 1)
    columns = dict(zip(("north", "south", "west"), parts, strict=True))
    table = pa.table({"city": CITIES, **columns, "all": np.round(REGIONS.sum(0), 1)})
    schema = tuple(ColumnSchema(name, type) for name, type in column_types(table).items())
    model = train_sampler(table, schema, tmp_path, steps=30, label="city")
    rows = model.sample(1, np.arange(500)).rows
    differences = np.sum([rows[name].to_numpy() for name in columns], 0) - rows["all"].to_numpy()
    assert set(np.unique(np.round(differences, 1))) <= {-0.2, -0.1, 0.0, 0.1, 0.2}
    assert (np.abs(differences) > 0.05).mean() > 0.1
    partial = PartialRows.parse(model.tokenizer, [{"north": 5.0, "all": 50.0}] * 20)
    completed = complete_rows(model, 1, np.arange(20), partial).rows
    assert completed["all"].to_pylist() == [50.0] * 20
    total = np.sum([completed[name].to_numpy() for name in columns], 0)
    assert np.abs(total - 50).max() < 0.25


def make_shares() -> pa.Table:
    """Return four shares of each row in per cent, which add up to 99.9 to 100.1."""
    shares = np.random.default_rng(3).dirichlet([2, 1, 1, 1], N) * 100
    return pa.table({f"share {k}": np.round(shares[:, k], 1) for k in range(4)})


def test_rounded_shares_add_up_to_all() -> None:
    shares = make_shares()
    assert names_of(shares) == ["100 - share 0 - share 1 - share 2 ≈ share 3"]
    one_differs = shares["share 1"].to_numpy().copy()
    one_differs[9] += 0.5
    assert names_of(shares.set_column(1, "share 1", pa.array(one_differs))) == []


def test_a_balance_of_many_numbers_is_rounded() -> None:
    rng = np.random.default_rng(4)
    received, sold = rng.uniform(5, 90, (2, 3, N))
    columns = {f"received {k}": received[k] for k in range(3)}
    columns |= {f"sold {k}": sold[k] for k in range(3)}
    columns["left"] = received.sum(0) - sold.sum(0)
    table = pa.table({name: np.round(values, 1) for name, values in columns.items()})
    received_text = "received 0 + received 1 + received 2"
    assert names_of(table) == [f"{received_text} - sold 0 - sold 1 - sold 2 ≈ left"]


def test_numbers_that_vary_less_than_rounding_are_no_balance() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.integers(101, 103, (2, N))
    table = pa.table({"a": a, "b": b, "c": a - b + 91 + rng.integers(-1, 1, N)})
    assert not any("≈" in name for name in names_of(table))


def test_samples_of_rounded_shares_add_up_to_all(tmp_path: Path) -> None:
    table = make_shares()
    schema = tuple(ColumnSchema(name, "number") for name in table.column_names)
    rows = train_sampler(table, schema, tmp_path, steps=20).sample(1, np.arange(300)).rows
    shares = np.array([column.to_numpy() for column in rows.columns])
    assert set(np.unique(shares.sum(0).round(1))) <= {99.8, 99.9, 100.0, 100.1, 100.2}
    assert shares.min() >= 0


def test_few_rows_are_too_little_evidence() -> None:
    table = pa.table({"a": A, "b": B, "c": A + B})
    assert names_of(table.slice(0, 19)) == []
    assert names_of(table.slice(0, 24)) == ["a + b = c"]


def test_missing_values_stay_where_they_are_in_the_data() -> None:
    rng = np.random.default_rng(2)
    net = pa.array(PRICES, mask=rng.random(N) < 0.1)
    total = pa.array(np.round(PRICES + A, 2), mask=net.is_null().to_numpy(zero_copy_only=False))
    always = pa.table({"a": net, "b": A, "c": total})
    at_random = pa.table(
        {
            "start": pa.array(TIMES, mask=rng.random(N) < 0.1),
            "end": pa.array(TIMES + MINUTES.astype("m8[m]"), mask=rng.random(N) < 0.1),
            "a": net,
            "b": A,
            "c": pa.array(np.round(PRICES + A, 2), mask=rng.random(N) < 0.1),
            "city": pa.array(CITIES, mask=rng.random(N) < 0.1),
            "country": pa.array(np.array(["x", "y"])[CITIES % 2]),
        }
    )
    assert "c" not in coding_of(always).encode(always).schema.names
    assert "c" in coding_of(at_random).encode(at_random).schema.names
    for table in (always, at_random):
        assert len(coding_of(table).relations) >= 1
        assert round_trip(coding_of(table), table).equals(table)


def test_values_between_several_bounds_stay_there() -> None:
    low = RNG.integers(100, 900, N)
    high = low + RNG.integers(0, 300, N)
    first, last = (low + np.rint(RNG.random(N) * (high - low)).astype(int) for _ in range(2))
    table = pa.table({"open": first, "high": high, "low": low, "close": last})
    for fixed in ("open", "high", "low", "close"):
        coding = coding_of(table, fixed)
        assert fixed not in coding.names
        assert round_trip(coding, table).equals(table)
        shuffled = coding.encode(table).to_pydict()
        noise = np.random.default_rng(1)
        coded = pa.RecordBatch.from_pydict(
            {name: noise.permutation(values) for name, values in shuffled.items()}
        )
        rows = coding.decode(coded, table.schema)
        for a, b in (("low", "open"), ("low", "close"), ("open", "high"), ("close", "high")):
            assert pa.compute.all(pa.compute.less_equal(rows[a], rows[b])).as_py(), (fixed, a, b)


def test_of_two_ordered_columns_the_one_with_round_values_is_not_coded() -> None:
    leaving = TIMES.astype("M8[D]").astype("M8[s]") + np.timedelta64(11, "h")
    arriving = leaving - RNG.integers(60, 10**6, N).astype("m8[s]")
    for columns in ({"a": arriving, "b": leaving}, {"b": leaving, "a": arriving}):
        assert coding_of(pa.table(columns)).names == {"a"}


def test_many_columns_that_are_in_order_are_coded_one_after_the_other() -> None:
    steps = RNG.integers(1, 10**6, (40, N))
    table = pa.table({f"x{i:02}": column for i, column in enumerate(steps.cumsum(0))})
    coding = coding_of(table)
    assert [relation.name for relation in coding.relations] == [
        f"x{i:02} <= x{i + 1:02}" for i in range(39)
    ]
    assert coding.satisfied(round_trip(coding, table)).all()


def test_dates_of_few_rows_are_in_order_and_numbers_are_not() -> None:
    """By chance, few of the 100 employees who left would have left before they came."""
    rng = np.random.default_rng(4)
    hired = np.datetime64("2010-01-01", "s") + rng.integers(0, 2_000, 300).astype("m8[D]")
    left = pa.array(hired + rng.integers(900, 3_000, 300).astype("m8[D]"))
    left = pa.compute.if_else(pa.array(np.arange(300) < 100), left, None)
    table = pa.table({"hired": hired, "left": left})
    assert names_of(table) == ["hired <= left"]
    numbers = [column.cast(pa.int64()) for column in table.columns]
    assert names_of(pa.table(numbers, table.column_names)) == []


def test_an_order_whose_coding_would_lose_frequent_values_is_checked_instead(
    tmp_path: Path,
) -> None:
    """Sales of a region are often 0, which is at another distance from the total in each row."""
    total = RNG.integers(1, 13, N) * 10
    part = np.where(RNG.random(N) < 0.6, 0, RNG.integers(0, 10_000, N) % (total + 1))
    table = pa.table({"total": total, "part": part})
    coding = coding_of(table, "total")
    assert not coding.names
    assert [relation.name for relation in coding.checked] == ["part <= total"]
    schema = tuple(ColumnSchema(name, type) for name, type in column_types(table).items())
    model = train_sampler(table, schema, tmp_path, steps=20, label="total")
    rows = model.sample(1, np.arange(500)).rows
    totals = rows["total"].cast(pa.int64()).to_numpy()
    assert (rows["part"].to_numpy() <= totals).all()
    assert (rows["part"].to_numpy() == 0).mean() > 0.3


def test_an_order_of_columns_that_follow_from_each_other_is_checked(tmp_path: Path) -> None:
    """A rest follows from what was taken, which is never more than it."""
    taken = ((A + B) * np.random.default_rng(5).random(N) / 2).astype(int)
    table = pa.table({"a": A, "b": B, "taken": taken, "rest": A + B - taken})
    assert names_of(table) == ["a + b - taken = rest", "taken <= rest"]
    assert [relation.name for relation in coding_of(table).checked] == ["taken <= rest"]
    schema = tuple(ColumnSchema(name, type) for name, type in column_types(table).items())
    rows = train_sampler(table, schema, tmp_path, steps=5).sample(1, np.arange(300)).rows
    assert pa.compute.all(pa.compute.less_equal(rows["taken"], rows["rest"])).as_py()


def test_a_date_that_many_rows_share_may_determine_other_columns(tmp_path: Path) -> None:
    index = RNG.integers(0, 60, 1_200)
    days = (np.datetime64("2019-01-04", "us") + np.arange(60) * np.timedelta64(7, "D"))[index]
    fuel = np.round(RNG.uniform(2, 4, 60), 3)[index]
    holiday = np.where(RNG.random(60) < 0.2, "yes", "no")[index]
    table = pa.table({"day": days, "fuel": fuel, "holiday": holiday, "label": days})
    table = table.set_column(3, "label", pa.array(np.array(["a", "b"])[index % 2]))
    assert {"day -> fuel", "day -> holiday"} <= set(names_of(table))
    schema = tuple(ColumnSchema(name, type) for name, type in column_types(table).items())
    rows = (
        train_sampler(table, schema, tmp_path, steps=20, label="label")
        .sample(1, np.arange(300))
        .rows
    )
    prices = dict(zip(days.tolist(), fuel.tolist(), strict=True))
    assert all(
        prices[day] == value
        for day, value in zip(*rows.select([0, 1]).to_pydict().values(), strict=True)
    )


def test_few_missing_values_do_not_break_a_lookup(tmp_path: Path) -> None:
    zips = RNG.integers(100, 140, N)
    cities = [None if i in (7, 50) else f"city {zip // 3}" for i, zip in enumerate(zips)]
    mask = np.arange(N) % 45 == 4
    table = pa.table({"zip": pa.array(zips, mask=mask), "city": cities, "label": COLORS})
    assert "zip -> city" in names_of(table)
    schema = tuple(ColumnSchema(name, type) for name, type in column_types(table).items())
    rows = (
        train_sampler(table, schema, tmp_path, steps=20, label="label")
        .sample(1, np.arange(500))
        .rows.to_pylist()
    )
    agree = [row["city"] == f"city {row['zip'] // 3}" for row in rows if row["zip"] and row["city"]]
    assert len(agree) > 450
    assert all(agree)
    assert any(row["zip"] is None and row["city"] for row in rows)


def test_a_key_that_no_training_row_has_breaks_no_lookup() -> None:
    zips = RNG.integers(100, 140, N)
    cities = np.array([f"city {zip // 3}" for zip in zips])
    (relation,) = [
        relation
        for relation in coding_of(pa.table({"zip": zips, "city": cities})).relations
        if relation.name == "zip -> city"
    ]
    other = pa.table({"zip": [*zips[:3], 900], "city": ["city 1", *cities[1:3], "city 7"]})
    assert relation.holds(other).tolist() == [False, True, True, True]


COUNTRY_CODES = {
    "Austria": "AUT", "Belgium": "BEL", "Brazil": "BRA", "Canada": "CAN", "Chile": "CHL",
    "China": "CHN", "Denmark": "DNK", "Egypt": "EGY", "Finland": "FIN", "France": "FRA",
    "Germany": "DEU", "Greece": "GRC", "India": "IND", "Italy": "ITA", "Japan": "JPN",
    "Kenya": "KEN", "Mexico": "MEX", "Norway": "NOR", "Peru": "PER", "Poland": "POL",
    "Portugal": "PRT", "Spain": "ESP", "Sweden": "SWE", "Turkey": "TUR", "Ghana": "GHA",
}  # fmt: skip


def test_entries_of_public_lists_belong_together_although_few_rows_share_them() -> None:
    countries = np.array(list(COUNTRY_CODES) * 2)[:49]
    columns = {"country": countries, "code": [COUNTRY_CODES[name] for name in countries]}
    (relation,) = find_lookups(pa.table(columns), dict.fromkeys(columns, "category"), 0)[:1]
    assert relation.name in {"country -> code", "code -> country"}
    columns["country"] = np.array(list(COUNTRY_CODES))
    columns["code"] = [f"{name[::-1]}s" for name in COUNTRY_CODES]
    assert find_lookups(pa.table(columns), dict.fromkeys(columns, "category"), 0) == []


def test_a_few_ambiguous_keys_do_not_prevent_the_lookup_of_the_others() -> None:
    cities = RNG.integers(0, 40, 2_000)
    states = cities % 9
    states[cities == 7] = RNG.integers(0, 2, (cities == 7).sum())
    table = pa.table({"city": [f"city {i}" for i in cities], "state": [f"S{i}" for i in states]})
    (relation,) = find_lookups(table, dict.fromkeys(("city", "state"), "category"), 0)
    assert relation.name == "city -> state"
    assert set(relation.keys) == {f"city {i}" for i in range(40) if i != 7}
    assert relation.holds(table).all()
    coding = coding_of(table)
    assert round_trip(coding, table)["state"].equals(table["state"])


def test_times_that_were_rounded_to_seconds_follow_from_each_other() -> None:
    lasted = LATER - SECONDS + (np.arange(N) % 30 == 0)  # a second more
    table = pa.table({"start": CLOCKS, "lasted": to_clock(lasted), "end": to_clock(LATER)})
    assert names_of(table) == ["start + lasted = end"]
    coding = coding_of(table)
    decoded = round_trip(coding, table)
    assert coding.satisfied(decoded).all()
    assert decoded.drop(["end"]).equals(table.drop(["end"]))
    several = to_clock(LATER - SECONDS + 2 * (np.arange(N) % 30 == 0))
    assert names_of(table.set_column(1, "lasted", several)) == []


def test_a_product_that_is_mostly_zero_or_rounded_away_is_no_part_of_a_total() -> None:
    rare = (np.arange(N) % 40 == 0) * 1
    table = pa.table({"a": A, "rare": rare, "b": B, "c": A * rare + B})
    assert not [name for name in names_of(table) if "*" in name]
    share = np.round(RNG.uniform(0, 0.4, N), 3)
    whole = pa.table({"p": PRICES, "q": QUANTITIES, "s": share, "c": np.rint(PRICES * QUANTITIES)})
    assert not [name for name in names_of(whole) if " - s" in name or " + s" in name]


def test_keys_of_which_most_rows_have_their_own_determine_other_columns() -> None:
    keys = np.concatenate([np.arange(250), np.arange(150)])
    columns = {"part": [f"P{key}" for key in keys], "price": np.round(7.3 + keys * 1.37, 2)}
    table = pa.table({**columns, "town": np.array(["Bonn", "Ulm"])[np.where(keys % 19, 0, 1)]})
    types: dict[str, ColumnType] = {"part": "category", "price": "number", "town": "category"}
    names = {relation.name for relation in find_lookups(table, types, 0)}
    assert names == {"part -> price"}, "skewed towns of 150 repeated rows are too little evidence"
    more = pa.concat_tables([table, *[table.slice(250)] * 3])
    names = {relation.name for relation in find_lookups(more, types, 0)}
    assert names == {"part -> price", "part -> town"}


def test_a_country_of_a_row_is_not_looked_up_by_the_country_of_its_office() -> None:
    """It is a value of that row, although both are public words."""
    offices = list(COUNTRY_CODES)
    natives = np.array(offices)[np.random.default_rng(3).integers(0, 6, len(offices))]
    abroad = [*offices[:-1], "Peru"]
    for other in (natives, [COUNTRY_CODES[name] for name in natives], abroad):
        table = pa.table({"office": offices, "manager": other})
        assert find_lookups(table, {"office": "category", "manager": "category"}, 0) == []


@pytest.mark.parametrize("min_value_count", [0, 20])
def test_rows_of_ambiguous_keys_keep_their_values(min_value_count: int) -> None:
    number = np.random.default_rng(3).integers(0, 40, 4_000)
    values = np.array([f"S{i % 9}" for i in number])
    ambiguous = np.flatnonzero(number == 7)
    values[ambiguous[:15]], values[ambiguous[15:]] = "alpha", "beta"
    types = {"key": "category", "value": "category"}
    texts = pa.table({"key": [f"town {i}" for i in number], "value": values})
    numbers = texts.set_column(0, "key", pa.array(10_000 + 7 * number))
    for table in (texts, numbers):
        relations = detect_relations(table, types, min_value_count=min_value_count)
        coding = plan_coding(relations, table, ())
        assert round_trip(coding, table)["value"].equals(table["value"])


def test_a_skewed_column_is_not_looked_up_because_most_rows_have_its_value() -> None:
    table = pa.table({"a": RNG.integers(0, 900, 2_000), "b": RNG.integers(0, 50, 2_000) == 0})
    shown = table.set_column(1, "b", table["b"].cast(pa.string()))
    assert find_lookups(shown, {"a": "integer", "b": "category"}, 0) == []


def test_each_of_two_sums_of_the_same_column_determines_a_column() -> None:
    part = RNG.integers(0, 200, N)
    table = pa.table({"a": A, "b": B, "c": A + B - part, "d": part, "all": A + B})
    coding = coding_of(table)
    names = [relation.name for relation in coding.relations]
    assert {"a + b = all", "c + d = all"} <= set(names)
    assert len(coding.names) == 2
    mixed = coding.encode(table).combine_chunks()
    mixed = pa.table([c.take(pa.array(RNG.permutation(N))) for c in mixed.columns], mixed.schema)
    decoded = coding.decode(mixed.combine_chunks().to_batches()[0], table.schema)
    assert coding.satisfied(decoded).all()


def test_equal_columns_are_found_in_a_table_of_many_columns() -> None:
    columns = {f"x{i}": RNG.integers(0, 1_000, N) for i in range(60)}
    table = pa.table({**columns, "copy": columns["x41"], "fahrenheit": 1.8 * columns["x50"] + 32})
    assert set(names_of(table)) >= {"1.8 * x50 + 32 = fahrenheit", "x41 = copy"}


def test_a_linear_function_of_which_rounding_leaves_few_values_is_found() -> None:
    rng = np.random.default_rng(1)
    quantity = np.minimum(rng.lognormal(1, 1.2, 2_000).astype(int), 400)
    quantity[:300] = rng.integers(0, 12, 300)  # in the first rows, rounding explains most of it
    fee = np.floor(0.1 * quantity + 0.5).astype(int)
    assert "0.1 * quantity = fee" in names_of(pa.table({"quantity": quantity, "fee": fee}))


def test_of_several_terms_the_largest_is_the_rest_of_a_sum() -> None:
    parts = np.stack([RNG.lognormal(1, 1, N), RNG.lognormal(4, 1, N), RNG.lognormal(2, 1, N)])
    parts = np.round(parts, 2)
    table = pa.table({"a": parts[0], "b": parts[1], "c": parts[2], "all": parts.sum(0).round(2)})
    assert coding_of(table).names == {"all"}
    assert coding_of(table, "all").names == {"b"}


def test_fees_with_a_fixed_part_follow_from_an_amount_of_which_the_rest_is_paid() -> None:
    amount = np.round(RNG.lognormal(4, 1, N), 2)
    fee = np.round(0.029 * amount + 0.30, 2)
    table = pa.table({"amount": amount, "fee": fee, "net": np.round(amount - fee, 2)})
    coding = coding_of(table)
    assert coding.names == {"fee", "net"}
    assert {relation.name for relation in coding.relations} == {
        "0.029 * amount + 0.3 = fee",
        "fee + net = amount",
    }
    assert round_trip(coding, table).equals(table)


def test_a_copy_of_a_time_that_is_missing_in_some_rows_is_coded_by_it(tmp_path: Path) -> None:
    created = np.datetime64("2024-01-01", "s") + RNG.integers(0, 10**7, N).astype("m8[s]")
    is_open = RNG.random(N) < 0.3
    table = pa.table({"paid": pa.array(created, mask=is_open), "created": created, "color": COLORS})
    assert coding_of(table).names == {"paid"}
    assert round_trip(coding_of(table), table).equals(table)
    schema = (
        ColumnSchema("paid", "datetime", nullable=True),
        ColumnSchema("created", "datetime"),
        ColumnSchema("color", "category"),
    )
    sampler = train_sampler(table, schema, tmp_path, steps=60)
    rows = sampler.sample(1, np.arange(500)).rows.to_pylist()
    paid = [row for row in rows if row["paid"]]
    assert 250 < len(paid) < 450
    assert all(row["paid"] == row["created"] for row in paid)
    completed = complete(sampler, [{"paid": "2024-02-03T04:05:06"}] * 5)
    assert len(set(completed["created"].to_pylist())) == 1
    assert completed["created"].equals(completed["paid"])


def test_equal_times_that_cannot_be_counted_exactly_are_learned() -> None:
    created = np.datetime64("2024-01-01", "ns") + RNG.integers(0, 10**16, N).astype("m8[ns]")
    assert names_of(pa.table({"created": created, "copy": created})) == []


def test_a_column_with_frequent_values_is_not_the_rest_of_a_sum() -> None:
    limit = np.clip(RNG.lognormal(8, 1, 4_000).round(), 1_500, 9_000)
    balance = (limit * RNG.random(4_000)).round()
    table = pa.table({"balance": balance, "free": limit - balance, "limit": limit})
    assert (limit == 1_500).mean() > 0.1
    assert "free" in coding_of(table).names
    assert "limit" not in coding_of(table).names


def test_a_sum_of_whole_numbers_and_few_fractions_is_not_rounded_to_digits() -> None:
    limit = RNG.integers(2_000, 30_000, 4_000).astype(float)
    limit[:200] = 1_438.3
    balance = RNG.integers(0, 20_000, 4_000)
    table = pa.table({"balance": balance, "free": np.round(limit - balance, 1), "limit": limit})
    coding = coding_of(table)
    mixed = coding.encode(table).combine_chunks()
    mixed = pa.table(
        [c.take(pa.array(RNG.permutation(4_000))) for c in mixed.columns], mixed.schema
    )
    rows = coding.decode(mixed.combine_chunks().to_batches()[0], table.schema)
    numbers = {name: rows[name].to_numpy() for name in table.column_names}
    assert np.abs(numbers["balance"] + numbers["free"] - numbers["limit"]).max() < 0.01


def test_a_result_with_few_digits_is_rounded_once() -> None:
    whole = RNG.integers(1_000_000, 9_000_000, 4_000)
    part = (whole * RNG.uniform(0.0005, 0.3, 4_000)).astype(int)
    exact = 100 * part / whole
    percent = np.where(exact < 1, np.round(exact, 5), round_all(exact))
    coding = coding_of(pa.table({"part": part, "whole": whole, "percent": percent}))
    mixed = pa.table({"part": RNG.permutation(part) // 9, "whole": RNG.permutation(whole)})
    rows = coding.decode(
        mixed.combine_chunks().to_batches()[0],
        pa.schema([("part", pa.int64()), ("whole", pa.int64()), ("percent", pa.float64())]),
    )
    assert "percent" in coding.names
    assert coding.satisfied(rows).all()


def test_the_target_column_is_never_coded() -> None:
    table = pa.table({"a": A, "b": B, "c": A + B})
    assert coding_of(table, "c").names == {"a", "b"}
    towns = pa.table({"city": CITIES, "country": np.array(["x", "y"])[CITIES % 2]})
    assert coding_of(towns, "country").names == frozenset()
    assert [relation.name for relation in coding_of(towns, "country").checked] == [
        "city -> country"
    ]


def test_rows_of_a_label_have_keys_that_belong_to_it(tmp_path: Path) -> None:
    model = train_sampler(ORDERS, ORDERS_SCHEMA, tmp_path, steps=5, label="country")
    for country, cities in (("x", "ace"), ("y", "bdf")):
        rows = model.sample(1, np.arange(100), {"country": country}).rows
        assert set(rows["city"].to_pylist()) <= set(cities)


def test_conditions_that_contradict_a_relation_are_refused(tmp_path: Path) -> None:
    codes = RNG.integers(0, 6, N)
    table = pa.table({"code": [f"c{k}" for k in codes], "label": [f"l{k % 3}" for k in codes]})
    schema = tuple(ColumnSchema(name, "category") for name in table.column_names)
    sampler = train_sampler(table, schema, tmp_path, label="label")
    assert [relation.name for relation in sampler.tokenizer.coding.checked] == ["code -> label"]
    rows = sampler.sample(1, np.arange(50), {"code": "c4", "label": "l1"}).rows.to_pylist()
    assert rows == [{"code": "c4", "label": "l1"}] * 50
    with pytest.raises(InvalidCondition, match="because `code -> label`"):
        sampler.sample(1, np.arange(2), {"code": "c4", "label": "l0"})


def test_values_that_few_rows_have_are_not_stored_with_a_relation() -> None:
    city = CITIES.copy()
    city[:2] = 77
    table = pa.table(
        {"city": city, "country": np.array(["x", "y"])[city % 2], "a": A, "band": A // 100}
    )
    relations = detect_relations(table, column_types(table), min_value_count=5)
    assert [relation.name for relation in relations] == ["city -> country"]
    assert "77" not in relations[0].keys


def make_orders(count: int = 600) -> pa.Table:
    rng = np.random.default_rng(4)
    city = rng.integers(0, 6, count)
    start = np.datetime64("2024-01-01", "s") + rng.integers(0, 3 * 10**7, count).astype("m8[s]")
    end = start + 60 * rng.integers(1, 600, count).astype("m8[s]")
    net = np.round(rng.lognormal(5, 1, count), 2)
    tax = np.round(0.19 * net, 2)
    quantity = rng.integers(1, 9, count)
    return pa.table(
        {
            "start": start,
            "end": pa.array(end, mask=rng.random(count) < 0.05),
            "city": np.array(list("abcdef"))[city],
            "country": np.array(["x", "y"])[city % 2],
            "net": net,
            "tax": tax,
            "total": np.round(net + tax, 2),
            "quantity": quantity,
            "amount": np.round(quantity * net, 2),
        }
    )


ORDERS = make_orders()
ORDERS_SCHEMA = tuple(
    ColumnSchema(name, type, nullable=name == "end") for name, type in column_types(ORDERS).items()
)


def find_broken(rows: pa.RecordBatch) -> list[str]:
    broken = []
    for row in rows.to_pylist():
        if row["end"] is not None and row["end"] < row["start"]:
            broken.append("order")
        if (ord(row["city"]) - ord("a")) % 2 != "xy".index(row["country"]):
            broken.append("lookup")
        if round(row["net"] + row["tax"], 2) != row["total"]:
            broken.append("sum")
        if abs(row["tax"] - 0.19 * row["net"]) > 0.00501:
            broken.append("factor")
        if abs(row["amount"] - row["quantity"] * row["net"]) > 0.00501:
            broken.append("product")
    return broken


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    """Return a sampler of a run that is too short to learn any relation."""
    folder = tmp_path_factory.mktemp("model")
    return train_sampler(ORDERS, ORDERS_SCHEMA, folder, steps=5, label="city")


def test_samples_of_orders_break_no_relation(sampler: TableSampler) -> None:
    samples = sampler.sample(1, np.arange(2_000))
    assert samples.rows.schema == ORDERS.schema
    assert find_broken(samples.rows) == []
    assert samples.rows["end"].null_count > 0
    # Only rows outside the range of the training rows are drawn again, here late ends.
    assert 0.98 < samples.acceptance_rate < 1
    assert pa.compute.max(samples.rows["end"]).as_py() <= pa.compute.max(ORDERS["end"]).as_py()


@pytest.mark.parametrize("architecture", ["autoregressive", "gan"])
def test_relations_hold_for_each_architecture(architecture: str, tmp_path: Path) -> None:
    model = train_sampler(ORDERS, ORDERS_SCHEMA, tmp_path, steps=5, architecture=architecture)
    assert find_broken(model.sample(1, np.arange(300)).rows) == []


def test_relations_can_be_switched_off(tmp_path: Path) -> None:
    one = train_sampler(
        ORDERS,
        ORDERS_SCHEMA,
        tmp_path,
        steps=5,
        relations=["start <= end"],
    )
    assert "order" not in {relation.kind for relation in one.tokenizer.coding.relations}
    assert set(find_broken(one.sample(1, np.arange(300)).rows)) == {"order"}
    none = train_sampler(ORDERS, ORDERS_SCHEMA, tmp_path, steps=5, relations=False)
    assert not none.tokenizer.coding.columns
    assert set(find_broken(none.sample(1, np.arange(300)).rows)) >= {"order", "sum", "lookup"}


def test_the_manifest_says_which_relations_samples_satisfy() -> None:
    rows = LabeledRows.split(
        ORDERS, ORDERS_SCHEMA, target_column="country", holdout_fraction=0.1, seed=1
    )
    plan = plan_relations(rows, make_settings(ORDERS, relations=["start <= end"]))
    assert {entry["name"]: entry["enforced"] for entry in plan.describe()} == {
        "net + tax = total": True,
        "0.19 * net = tax": True,
        "net * quantity = amount": True,
        "city -> country": True,
        "start <= end": False,
    }


def test_a_name_that_ignores_no_relation_is_reported() -> None:
    callbacks = RecordingCallbacks(5)
    rows = LabeledRows.split(
        ORDERS, ORDERS_SCHEMA, target_column=None, holdout_fraction=0.1, seed=1
    )
    train(rows, make_settings(ORDERS, relations=["start < end"]), callbacks, seed=1)
    assert any(
        "'start < end'" in text and "mean 'start <= end'?" in text for text in callbacks.warnings
    )


def test_a_resumed_run_keeps_the_relations(tmp_path: Path) -> None:
    rows = LabeledRows.split(
        ORDERS, ORDERS_SCHEMA, target_column=None, holdout_fraction=0.1, seed=1
    )
    first, second = RecordingCallbacks(10, checkpoints=(5,), interrupt_at=6), RecordingCallbacks(10)
    settings = make_settings(ORDERS)
    with pytest.raises(KeyboardInterrupt):
        train(rows, settings, first, seed=1)
    (tmp_path / "state").write_bytes(first.saved[5].state)
    train(rows, settings, second, seed=1, state=tmp_path / "state")
    model = load_sampler(second.last_checkpoint, tmp_path)
    assert find_broken(model.sample(1, np.arange(200)).rows) == []


def test_conditions_on_coded_columns_are_met(sampler: TableSampler) -> None:
    conditions = {"country": "y", "total": {"gte": 50, "lt": 500}, "city": ["a", "b"]}
    rows = sampler.sample(1, np.arange(100), conditions).rows
    assert set(rows["country"].to_pylist()) == {"y"}
    assert set(rows["city"].to_pylist()) == {"b"}
    assert all(50 <= value < 500 for value in rows["total"].to_pylist())
    assert find_broken(rows) == []


def test_partial_rows_with_coded_columns_are_completed(sampler: TableSampler) -> None:
    given: list[dict[str, Any]] = [
        {"total": 119.0},
        {"tax": 19.0, "quantity": 3},
        {"country": "x", "end": "2024-06-01T12:00:00"},
        {"start": "2024-06-01T12:00:00", "end": "2024-06-01T12:05:00"},
        {"amount": 84.0, "quantity": 4},
        {"end": None, "net": 10.0},
    ]
    for row in given:
        rows = complete(sampler, [row] * 20)
        assert find_broken(rows) == []
        for name, value in row.items():
            stored = pa.array([value]).cast(ORDERS.schema.field(name).type)[0].as_py()
            assert set(rows[name].to_pylist()) == {stored}
    near = complete(sampler, [{"end": "2024-06-01T12:00:00"}] * 20)
    hours = [(row["end"] - row["start"]).total_seconds() / 3600 for row in near.to_pylist()]
    assert 0 < max(hours) < 12


def test_a_square_may_be_given_without_its_root(tmp_path: Path) -> None:
    table = pa.table({"q": QUANTITIES, "square": QUANTITIES**2})
    schema = (ColumnSchema("q", "integer"), ColumnSchema("square", "integer"))
    rows = complete(train_sampler(table, schema, tmp_path, steps=5), [{"square": 49}] * 5)
    assert set(rows["q"].to_pylist()) == {7}


@pytest.mark.parametrize("is_number", [True, False])
def test_how_long_a_shift_lasts_follows_from_its_times(is_number: bool, tmp_path: Path) -> None:
    minutes = SHIFT if is_number else pa.array(60_000_000 * SHIFT).cast(pa.duration("us"))
    times = {"start": to_clock(60 * A), "end": to_clock(60 * (A + SHIFT))}
    table = pa.table({**times, "minutes": minutes})
    schema = tuple(ColumnSchema(name, type) for name, type in column_types(table).items())
    sampler = train_sampler(table, schema, tmp_path, steps=5, random_order_prob=0.5)
    given = {"start": time(22, 30), "end": time(2, 0)}  # no training row starts as late
    rows = complete(sampler, [given] * 5)
    assert set(rows["minutes"].to_pylist()) == {210 if is_number else timedelta(minutes=210)}
    late = complete(sampler, [{"end": time(2, 0)}] * 5).to_pylist()
    for row in late:
        lasted = row["minutes"] if is_number else row["minutes"] // timedelta(minutes=1)
        assert (60 * row["start"].hour + row["start"].minute + lasted) % 1_440 == 120


def test_partial_rows_that_break_a_relation_cannot_be_completed(sampler: TableSampler) -> None:
    message = r"contradicts `net`, because `0.19 \* net = tax`. With this value, it is 19.0"
    with pytest.raises(InvalidPartialRow, match=message) as error:
        complete(sampler, [{"net": 100.0}, {"net": 100.0, "tax": 50.0}])
    assert (error.value.row, error.value.column) == (1, "tax")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    """Return a model of flags, prices in three currencies and parts of a date."""
    table = pa.table(
        {
            **{color: (color == COLORS).astype(int) for color in FLAGS},
            "currency": CURRENCIES,
            "price": PRICES,
            "euros": EUROS,
            "day": DAYS,
            "month": MONTH_NAMES[MONTHS],
            "weekday": WEEKDAYS,
        }
    )
    schema = tuple(ColumnSchema(name, type) for name, type in column_types(table).items())
    folder = tmp_path_factory.mktemp("model")
    return train_sampler(table, schema, folder, steps=30, random_order_prob=0.5)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_given_flag_clears_the_others(shop: TableSampler, flag: str) -> None:
    for row in complete(shop, [{flag: 1}] * 20).to_pylist():
        assert {color: row[color] for color in FLAGS} == {c: int(c == flag) for c in FLAGS}


def test_values_that_no_row_can_have_together_are_named(shop: TableSampler) -> None:
    with pytest.raises(InvalidPartialRow, match="contradicts `red`") as caught:
        complete(shop, [{"red": 1}, {"red": 1, "green": 1}])
    assert (caught.value.row, caught.value.column) == (1, "green")


def test_a_given_number_beyond_the_training_rows_is_kept(shop: TableSampler) -> None:
    given = [{"price": price, "currency": "USD"} for price in (50_000.0, -100.0)]
    rows = complete(shop, [*given, {"euros": 90_000.0}])
    assert rows["euros"].to_pylist() == [43_075.0, -86.15, 90_000.0]


def test_given_values_do_not_follow_from_a_sampled_key_that_no_training_row_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times such as 940 are no number like 975 that has the nearest minute, 55."""
    rng = np.random.default_rng(3)
    hours, minutes = rng.integers(0, 24, 2_000), 5 * rng.integers(0, 12, 2_000)
    table = pa.table({"time": 100 * hours + minutes, "hour": hours, "minute": minutes})
    schema = tuple(ColumnSchema(name, type) for name, type in column_types(table).items())
    sampler = train_sampler(table, schema, tmp_path, steps=30, random_order_prob=0.5)
    given = [{"hour": 9}, {"hour": 9, "minute": 40}, {"minute": 40}, {"time": 940}]
    for row in complete(sampler, given * 10).to_pylist():
        assert row["time"] == 100 * row["hour"] + row["minute"]
    assert complete(sampler, [{"time": 975}])["minute"].to_pylist() == [55]
    monkeypatch.setattr(row_completion, "MAX_PARTICLES", 32 * 50)
    with pytest.raises(AcceptanceRateTooLow, match="value of `hour` is impossible"):
        complete(sampler, [{"hour": 25}])


def test_an_amount_follows_from_a_given_converted_amount(shop: TableSampler) -> None:
    rows = complete(shop, [{"euros": 125.0}, {"euros": 125.0, "currency": "USD"}] * 10).to_pylist()
    assert {row["euros"] for row in rows} == {125.0}
    assert {row["price"] for row in rows if row["currency"] == "USD"} == {145.1}


def test_rare_combinations_of_given_values_are_found(shop: TableSampler) -> None:
    given = [{"month": "May", "weekday": 6}, {"month": "June", "weekday": 1}] * 5
    for row, expected in zip(complete(shop, given).to_pylist(), given, strict=True):
        assert (f"{row['day']:%B}", row["day"].weekday()) == tuple(expected.values())


def complete(sampler: TableSampler, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    partial_rows = PartialRows.parse(sampler.tokenizer, rows)
    return complete_rows(sampler, 1, np.arange(len(rows)), partial_rows).rows


def test_declared_orders_are_kept_by_coding(tmp_path: Path) -> None:
    # So few violations are expected that chance could explain the order.
    rng = np.random.default_rng(1)
    low = rng.integers(0, 105, N)
    table = pa.table({"low": low, "high": np.maximum(rng.integers(98, 600, N), low)})
    constraint = {"kind": "inequality", "columns": ["low", "high"]}
    schema = (ColumnSchema("low", "integer"), ColumnSchema("high", "integer"))
    assert names_of(table) == []
    model = train_sampler(table, schema, tmp_path, steps=5, constraints=[constraint])
    rows = model.sample(1, np.arange(2_000)).rows
    assert pa.compute.all(pa.compute.less_equal(rows["low"], rows["high"])).as_py()
    assert pa.compute.max(rows["high"]).as_py() <= table["high"].to_numpy().max()
    assert model.tokenizer.coding.names


def test_a_table_without_relations_has_the_same_tokens_as_without_coding() -> None:
    table = pa.table({"a": A, "b": B})
    schema = (ColumnSchema("a", "integer"), ColumnSchema("b", "integer"))
    plain = Tokenizer.fit(table, schema, target_column=None, seed=1)
    coded = Tokenizer.fit(table, schema, target_column=None, seed=1, coding=coding_of(table))
    assert np.array_equal(plain.encode(table, 1), coded.encode(table, 1))


@pytest.mark.parametrize("kind", ["equal", "permuted", "named"])
def test_many_equivalent_columns_are_compared_with_one_of_them(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.random.default_rng(0).integers(0, 40, N)
    orders = [np.random.default_rng(seed).permutation(40) for seed in range(24)]
    columns: list[Any] = {
        "equal": [numbers for _ in orders],
        "permuted": [order[numbers] for order in orders],
        "named": [np.char.add("w", order[numbers].astype(str)) for order in orders],
    }[kind]
    type = "category" if kind == "named" else "integer"
    table = pa.table({f"c{i}": column for i, column in enumerate(columns)})
    relations = detect_relations(table, dict.fromkeys(table.column_names, type))
    # The pairs of the first eight, and of each of the others with the first one.
    assert max(Counter(r.kind for r in relations).values()) <= 8 * 7 + 2 * 16

    decoded = []
    decode = RelationCoding.decode

    def count_and_decode(*args: Any) -> pa.RecordBatch:
        decoded.append(args)
        return decode(*args)

    monkeypatch.setattr(RelationCoding, "decode", count_and_decode)
    # The first one is not coded, as it would be the target.
    assert len(plan_coding(relations, table, ("c0",)).names) == 23
    assert len(decoded) < 24
