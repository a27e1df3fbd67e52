"""Postal codes of samples fit the city and the state of their row."""

import re

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.identifiers.fitting import fit_id_columns
from models.tabular.identifiers.places.region_shapes import RegionShapes
from models.tabular.relations.texts.search import find_joined_texts
from models.tabular.schema import ColumnSchema
from models.tabular.tokenizer import Tokenizer
from models.tabular.tokenizer_tensors import from_tensors, to_tensors

PREFIXES = {
    ("Buffalo", "NY"): "142",
    ("Albany", "NY"): "122",
    ("Springfield", "IL"): "627",
    ("Springfield", "MA"): "011",
    ("Boston", "MA"): "021",
}
SCHEMA = (
    ColumnSchema("city", "category"),
    ColumnSchema("state", "category"),
    ColumnSchema("zip", "id"),
)


def make_addresses(count: int = 300) -> pa.Table:
    rng = np.random.default_rng(5)
    places = [list(PREFIXES)[i] for i in rng.integers(0, len(PREFIXES), count)]
    codes = [f"{PREFIXES[place]}{rng.integers(0, 100):02}" for place in places]
    cities, states = zip(*places, strict=True)
    return pa.table({"city": cities, "state": states, "zip": codes})


def sample_addresses(table: pa.Table, schema: tuple[ColumnSchema, ...] = SCHEMA) -> pa.RecordBatch:
    """Return the rows of a table with new identifiers."""
    tokenizer = from_tensors(*to_tensors(Tokenizer.fit(table, schema, target_column=None, seed=1)))
    tokens = tokenizer.encode(table, 1)
    u = np.random.default_rng(1).random((tokenizer.num_decode_uniforms, len(table)))
    ids = {each.name: each.values(7, np.arange(len(table))) for each in tokenizer.id_columns}
    return tokenizer.decode(tokens, u, ids)


def test_long_and_damaged_postal_codes_do_not_prevent_that_codes_fit() -> None:
    table = make_addresses()
    codes = [
        "1--99" if i == 7 else f"{code}{i * 91 % 10_000:04}" if i % 3 == 0 else code
        for i, code in enumerate(table["zip"].to_pylist())
    ]
    rows = sample_addresses(table.set_column(2, "zip", pa.array(codes))).to_pylist()
    assert all(row["zip"][:3] == PREFIXES[row["city"], row["state"]] for row in rows)
    assert {len(row["zip"]) for row in rows} == {5, 9}


def test_postal_codes_begin_as_those_of_their_city_and_state() -> None:
    table = make_addresses()
    rows = sample_addresses(table).to_pylist()
    assert all(row["zip"][:3] == PREFIXES[row["city"], row["state"]] for row in rows)
    assert all(len(row["zip"]) == 5 for row in rows)
    assert [row["zip"] for row in rows] != table["zip"].to_pylist()


def test_postal_codes_that_are_integers_keep_their_digits() -> None:
    table = make_addresses()
    codes = pa.array([int(code) for code in table["zip"].to_pylist()])
    rows = sample_addresses(table.set_column(2, "zip", codes)).to_pylist()
    assert all(f"{row['zip']:05}"[:3] == PREFIXES[row["city"], row["state"]] for row in rows)


def test_a_beginning_of_fewer_than_three_rows_is_not_used() -> None:
    table = make_addresses()
    rare = pa.table({"city": ["Nome", "Nome"], "state": ["AK", "AK"], "zip": ["99762", "99763"]})
    rows = sample_addresses(pa.concat_tables([table, rare])).to_pylist()
    assert not any(row["zip"].startswith("9976") for row in rows)
    assert {row["zip"][:3] for row in rows if row["city"] == "Buffalo"} == {"142"}


def test_postal_codes_have_the_shape_of_those_of_their_country() -> None:
    rng = np.random.default_rng(5)
    shapes = {"PL": "{:02}-{:03}", "NL": "{1:04} AB", "DE": "{:02}{:03}", "AT": "{1:04}"}
    countries = [list(shapes)[i] for i in rng.integers(0, 4, 200)]
    codes = [
        shapes[c].format(int(rng.integers(10, 99)), int(rng.integers(100, 999))) for c in countries
    ]
    schema = (ColumnSchema("country", "category"), ColumnSchema("postcode", "id"))
    table = pa.table({"country": countries, "postcode": codes})
    patterns = {"PL": r"\d\d-\d{3}", "NL": r"\d{4} [A-Z]{2}", "DE": r"\d{5}", "AT": r"\d{4}"}
    rows = sample_addresses(table, schema).to_pylist()
    assert all(re.fullmatch(patterns[row["country"]], row["postcode"]) for row in rows)


def test_postal_codes_of_two_countries_fit_the_state_and_the_country_of_their_row() -> None:
    rng = np.random.default_rng(5)
    first = {"CA": "9", "NY": "1", "ON": "M", "QC": "H"}
    states = [list(first)[i] for i in rng.integers(0, 4, 300)]
    ends = [
        f"{rng.integers(0, 10_000):04}"
        if first[state].isdigit()
        else "{}{} {}{}{}".format(
            *(rng.choice(list(kind)) for kind in ("345", "AB", "67", "CE", "89"))
        )
        for state in states
    ]
    table = pa.table(
        {
            "country": ["US" if first[state].isdigit() else "CA" for state in states],
            "state": states,
            "zip": [first[state] + end for state, end in zip(states, ends, strict=True)],
        }
    )
    patterns = {"US": r"\d{5}", "CA": r"[A-Z]\d[A-Z] \d[A-Z]\d"}
    for row in sample_addresses(
        table, (ColumnSchema("country", "category"), *SCHEMA[1:])
    ).to_pylist():
        assert row["zip"][0] == first[row["state"]]
        assert re.fullmatch(patterns[row["country"]], row["zip"])


def test_letters_of_other_scripts_are_not_part_of_a_shape() -> None:
    """The shape would be the text of these rows."""
    codes = ["кв. Иванова 5"] * 3 + ["123-45"] * 60 + ["1234"] * 60
    country = pa.array(["RU"] * 3 + ["PL"] * 60 + ["AT"] * 60)
    shapes = RegionShapes.fit("post", pa.array(codes), {"country": country})
    assert shapes is not None
    assert set(shapes.shapes) == {"PL", "AT"}


def test_a_text_that_is_joined_later_is_no_region() -> None:
    table = make_addresses()
    numbers = [0 if i < 60 else i for i in range(len(table))]
    pairs = zip(table["state"].to_pylist(), numbers, strict=True)
    place = [f"{state}, {number}" for state, number in pairs]
    table = table.select(["zip", "state"]).append_column("number", pa.array(numbers))
    table = table.append_column("place", pa.array(place))
    types = {"zip": "id", "state": "category", "number": "integer", "place": "category"}
    (joined,) = find_joined_texts(table, types)
    schema = [ColumnSchema(name, type) for name, type in types.items()]
    (id_column,) = fit_id_columns(table, schema, ["zip"], [joined], 0)
    assert joined.column == "place"
    assert id_column.prefixes is not None
    assert id_column.prefixes.columns == ("state",)


@pytest.mark.parametrize("name", ["badge", "zip"])
def test_other_codes_do_not_depend_on_the_place(name: str) -> None:
    """Codes that are not postal, or that do not differ between the places, stay random."""
    table = make_addresses()
    if name == "zip":
        rng = np.random.default_rng(2)
        codes = pa.array([f"{n:05}" for n in rng.integers(0, 100_000, len(table))])
        table = table.set_column(2, "zip", codes)
    table = table.rename_columns(["city", "state", name])
    schema = (*SCHEMA[:2], ColumnSchema(name, "id"))
    rows = sample_addresses(table, schema).to_pylist()
    assert len({row[name][:2] for row in rows if row["city"] == "Buffalo"}) > 3


def test_codes_with_an_apostrophe_fit_their_region_and_keep_it() -> None:
    table = make_addresses()
    codes = [f"'{code}" for code in table.column("zip").to_pylist()]
    rows = sample_addresses(table.set_column(2, "zip", pa.array(codes)))
    for city, state, code in zip(*(rows.column(i).to_pylist() for i in range(3)), strict=True):
        assert code.startswith(f"'{PREFIXES[city, state]}")
        assert len(code) == 6
