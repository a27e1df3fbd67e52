"""Identifiers of which a part is a date, a code of a category, or a number in another form."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.identifiers.fitting import fit_id_columns
from models.tabular.identifiers.kinds import fit_codes
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.nearly_joined import find_nearly_joined_texts
from models.tabular.relations.texts.search import MAX_COLUMNS, find_joined_texts
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler

N = 300
RNG = np.random.default_rng(4)
FIRST = RNG.choice(["Ann", "Bob", "Carla", "Dirk"], N)
LAST = RNG.choice(["Denson", "Kickson", "Larson", "Marson"], N)
NUMBERS = 1_000 + RNG.permutation(9_000)[:N]
DAYS = np.datetime64("2023-01-01", "us") + RNG.integers(0, 900, N) * np.timedelta64(1, "D")
BRANCHES = RNG.choice(["Bern", "Oslo", "Rome"], N)
KINDS = RNG.choice(["Clothing", "Electronics"], N)
SERIES = np.where(RNG.random(N) < 0.8, "CA", "US")


def build_orders(form: str) -> pa.Table:
    """Return a table of orders, whose numbers have the form of `str.format`."""
    values = zip(SERIES, DAYS, KINDS, BRANCHES, NUMBERS, strict=True)
    orders = [
        form.format(series=s, day=day.item(), kind=kind[:3].upper(), branch=branch, n=n)
        for s, day, kind, branch, n in values
    ]
    return pa.table({"order": orders, "day": pa.array(DAYS), "kind": KINDS, "branch": BRANCHES})


ORDER_TYPES = {"order": "id", "day": "datetime", "kind": "category", "branch": "category"}


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("{series}-{day:%Y-%m}-{n}", "day in order"),
        ("{series}{day:%y}{n}", "day in order"),
        ("{n}/{day:%j}/{series}", "day in order"),
        ("{kind}-{n}", "kind in order"),
        ("{n} {kind}", "kind in order"),
        ("{kind}-{day:%m}-{n}", "kind & day in order"),
        ("{series}-{kind}-{n}", "kind in order"),
        ("{branch}-{n}A{series}", "branch in order"),
    ],
)
def test_dates_and_codes_between_new_parts_are_found(form: str, name: str) -> None:
    table = build_orders(form)
    (joined,) = find_joined_texts(table, ORDER_TYPES)
    assert joined.name == name
    restored = JoinedText.unpack(json.loads(json.dumps(joined.pack())))
    assert restored.holds(table).all()
    rests = table.set_column(0, "order", restored.rest(table))
    assert restored.compute(rests).to_pylist() == table["order"].to_pylist()


def test_new_parts_have_the_prefixes_as_often_as_in_the_table() -> None:
    table = build_orders("{series}-{day:%Y}-{n}")
    (joined,) = find_joined_texts(table, ORDER_TYPES)
    schema = [ColumnSchema(name, type) for name, type in ORDER_TYPES.items()]
    (column,) = fit_id_columns(table, schema, ["order"], [joined], 0)
    values = {"order": column.values(1, np.arange(2_000)), "day": pa.array(np.resize(DAYS, 2_000))}
    orders = joined.compute(pa.RecordBatch.from_pydict(values)).to_pylist()
    assert len(set(orders)) == 2_000
    assert all(re.fullmatch(r"(CA|US)-202\d-\d{4,5}", order) for order in orders)
    assert 0.7 < np.mean([order.startswith("CA") for order in orders]) < 0.9


@pytest.mark.parametrize(("min_value_count", "share"), [(0, 0.35), (5, 0.11)])
def test_few_texts_do_not_set_the_shares_of_beginnings(min_value_count: int, share: float) -> None:
    first = "1" * 20 + "234567" * 5 + "8" * 4 + "9" * 3
    codes = [f"{digit}{number}K" for digit, number in zip(first, NUMBERS, strict=False)]
    templates = fit_codes(codes, min_value_count)
    assert templates is not None
    drawn = templates.texts(1, 0, np.arange(2_000)).to_pylist()
    assert abs(np.mean([text.startswith("1") for text in drawn]) - share) < 0.03


def test_a_code_of_a_month_that_no_row_has_is_that_of_an_earlier_one() -> None:
    codes = ({"2023-01": "A", "2023-04": "B"}, {})
    joined = JoinedText("n", ("day", "n"), ("code of %Y-%m", "rest"), ("", "-", ""), codes)
    days = pa.array(np.array(["2022-12-30", "2023-02-03", "2023-05-01"], "datetime64[us]"))
    rows = pa.RecordBatch.from_pydict({"day": days, "n": pa.array(["1", "2", "3"])})
    assert joined.compute(rows).to_pylist() == ["A-1", "A-2", "B-3"]


def test_numbers_after_the_initials_of_new_names_are_joined() -> None:
    people = [f"{a} van {b}" for a, b in zip(FIRST, LAST, strict=True)]
    codes = [f"{a[0]}V-{n}" for a, n in zip(FIRST, NUMBERS, strict=True)]
    table = pa.table({"person": people, "code": codes})
    (joined,) = find_joined_texts(table, {"person": "id", "code": "id"})
    assert joined.name == "person in code"
    assert find_joined_texts(table, {"person": "category", "code": "id"}) == []


def test_codes_that_no_column_determines_are_not_joined() -> None:
    table = build_orders("{series}-{n}")
    assert find_joined_texts(table, ORDER_TYPES) == []


def test_first_rows_of_another_form_do_not_hide_codes() -> None:
    table = build_orders("{kind}-{n}")
    first = [f"old{i}" for i in range(12)]  # at least five rows of each kind
    table = table.set_column(0, "order", pa.array(first + table["order"].to_pylist()[12:]))
    (joined,) = find_joined_texts(table, ORDER_TYPES)
    assert np.flatnonzero(~joined.holds(table)).tolist() == list(range(12))
    assert joined.codes[0] == {"Clothing": "CLO", "Electronics": "ELE"}


def test_an_identifier_after_many_columns_is_searched() -> None:
    table = pa.table({f"x{i}": RNG.normal(size=N) for i in range(MAX_COLUMNS)})
    types = dict.fromkeys(table.column_names, "number") | {"order": "id"}
    orders = build_orders("{series}-{kind}-{n}")["order"]
    assert find_joined_texts(table.append_column("order", orders), types) == []


def test_an_identifier_whose_source_is_after_many_columns_has_no_exceptions() -> None:
    orders = build_orders("{day:%Y}-{n}")
    numbers = {f"x{i}": RNG.normal(size=N) for i in range(MAX_COLUMNS - 1)}
    table = pa.table({"order": orders["order"], **numbers, "day": orders["day"]})
    types = {"order": "id", **dict.fromkeys(numbers, "number"), "day": "datetime"}
    assert [joined.name for joined in find_joined_texts(table, types)] == ["day in order"]
    assert list(find_nearly_joined_texts(table, types, find_joined_texts(table, types))) == []


def test_codes_with_other_marks_are_joined() -> None:
    table = pa.table(
        {
            "file": [f"{n:05}_{i % 9}" for i, n in enumerate(NUMBERS)],
            "number": [f"No. {n:05}/{i % 9}" for i, n in enumerate(NUMBERS)],
        }
    )
    (joined,) = find_joined_texts(table, {"file": "id", "number": "id"})
    assert joined.compute(table).to_pylist() == table[joined.column].to_pylist()


def test_given_numbers_of_two_new_parts_are_kept(tmp_path: Path) -> None:
    table = build_orders("{series}-{day:%Y%m%d}-{kind}-{n}")
    schema = tuple(ColumnSchema(name, type) for name, type in ORDER_TYPES.items())
    sampler = train_sampler(table, schema, tmp_path, steps=20, relations=True)
    given = [{"order": "US-20230501-CLO-17"}, {"order": "X-1"}, {"day": "2023-04-03"}]
    rows = complete_rows(sampler, 1, np.arange(3), PartialRows.parse(sampler.tokenizer, given)).rows
    first, second, third = rows.to_pylist()
    assert first["order"] == "US-20230501-CLO-17"
    assert (f"{first['day']:%Y-%m-%d}", first["kind"]) == ("2023-05-01", "Clothing")
    assert second["order"] == "X-1"
    assert re.fullmatch(rf"(CA|US)-20230403-{third['kind'][:3].upper()}-\d+", third["order"])
    with pytest.raises(InvalidPartialRow, match="contradicts the other given values"):
        PartialRows.parse(
            sampler.tokenizer, [{"order": "US-20230501-CLO-17", "kind": "Electronics"}]
        )
