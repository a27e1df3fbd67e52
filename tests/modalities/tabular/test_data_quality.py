"""Data quality issues and the profile of a table."""

import json
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from models.tabular.identifiers.words.library_words import names
from tests.modalities.tabular.conftest import Read, Table
from tests.modalities.tabular.factories import build_column_csv, build_csv


def load_profile(table: Table) -> dict[str, dict[str, Any]]:
    profile = json.loads((table.path.parent / "profile.json").read_text())
    return {entry["name"]: entry for entry in profile["columns"]}


def test_clean_table_has_no_issues(read: Read) -> None:
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=300).round(6), "c": rng.choice(["u", "v"], 300)}
    assert read(build_csv(columns)).summary.issues == ()


def test_table_with_five_rows_has_the_issue_few_rows(read: Read) -> None:
    issue = read(build_column_csv(3, 1, 4, 1, 5)).issue("few_rows")
    assert issue is not None
    assert (issue["severity"], issue["count"]) == ("warning", 5)


def test_labels_of_few_rows_are_named_the_rarest_first(read: Read) -> None:
    labels = ["rare"] * 9 + ["often"] * 10 + ["mostly"] * 180 + ["once"]
    file = build_csv({"plan": labels, "x": [i % 50 + i % 7 / 8 for i in range(200)]})
    issue = read(file, target="plan").issue("tiny_class")
    assert issue is not None
    assert (issue["severity"], issue["examples"]) == ("warning", ["once: 1", "rare: 9"])
    assert read(file, target="x").issue("tiny_class") is None
    assert read(file).issue("tiny_class") is None


def test_missing_values_are_counted_by_column(read: Read) -> None:
    values = ["" if i % 5 == 0 else str(i % 7) for i in range(200)]
    table = read(build_csv({"a": values, "b": [""] * 200, "c": [1, 2] * 100}))
    issue = table.issue("missing")
    assert issue is not None
    assert (issue["severity"], issue["count"]) == ("warning", 2)
    assert issue["examples"] == ["a: 40 of 200 rows", "b: 200 of 200 rows"]
    assert table["b"].type == "category"


def test_constant_column_is_reported(read: Read) -> None:
    issue = read(build_csv({"a": ["x"] * 9, "b": list(range(9))})).issue("constant_column")
    assert issue is not None
    assert issue["examples"] == ["a"]


def test_columns_above_ten_thousand_categories_become_identifiers(read: Read) -> None:
    words = [f"w{i % 10_000}" for i in range(25_000)]
    table = read(build_csv({"a": words, "b": [f"w{i % 10_001}" for i in range(25_000)]}))
    assert table.types == {"a": "category", "b": "id"}
    issue = table.issue("high_cardinality")
    assert issue is not None
    assert issue["examples"] == ["a: 10,000 values"]


def test_duplicate_rows_are_reported_by_row_number(read: Read) -> None:
    rows = {"a": [1, 2, 1, "", "", 3], "b": ["x", "y", "x", "", "", "x"]}
    issue = read(build_csv(rows)).issue("duplicate")
    assert issue is not None
    assert (issue["count"], issue["examples"]) == (2, ["row 3", "row 5"])


def test_rows_that_only_concatenate_to_the_same_text_are_not_duplicates(read: Read) -> None:
    rows = {"a": ["x", "xy", "z", "z", "u"], "b": ["yz", "z", "", "0", "v"]}
    assert read(build_csv(rows)).issue("duplicate") is None


def leaky_columns() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    label = rng.choice(["no", "yes"], 400, p=[0.7, 0.3])
    amount = rng.normal(size=400).round(4)
    return {
        "churn": label,
        "left": np.where(label == "yes", "gone", "here"),
        "score": np.where(label == "yes", 1, -1) * rng.uniform(1, 2, 400).round(3),
        "hint": np.where(rng.random(400) < 0.97, label, "no"),
        "amount": amount,
        "cents": (100 * amount).round(2),
        "id": range(400),
    }


@pytest.mark.parametrize(
    ("target", "leaks"), [("churn", ["left", "score"]), ("amount", ["cents"]), (None, None)]
)
def test_columns_that_leak_the_target_are_named(
    target: str | None, leaks: list[str] | None, read: Read
) -> None:
    issue = read(build_csv(leaky_columns()), target=target).issue("target_leakage")
    assert (issue and issue["examples"]) == leaks


def test_profile_has_statistics_for_each_column(read: Read) -> None:
    table = read(
        build_csv(
            {
                "n": [1.5, 2.5, "", 3.5, 12.5],
                "c": ["x", "y", "x", "x", ""],
                "t": ["2021-02-01", "2021-02-03", "2021-02-03", "2021-02-05", "2021-03-01"],
                "b": ["true", "false", "true", "true", "true"],
            }
        )
    )
    profile = load_profile(table)
    numeric = profile["n"]
    assert (numeric["count"], numeric["missing"], numeric["distinct"]) == (5, 1, 4)
    assert (numeric["min"], numeric["max"], numeric["mean"]) == (1.5, 12.5, 5.0)
    assert sum(numeric["histogram"]["counts"]) == 4
    assert len(numeric["histogram"]["edges"]) == len(numeric["histogram"]["counts"]) + 1
    assert profile["c"]["top"] == [{"value": "x", "count": 3}, {"value": "y", "count": 1}]
    assert (profile["t"]["min"], profile["t"]["max"]) == ("2021-02-01", "2021-03-01")
    assert profile["t"]["histogram"]["edges"][0] == "2021-02-01T00:00:00"
    assert profile["b"]["top"][0] == {"value": True, "count": 4}


@pytest.mark.parametrize("values", [[1e308, -1e308, 0, 1, 2], [5e-324, 0, 1, 2, 3], [2.5] * 5])
def test_profile_statistics_are_finite_for_the_largest_and_smallest_numbers(
    values: list[float], read: Read
) -> None:
    profile = load_profile(read(build_column_csv(*values)))["a"]
    assert sum(profile["histogram"]["counts"]) == 5
    assert np.isfinite([profile["mean"], profile["std"], *profile["quartiles"]]).all()


def test_profile_of_ids_and_text_contains_no_values(read: Read) -> None:
    rows = {"mail": [f"u{i}@example.org" for i in range(50)], "b": [1, 2] * 25}
    assert "top" not in load_profile(read(build_csv(rows)))["mail"]


def test_profile_lists_the_relations_between_columns(read: Read) -> None:
    rng = np.random.default_rng(0)
    net, tax = rng.integers(100, 9999, 300), rng.integers(1, 999, 300)
    city = rng.integers(0, 6, 300)
    columns = {
        "net": net,
        "tax": tax,
        "total": net + tax,
        "city": [f"city {i}" for i in city],
        "country": [f"country {i % 2}" for i in city],
    }
    table = read(build_csv(columns))
    profile = json.loads((table.path.parent / "profile.json").read_text())
    assert profile["relations"] == [
        {"name": "net + tax = total", "kind": "sum", "columns": ["net", "tax", "total"]},
        {"name": "city -> country", "kind": "lookup", "columns": ["city", "country"]},
    ]


def test_profile_lists_the_dates_that_are_spread_over_columns(read: Read) -> None:
    days = [date(2021, 3, 1) + timedelta(11 * i % 700) for i in range(300)]
    columns = {
        "arrival_year": [day.year for day in days],
        "arrival_month": [f"{day:%B}" for day in days],
        "arrival_day": [day.day for day in days],
        "week": [day.isocalendar().week for day in days],
        "weekday": [f"{day:%a}" for day in days],
    }
    table = read(build_csv(columns))
    profile = json.loads((table.path.parent / "profile.json").read_text())
    parts = "arrival_year, arrival_month, arrival_day"
    assert {relation["name"] for relation in profile["relations"]} == {
        f"valid_date({parts})",
        f"iso_week({parts}) = week",
        f"day_of_week({parts}) -> weekday",
    }


def test_profile_lists_the_distances_of_dates(read: Read) -> None:
    """Also those with exceptions, and those of dates over columns."""
    rng = np.random.default_rng(0)
    starts = [date(2021, 3, 1) + timedelta(int(i)) for i in rng.integers(0, 700, 1_000)]
    nights = rng.integers(1, 20, 1_000)
    ends = [day + timedelta(int(n)) for day, n in zip(starts, nights, strict=True)]
    parts = ("year", "month", "day")
    columns = {
        **{f"start_{part}": [getattr(day, part) for day in starts] for part in parts},
        "nights": nights,
        **{f"end_{part}": [getattr(day, part) for day in ends] for part in parts},
        "left": [ends[i] if i % 3 else starts[i] - timedelta(i % 7) for i in range(1_000)],
    }
    table = read(build_csv(columns))
    profile = json.loads((table.path.parent / "profile.json").read_text())
    kinds = {relation["name"]: relation["kind"] for relation in profile["relations"]}
    start, end = (f"date({p}_year, {p}_month, {p}_day)" for p in ("start", "end"))
    assert kinds[f"days({end} - {start}) = nights"] == "elapsed"
    assert kinds[f"{start} <= {end}"] == "order"
    assert kinds[f"{start} + nights ~ left"] == "near_date_sum"


def test_addresses_that_do_not_fit_the_names_of_few_rows_are_named(read: Read) -> None:
    given, family = names("en_US")
    people = [(given[i], family[i]) for i in range(100)]
    mails = [f"{a}.{b}@example.com".lower() for a, b in people]
    columns = {"first": [a for a, _ in people], "last": [b for _, b in people], "mail": mails}
    assert read(build_csv(columns)).issue("text_exceptions") is None
    mails[16], mails[70] = "jo77@example.org", "info@example.com"
    issue = read(build_csv(columns)).issue("text_exceptions")
    assert issue is not None
    examples = ["first & last = mail: row 17 (joined)", "first & last = mail: row 71 (joined)"]
    assert issue["examples"] == examples
    mails[20:28] = [f"info{i}@example.com" for i in range(8)]
    issue = read(build_csv(columns)).issue("text_exceptions")
    assert issue is not None
    assert issue["examples"][:2] == ["first & last = mail: row 17", "first & last = mail: row 21"]
    columns["mail"] = [f"user{i * 7_919}@example.com" for i in range(100)]
    assert read(build_csv(columns)).issue("text_exceptions") is None


def test_rows_that_break_a_relation_of_all_others_are_named(read: Read) -> None:
    rng = np.random.default_rng(0)
    net, tax = rng.integers(100, 9_999, 600), rng.integers(1, 999, 600)
    time = rng.integers(0, 2_400, 600)
    hour = np.where(np.arange(600) == 99, 23, time // 100)
    columns = {"net": net, "tax": tax, "total": net + tax, "time": time, "hour": hour}
    table = read(build_csv({name: values.tolist() for name, values in columns.items()}))
    issue = table.issue("relation_exceptions")
    assert issue is not None
    assert (issue["severity"], issue["count"]) == ("info", 1)
    assert [example.partition(": ")[2] for example in issue["examples"]] == ["row 100"]
    exact = {**columns, "hour": time // 100}
    exact_table = read(build_csv({name: values.tolist() for name, values in exact.items()}))
    assert exact_table.issue("relation_exceptions") is None


def test_pairs_of_columns_that_no_two_rows_share_are_reported(read: Read) -> None:
    columns: dict[str, list[Any]] = {
        "country": [f"c{i // 12}" for i in range(240)],
        "year": [2000 + i % 12 for i in range(240)],
        "size": [i % 7 for i in range(240)],
    }
    issue = read(build_csv(columns)).issue("unique_pairs")
    assert issue is not None
    assert (issue["severity"], issue["examples"]) == ("info", ["country, year"])
    assert '{"kind": "unique", "columns": ["first", "second"]}' in issue["hint"]
    repeated = {name: [*values, values[0]] for name, values in columns.items()}
    assert read(build_csv(repeated)).issue("unique_pairs") is None


def test_pairs_of_columns_that_hardly_repeat_by_chance_are_not_reported(read: Read) -> None:
    columns = {"a": [i % 100 for i in range(200)], "b": [i * 7 % 101 for i in range(200)]}
    assert read(build_csv(columns)).issue("unique_pairs") is None
