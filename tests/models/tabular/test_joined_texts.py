"""Identifiers that consist of other columns."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.completion.partial_rows import PartialRows
from models.tabular.completion.row_completion import complete_rows
from models.tabular.conditions.condition import InvalidPartialRow
from models.tabular.identifiers.columns import IdColumn
from models.tabular.identifiers.fitting import fit_id_columns
from models.tabular.identifiers.people.email_ends import EmailEnds
from models.tabular.identifiers.words.words import EXAMPLE_DOMAINS
from models.tabular.relations.texts.joined_text import JoinedText
from models.tabular.relations.texts.search import find_joined_texts
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import train_sampler

N = 300
RNG = np.random.default_rng(4)
FIRST = RNG.choice(["Ann", "Bob", "Carla", "Dirk", "Émile"], N)
STEMS, MIDDLES = RNG.choice(list("BDKLMT"), N), RNG.choice(["en", "ick", "ar"], N)
LAST = np.array([f"{stem}{middle}son" for stem, middle in zip(STEMS, MIDDLES, strict=True)])
PEOPLE = list(zip(FIRST, LAST, strict=True))
LAT, LON = np.round(RNG.uniform(-38, -37, N), 4), np.round(RNG.uniform(144, 146, N), 4)
NUMBERS = 1_000 + RNG.permutation(9_000)[:N]
DAYS = np.datetime64("2023-01-01", "us") + RNG.integers(0, 300, N) * np.timedelta64(1, "D")
BRANCHES = RNG.choice(["Bern", "Oslo", "Rome"], N)
KINDS = RNG.choice(["Clothing", "Electronics"], N)
NO_LAST = np.arange(N) % 10 == 3
COLUMNS = {
    "first": pa.array(FIRST),
    "last": pa.array(LAST, mask=NO_LAST),
    "name": pa.array([f"{b}, {a}" for a, b in zip(FIRST, LAST, strict=True)], mask=NO_LAST),
    "mail": pa.array(
        [f"{a[0]}.{b}@example.com".lower() for a, b in zip(FIRST, LAST, strict=True)], mask=NO_LAST
    ),
    "lat": pa.array(LAT),
    "lon": pa.array(LON),
    "place": pa.array([f"({a}, {b})" for a, b in zip(LAT, LON, strict=True)]),
    "number": pa.array(NUMBERS),
    "account": pa.array([f"ACC-{number}" for number in NUMBERS]),
    "day": pa.array(DAYS),
    "order": pa.array([f"{DAYS[i].item():%Y%m%d}-{i:04d}/{BRANCHES[i]}" for i in range(N)]),
    "branch": pa.array(BRANCHES),
    "kind": pa.array(np.array(["x", "y"])[RNG.integers(0, 2, N)]),
}
IDS = {"order", "last", "name", "mail", "place", "number", "account"}


def types_of(table: pa.Table) -> dict[str, str]:
    types = {}
    for field in table.schema:
        types[field.name] = "category" if pa.types.is_string(field.type) else "number"
        if pa.types.is_temporal(field.type):
            types[field.name] = "datetime"
    return types | {name: "id" for name in IDS if name in types}


TABLE = pa.table(COLUMNS)


def joined_in(table: pa.Table) -> dict[str, JoinedText]:
    return {joined.column: joined for joined in find_joined_texts(table, types_of(table))}


def test_texts_that_consist_of_other_columns_are_found() -> None:
    names = {joined.name for joined in joined_in(TABLE).values()}
    assert names == {
        "last & first = name",
        "first & last = mail",
        "lat & lon = place",
        "number = account",
        "day & branch in order",
    }


@pytest.mark.parametrize(("exceptions", "is_joined"), [(1, True), (30, False)])
def test_identifiers_with_a_few_exceptions_are_joined(exceptions: int, is_joined: bool) -> None:
    places = TABLE["place"].to_pylist()
    places[200 : 200 + exceptions] = places[:exceptions]
    table = TABLE.set_column(6, "place", pa.array(places))
    assert ("place" in joined_in(table)) == is_joined
    types = types_of(table) | {"place": "category"}
    assert "place" not in {joined.column for joined in find_joined_texts(table, types)}


def test_categories_are_joined_only_if_few_rows_share_them() -> None:
    table = TABLE.select(["first", "last", "lat", "lon", "place"])
    types = types_of(table) | {"place": "category"}
    assert [joined.column for joined in find_joined_texts(table, types)] == ["place"]
    assert find_joined_texts(table, types, {"place"}) == []
    repeated = table.take(pa.array(np.arange(N) % 100))
    assert find_joined_texts(repeated, types) == []


def test_names_of_two_learned_columns_are_not_joined() -> None:
    types = types_of(TABLE) | {"last": "category", "name": "id"}
    assert "name" not in {joined.column for joined in find_joined_texts(TABLE, types)}


def test_the_initial_of_a_new_name_is_not_enough() -> None:
    users = [f"{first}{last[0]}".lower() for first, last in zip(FIRST, LAST, strict=True)]
    table = pa.table({"first": FIRST, "last": LAST, "user": users})
    types = {"first": "category", "last": "id", "user": "id"}
    assert find_joined_texts(table, types) == []


def test_few_missing_values_do_not_matter() -> None:
    table = TABLE.set_column(0, "first", pa.array(FIRST, mask=np.arange(N) == 17))
    mails = pa.array(TABLE["mail"].to_pylist(), mask=np.arange(N) % 60 == 1)
    table = table.set_column(3, "mail", mails)
    names = {joined.name for joined in joined_in(table).values()}
    assert {"last & first = name", "first & last = mail"} <= names


def test_copies_of_each_other_are_joined_once() -> None:
    table = pa.table({"name": COLUMNS["account"], "account": COLUMNS["account"]})
    assert len(joined_in(table)) == 1


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> TableSampler:
    schema = tuple(ColumnSchema(name, type) for name, type in types_of(TABLE).items())
    return train_sampler(TABLE, schema, tmp_path_factory.mktemp("model"), steps=20, label="kind")


def test_samples_join_the_texts_of_their_rows(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(200)).rows
    assert rows.schema.names == TABLE.column_names
    assert 0 < rows["last"].null_count < 60
    for joined in sampler.tokenizer.joined_texts:
        assert joined.holds(rows).all()


def test_the_rest_of_a_joined_identifier_is_new(sampler: TableSampler) -> None:
    orders = sampler.sample(1, np.arange(200)).rows["order"].to_pylist()
    assert len(set(orders)) == 200
    assert not set(orders) & set(TABLE["order"].to_pylist())
    assert all(re.fullmatch(r"2023\d{4}-\d{4}/(Bern|Oslo|Rome)", order) for order in orders)


def test_the_rest_of_an_identifier_keeps_its_number_of_digits() -> None:
    joined = joined_in(TABLE)["order"]
    schema = tuple(ColumnSchema(name, type) for name, type in types_of(TABLE).items())
    (column,) = fit_id_columns(TABLE, schema, ["order"], [joined], 0)
    restored = IdColumn.from_json({"name": "order", **column.to_json()}, column.arrow)
    rests = restored.values(1, np.arange(12_000)).to_pylist()
    assert {len(rest) for rest in rests} == {4}
    assert rests[:2] == ["0300", "0301"]
    assert len(set(rests)) == 9_999


def test_samples_that_are_no_training_rows_can_be_requested(sampler: TableSampler) -> None:
    rows = sampler.sample(1, np.arange(20), conditions={"kind": "x"}).rows
    assert set(rows["kind"].to_pylist()) == {"x"}


def test_partial_rows_with_a_joined_text_have_its_parts(sampler: TableSampler) -> None:
    given = [
        {"name": "Larson, Ann"},
        {"account": "ACC-77"},
        {"first": "Bob", "last": "Tarson"},
        {"order": "20230501-0007/Bern"},
    ]
    partial_rows = PartialRows.parse(sampler.tokenizer, given)
    rows = complete_rows(sampler, 1, np.arange(4), partial_rows).rows.to_pylist()
    assert rows[3]["order"] == "20230501-0007/Bern"
    assert (f"{rows[3]['day']:%Y-%m-%d}", rows[3]["branch"]) == ("2023-05-01", "Bern")
    assert (rows[0]["first"], rows[0]["last"]) == ("Ann", "Larson")
    assert rows[0]["mail"] == "a.larson@example.com"
    assert rows[1]["number"] == 77
    assert rows[2]["name"] == "Tarson, Bob"


def test_names_follow_from_a_given_address(sampler: TableSampler) -> None:
    given = [{"mail": "b.larson@example.com"}, {"mail": "d.quick@example.com"}]
    partial_rows = PartialRows.parse(sampler.tokenizer, given)
    rows = complete_rows(sampler, 1, np.arange(2), partial_rows).rows.to_pylist()
    assert [(row["first"], row["last"]) for row in rows] == [("Bob", "Larson"), ("Dirk", "Quick")]
    assert [row["mail"] for row in rows] == [row["mail"] for row in given]
    assert rows[0]["name"] == "Larson, Bob"


def test_an_initial_that_several_names_have_decides_no_name(tmp_path: Path) -> None:
    first = RNG.choice(["Ann", "Alan", "Anna", "Bob"], N)
    genders = {"Ann": "f", "Alan": "m", "Anna": "f", "Bob": "m"}
    table = pa.table(
        {
            "first": first,
            "last": LAST,
            "gender": [genders[name] for name in first],
            "mail": [f"{a[0]}.{b}@example.com".lower() for a, b in zip(first, LAST, strict=True)],
        }
    )
    types = types_of(table)
    schema = tuple(ColumnSchema(name, type) for name, type in types.items())
    sampler = train_sampler(table, schema, tmp_path, steps=20, relations=True)
    assert "first -> gender" in {each.name for each in sampler.tokenizer.coding.relations}
    mails = [{"mail": "a.larson@example.com"}] * 20
    given = [{**mail, "gender": gender} for mail in mails[:2] for gender in "fm"]
    partial_rows = PartialRows.parse(sampler.tokenizer, mails + given)
    rows = complete_rows(sampler, 1, np.arange(24), partial_rows).rows.to_pylist()
    assert {row["last"] for row in rows} == {"Larson"}
    assert {row["gender"] for row in rows[:20]} == {"f", "m"}
    assert [row["gender"] for row in rows[20:]] == ["f", "m", "f", "m"]
    assert all(genders[row["first"]] == row["gender"] for row in rows)


def test_an_order_number_follows_a_given_day_that_bounds_another_one(tmp_path: Path) -> None:
    sent = pa.array(DAYS + (1 + NUMBERS % 9) * np.timedelta64(1, "D"))
    codes = pa.array([f"{day.item():%Y%m%d}-{i:04d}" for i, day in enumerate(sent.to_numpy())])
    table = pa.table({"day": COLUMNS["day"], "sent": sent, "code": codes})
    types = types_of(table) | {"code": "id"}
    schema = tuple(ColumnSchema(name, type) for name, type in types.items())
    sampler = train_sampler(table, schema, tmp_path, steps=20, relations=True)
    partial_rows = PartialRows.parse(sampler.tokenizer, [{"sent": "2023-06-11"}])
    (row,) = complete_rows(sampler, 1, np.arange(1), partial_rows).rows.to_pylist()
    assert row["code"].startswith("20230611-")
    assert row["day"] <= row["sent"]


def test_a_given_text_of_another_form_is_kept(sampler: TableSampler) -> None:
    partial_rows = PartialRows.parse(sampler.tokenizer, [{"account": "77"}])
    (row,) = complete_rows(sampler, 1, np.arange(1), partial_rows).rows.to_pylist()
    assert row["account"] == "77"


@pytest.mark.parametrize(
    ("given", "column", "message"),
    [
        (
            {"first": "Bob", "name": "Larson, Ann"},
            "name",
            "contradicts the other given values, because `last & first = name`",
        ),
        (
            {"last": "Tarson", "mail": "a.larson@example.com"},
            "mail",
            "contradicts the other given values, because `first & last = mail`",
        ),
        (
            {"last": None, "name": "Larson, Ann"},
            "name",
            "contradicts the other given values, because `last & first = name`",
        ),
        (
            {"order": "20230501-0007/Bonn"},
            "order",
            "consists of `branch`, which has no such value in the training data",
        ),
        (
            {"name": "Larson, Xaver"},
            "name",
            "consists of `first`, which has no such value in the training data",
        ),
        (
            {"order": "20230231-0007/Bern"},
            "order",
            "consists of `day`, which must be a date",
        ),
        (
            {"mail": "x.larson@example.com"},
            "mail",
            "consists of `first`, which has no such value in the training data",
        ),
        ({"place": "(x, 144.5)"}, "place", "consists of `lat`, which must be a number"),
    ],
)
def test_texts_that_the_model_cannot_join_are_refused_where_they_are_given(
    given: dict[str, Any], column: str, message: str, sampler: TableSampler
) -> None:
    with pytest.raises(InvalidPartialRow) as refused:
        PartialRows.parse(sampler.tokenizer, [{"first": "Ann"}, given])
    assert (refused.value.row, refused.value.column) == (1, column)
    assert str(refused.value).startswith(message)


def test_given_parts_decide_where_a_text_is_split(sampler: TableSampler) -> None:
    rows = [{"first": "Ann", "name": "Larson, Ann"}, {"last": "Lar, son", "name": "Lar, son, Ann"}]
    partial_rows = PartialRows.parse(sampler.tokenizer, rows)
    assert partial_rows.values["first"].to_pylist() == ["Ann", "Ann"]
    assert partial_rows.values["last"].to_pylist() == ["Larson", "Lar, son"]


def test_texts_are_split_with_and_without_optional_parts() -> None:
    ways = ("same", "before_blank", "same")
    joined = JoinedText("name", ("first", "middle", "last"), ways, ("", " ", "", ""))
    unknown = [None] * 3
    assert joined.split("Ann B. Larson", unknown) == ("Ann", "B. ", "Larson")
    assert joined.split("Ann Larson", unknown) == ("Ann", "", "Larson")
    after = JoinedText("name", ("first", "middle"), ("same", "after_blank"), ("", "", ""))
    assert after.split("Ann", unknown[:2]) == ("Ann", "")


def test_a_text_that_must_be_unique_is_not_joined(tmp_path: Path) -> None:
    table = pa.table({"day": COLUMNS["day"], "branch": COLUMNS["branch"], "kind": COLUMNS["kind"]})
    codes = [f"{DAYS[i].item():%Y-%m-%d} {BRANCHES[i]}" for i in range(N)]
    table = table.append_column("code", pa.array(codes))
    types = types_of(table) | {"code": "id"}
    schema = tuple(ColumnSchema(name, type) for name, type in types.items())
    unique = [{"kind": "unique", "columns": ["code"]}]
    free, bound = (
        train_sampler(table, schema, tmp_path, steps=2, label="kind", constraints=constraints)
        for constraints in ([], unique)
    )
    assert [joined.column for joined in free.tokenizer.joined_texts] == ["code"]
    assert bound.tokenizer.joined_texts == ()


def test_joined_texts_can_be_switched_off(tmp_path: Path) -> None:
    schema = tuple(ColumnSchema(name, type) for name, type in types_of(TABLE).items())
    model = train_sampler(
        TABLE, schema, tmp_path, steps=2, label="kind", relations=["lat & lon = place"]
    )
    assert "place" not in {joined.column for joined in model.tokenizer.joined_texts}
    assert len(model.tokenizer.joined_texts) == 4


def test_names_with_optional_parts_are_joined() -> None:
    middles = [None if i % 3 else "B." for i in range(N)]
    titles = [None if i % 4 else "Dr." for i in range(N)]
    names = [
        " ".join(filter(None, parts)) for parts in zip(titles, FIRST, middles, LAST, strict=True)
    ]
    table = pa.table(
        {"title": titles, "first": FIRST, "middle": middles, "last": LAST, "name": names}
    )
    types = {"title": "category", "first": "category", "middle": "category"}
    joined = find_joined_texts(table, types | {"last": "id", "name": "id"})
    assert [each.name for each in joined] == ["title & first & middle & last = name"]
    assert joined[0].compute(table).to_pylist() == names


def test_slugs_and_addresses_are_joined_without_accents_and_apostrophes() -> None:
    last = np.where(np.arange(N) % 7 == 0, "O'Brien", LAST)
    plain = [
        (a.lower().replace("é", "e"), b.lower().replace("'", ""))
        for a, b in zip(FIRST, last, strict=True)
    ]
    table = pa.table(
        {
            "first": FIRST,
            "last": last,
            "slug": [f"{a}-{b}" for a, b in plain],
            "mail": [f"{a}.{b}@example.com" for a, b in plain],
        }
    )
    types = {"first": "category", "last": "id", "slug": "id", "mail": "id"}
    joined = {each.column: each for each in find_joined_texts(table, types)}
    assert set(joined) == {"slug", "mail"}
    for name, each in joined.items():
        assert each.compute(table).to_pylist() == table[name].to_pylist()


def test_names_without_accents_are_joined_in_the_case_of_the_names() -> None:
    cities = [f"{('Málaga', 'Łódź', 'São João', 'Bonn')[i % 4]} {i}" for i in range(N)]
    plain = [f"{('Malaga', 'Lodz', 'Sao Joao', 'Bonn')[i % 4]} {i}" for i in range(N)]
    table = pa.table({"city": cities, "city_ascii": plain})
    (joined,) = find_joined_texts(table, {"city": "id", "city_ascii": "id"})
    assert (joined.column, joined.others) == ("city_ascii", ["city"])
    assert joined.compute(table).to_pylist() == plain


def build_mails(domains: list[str], numbers: list[str]) -> pa.Table:
    mails = [
        f"{a[0]}{b}{numbers[i % len(numbers)]}@{domains[i % len(domains)]}".lower()
        for i, (a, b) in enumerate(zip(FIRST, LAST, strict=True))
    ]
    return pa.table({"first": FIRST, "last": LAST, "mail": mails})


def test_addresses_at_several_domains_are_joined_with_a_new_end() -> None:
    table = build_mails(["a.com", "b.org", "c.net"], ["", "7", "34"])
    types = {"first": "category", "last": "id", "mail": "id"}
    (joined,) = find_joined_texts(table, types)
    assert joined.name == "first & last in mail"
    columns = [ColumnSchema(name, type) for name, type in types.items()]
    (fitted,) = fit_id_columns(table, columns, ["mail"], [joined], 0)
    restored = IdColumn.from_json({"name": "mail", **fitted.to_json()}, pa.string())
    ends = restored.values(3, np.arange(500)).to_pylist()
    assert all(re.fullmatch(r"\d{0,2}@(a\.com|b\.org|c\.net)", end) for end in ends)


def test_domains_of_few_addresses_are_not_shown() -> None:
    domains = [f"firm{i}.com" for i in range(200)]
    ends = EmailEnds.fit([f"@{domain}" for domain in domains])
    assert ends is not None
    assert {domain for domain, _ in ends.domains} == set(EXAMPLE_DOMAINS)


def test_addresses_of_learned_names_are_not_joined() -> None:
    table = build_mails(["a.com", "b.org"], [""])
    types = {"first": "category", "last": "category", "mail": "id"}
    assert find_joined_texts(table, types) == []


def test_the_number_after_a_new_name_keeps_its_size() -> None:
    users = [f"{b}{i * 7 % 99 + 1}".lower() for i, b in enumerate(LAST)]
    table = pa.table({"last": LAST, "user": users})
    types = {"last": "id", "user": "id"}
    (joined,) = find_joined_texts(table, types)
    columns = [ColumnSchema(name, type) for name, type in types.items()]
    (fitted,) = fit_id_columns(table, columns, ["user"], [joined], 0)
    numbers = [int(text) for text in fitted.values(3, np.arange(900)).to_pylist()]
    assert max(numbers) < 100


def test_a_name_with_its_last_word_first_is_joined(tmp_path: Path) -> None:
    names = [f"{a} de  {b}" if i % 9 else str(b) for i, (a, b) in enumerate(PEOPLE)]
    inverted = [f"{b}, {a} de" if i % 9 else f"{b}, {b}" for i, (a, b) in enumerate(PEOPLE)]
    mails = [f"{name[0]}{b}@a.com".lower() for name, (_, b) in zip(names, PEOPLE, strict=True)]
    columns = {"author": names, "sorted": inverted, "mail": mails, "kind": COLUMNS["kind"]}
    schema = (
        *(ColumnSchema(name, "id") for name in ("author", "sorted", "mail")),
        ColumnSchema("kind", "category"),
    )
    sampler = train_sampler(pa.table(columns), schema, tmp_path, steps=20, label="kind")
    for row in sampler.sample(1, np.arange(50)).rows.to_pylist():
        *first, last = row["author"].split()
        assert row["sorted"] == f"{last}, {' '.join(first) or last}"
    partial_rows = PartialRows.parse(sampler.tokenizer, [{"sorted": "Larson, Ann"}])
    (row,) = complete_rows(sampler, 1, np.arange(1), partial_rows).rows.to_pylist()
    assert (row["author"], row["mail"]) == ("Ann Larson", "alarson@a.com")


def test_a_name_of_a_file_with_the_minute_of_its_row_is_joined(tmp_path: Path) -> None:
    starts = DAYS + RNG.integers(0, 86_400, N) * np.timedelta64(1, "s")
    files = [f"{start.item():%Y-%m-%d-%H%M}.gpx" for start in starts]
    table = pa.table({"start": starts, "file": files, "kind": COLUMNS["kind"]})
    schema = (
        ColumnSchema("start", "datetime"),
        ColumnSchema("file", "id"),
        ColumnSchema("kind", "category"),
    )
    sampler = train_sampler(table, schema, tmp_path, steps=20, label="kind")
    for row in sampler.sample(1, np.arange(50)).rows.to_pylist():
        assert row["file"] == f"{row['start']:%Y-%m-%d-%H%M}.gpx"
    partial_rows = PartialRows.parse(sampler.tokenizer, [{"file": "2023-05-01-1726.gpx"}])
    (row,) = complete_rows(sampler, 1, np.arange(1), partial_rows).rows.to_pylist()
    assert f"{row['start']:%Y-%m-%d %H:%M}" == "2023-05-01 17:26"


def test_numbers_that_restart_with_another_part_keep_their_range() -> None:
    states = ["Ohio" if i % 5 else "Utah" for i in range(N)]
    districts = [
        f"{state}-{1 + i % (30 if state == 'Ohio' else 4)}" for i, state in enumerate(states)
    ]
    table = pa.table({"state": states, "district": districts})
    (joined,) = find_joined_texts(table, {"state": "category", "district": "id"})
    columns = [ColumnSchema("state", "category"), ColumnSchema("district", "id")]
    (fitted,) = fit_id_columns(table, columns, ["district"], [joined], 0)
    restored = IdColumn.from_json({"name": "district", **fitted.to_json()}, pa.string())
    rows = table.combine_chunks().to_batches()[0]
    rests = restored.match_rows(restored.values(3, np.arange(N)), rows).to_pylist()
    numbers = {
        state: {int(r) for r, s in zip(rests, states, strict=True) if s == state}
        for state in states
    }
    assert numbers["Utah"] == {1, 2, 3, 4}
    assert 15 < len(numbers["Ohio"]) <= max(numbers["Ohio"]) <= 30
