"""Columns that identify rows or people: recognition, choices and issues."""

import json
import random
import re
import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from modalities.tabular.upload.schema_overrides import ColumnOverride
from models.tabular.identifiers.columns import IdColumn
from models.tabular.identifiers.patterns import FIRM
from models.tabular.identifiers.words.library_words import names
from tests.modalities.tabular.conftest import Read, Reject
from tests.modalities.tabular.factories import build_column_csv, build_csv

COUNT = 120
FIRST = ("James", "Mary", "Robert", "Linda", "David", "Susan", "Thomas", "Karen", "Daniel", "Lisa")
LAST = ("Smith", "Johnson", "Brown", "Miller", "Davis", "Wilson", "Moore", "Taylor", "White",
        "Harris", "Clark", "Lewis")  # fmt: skip
PEOPLE = [f"{a} {b}" for a in FIRST for b in LAST]
KINDS: dict[str, list[str]] = {
    "uuid": [f"{i:08x}-0000-4000-8000-{7 * i:012x}" for i in range(COUNT)],
    "email": [f"{person.lower().replace(' ', '.')}@example.com" for person in PEOPLE],
    "ip": [f"10.0.{i}.{255 - i}" for i in range(COUNT)],
    "iban": [f"DE{i % 90 + 10} 3704 0044 0532 {i:04} 00" for i in range(COUNT)],
    "phone": [f"({200 + i}) 555-{1000 + i}" for i in range(COUNT)],
    "url": [f"https://example.com/page/{i}" for i in range(COUNT)],
    "person": PEOPLE,
    "street": [f"{i + 1} {LAST[i % 12]} Street" for i in range(COUNT)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_known_kinds_of_identifiers_are_recognized(kind: str, read: Read) -> None:
    table = read(build_column_csv(*KINDS[kind]))
    assert (table["a"].type, table["a"].format, table["a"].exclude) == ("id", kind, False)
    issue = table.issue("id_like_column")
    assert issue is not None
    assert issue["examples"] == [f"a ({kind})"]
    assert "some equal a real one by chance" in issue["hint"]


def test_addresses_that_rows_share_are_identifiers_where_each_is_rare(read: Read) -> None:
    assert read(build_column_csv(*KINDS["email"] * 3))["a"].format == "email"


def test_rare_values_of_people_among_common_ones_are_an_error(read: Read) -> None:
    emails = [*KINDS["email"][:15], *["info@example.com"] * 500]
    table = read(build_column_csv(*emails))
    assert table["a"].type == "category"
    issue = table.issue("personal_values")
    assert issue is not None
    assert issue["severity"] == "error"
    assert issue["examples"] == ["a (email): 15 values in fewer than 10 rows each"]


def test_common_categories_are_no_issue(read: Read) -> None:
    table = read(build_column_csv(*["Berlin", "Paris", "Rome"] * 40))
    assert table["a"].type == "category"
    assert table.issue("personal_values") is None


def test_nearly_unique_codes_are_identifiers(read: Read) -> None:
    codes = [f"C-{i * 37 % 1000:03}" for i in range(COUNT - 4)] * 1 + ["C-000"] * 4
    assert read(build_column_csv(*codes))["a"].type == "id"


def test_few_rows_with_some_different_values_stay_categories(read: Read) -> None:
    cities = [f"city {i % 20}" for i in range(30)]
    assert read(build_column_csv(*cities))["a"].type == "category"


@pytest.mark.parametrize("name", ["patient_no", "Phone", "accountNumber", "ISBN"])
def test_unique_numbers_of_something_are_identifiers(name: str, read: Read) -> None:
    numbers = [100_000 + i * 7_919 % 900_000 for i in range(COUNT)]
    assert read(build_column_csv(*numbers, name=name))[name].type == "id"
    assert read(build_column_csv(*numbers, name="income"))["income"].type == "integer"


def test_unique_numbers_of_many_equal_digits_are_identifiers_unless_they_are_times(
    read: Read,
) -> None:
    cards = [4_000_000_000_000_000 + i * 7_919_000_007 for i in range(COUNT)]
    times = [1_600_000_000_000 + i * 7_919_007 for i in range(COUNT)]
    assert read(build_column_csv(*cards))["a"].type == "id"
    assert read(build_column_csv(*times))["a"].type == "integer"


def test_unique_lists_are_left_out_instead_of_recomposed(read: Read) -> None:
    rows = [json.dumps({"v": i % 7, "tags": [f"tag {i}", f"of {i * 31}"]}) for i in range(COUNT)]
    table = read("\n".join(rows), "rows.ndjson")
    assert (table["tags"].type, table["tags"].exclude) == ("text", True)
    assert table.issue("lists") is not None


def test_rare_sentences_among_common_words_are_free_text(read: Read) -> None:
    notes = [
        f"On day {i} the patient reported that the pain had moved to the back" for i in range(40)
    ]
    assert read(build_column_csv(*notes, *["NA"] * 80))["a"].type == "text"


@pytest.mark.parametrize(
    ("choice", "type", "exclude"),
    [("regenerate", "id", False), ("drop", "id", True), ("keep", "category", False)],
)
def test_the_owner_chooses_what_samples_have(
    choice: str, type: str, exclude: bool, read: Read
) -> None:
    override = ColumnOverride("a", identifier=choice)  # type: ignore[arg-type]
    table = read(build_column_csv(*PEOPLE), columns=(override,))
    assert (table["a"].type, table["a"].exclude) == (type, exclude)
    assert (table.issue("personal_values") is not None) == (choice == "keep")


def test_integers_that_are_kept_stay_integers(read: Read) -> None:
    override = ColumnOverride("id", identifier="keep")
    assert read(build_column_csv(*range(COUNT), name="id"), columns=(override,))["id"].type == (
        "integer"
    )


def test_a_category_becomes_an_identifier_of_its_kind(read: Read) -> None:
    emails = ["a.b@example.com", "c.d@example.com"] * 20
    table = read(build_column_csv(*emails), columns=(ColumnOverride("a", identifier="regenerate"),))
    assert (table["a"].type, table["a"].format) == ("id", "email")


def test_unknown_kinds_of_identifiers_are_rejected(reject: Reject) -> None:
    error = reject(build_column_csv(*PEOPLE), columns=(ColumnOverride("a", format="passport"),))
    assert error.field_errors[0].code == "format_unknown"


def test_places_that_share_a_word_are_not_people(read: Read) -> None:
    counties = [f"{name} {kind}" for name in LAST for kind in ("County", "City")]
    table = read(build_column_csv(*counties, name="name"))
    assert (table["name"].type, table["name"].format) == ("id", None)


@pytest.mark.parametrize(
    "names",
    [
        ["Germany", "France", "Italy", "Spain", "Poland", "Chad", "Jordan", "Kenya", "Peru", "Fiji",
         "Iran", "Oman", "Mali", "Cuba", "Togo", "Niger", "Malta", "Qatar", "Nepal", "Elbonia"],
        ["AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "FL", "GA", "HI", "ID", "IL", "IN", "IA",
         "KS", "KY", "LA", "ME", "MD", "MA"],
    ],
)  # fmt: skip
def test_unique_names_of_public_lists_are_categories(names: list[str], read: Read) -> None:
    table = read(build_column_csv(*names))
    assert table["a"].type == "category"
    assert table.issue("personal_values") is None


def test_titles_and_names_in_other_scripts_are_identifiers(read: Read) -> None:
    titles = [f"How {i} houses of the old town were built" for i in range(COUNT)]
    assert read(build_column_csv(*titles))["a"].type == "id"
    names = [f"東京都{chr(0x4E00 + i)}{chr(0x5000 + i)}" for i in range(COUNT)]
    assert read(build_column_csv(*names))["a"].type == "id"


def test_names_of_neighborhoods_are_not_people(read: Read) -> None:
    places = [f"{a} {b}" for a in FIRST for b in ("Heights", "Gardens", "Corner", "Grove")]
    table = read(build_column_csv(*places, name="NEIGHBORHOOD_NAME"))
    assert table["NEIGHBORHOOD_NAME"].format is None


def test_grouped_numbers_are_phones_in_any_column(read: Read) -> None:
    numbers = [f"{200 + i} {300 + i}-{1000 + 7 * i}" for i in range(COUNT)]
    assert read(build_column_csv(*numbers, name="number"))["number"].format == "phone"


def test_several_people_in_one_cell_are_people(read: Read) -> None:
    pairs = [f"{a} and {b}" for a, b in zip(PEOPLE, reversed(PEOPLE), strict=True)]
    assert read(build_column_csv(*pairs, name="writers"))["writers"].format == "person"


@pytest.mark.parametrize("name", ["Rank", "Overall", "pos", "age", "week"])
def test_ranks_and_times_that_count_up_are_learned(name: str, read: Read) -> None:
    assert read(build_column_csv(*range(1, 60), name=name))[name].type == "integer"


@pytest.mark.parametrize("name", ["rownames", "Unnamed: 0", "row", "", "obs"])
def test_row_numbers_with_gaps_are_identifiers_as_are_their_copies(name: str, read: Read) -> None:
    numbers = [i for i in range(1, 200) if i % 5]
    others = {"year": [1900 + i // 2 for i in numbers], "dose": [3 * i for i in numbers]}
    table = read(build_csv({name: numbers, "copy": numbers, **others}))
    types = [column.type for column in table.summary.schema.columns]
    assert types == ["id", "id", "integer", "integer"]


@pytest.mark.parametrize(
    "numbers",
    [
        [*range(1900, 1990, 2)],  # years
        [*range(40, 80, 2)],  # measured from 40 on
        [i * i for i in range(1, 60)],  # amounts in order
        [i for i in range(100, 0, -1) if i % 5],  # the numbers fall
    ],
)
def test_other_increasing_numbers_of_the_first_column_are_learned(
    numbers: list[int], read: Read
) -> None:
    assert read(build_column_csv(*numbers))["a"].type == "integer"


def test_long_titles_of_one_form_are_identifiers_and_sentences_are_not(read: Read) -> None:
    games = [
        f"Chicago {LAST[i % 12]}s at Houston {LAST[i // 12]}s on 0{i % 9}-Nov-2014 ({i + 90370})"
        for i in range(COUNT)
    ]
    assert read(build_column_csv(*games))["a"].type == "id"


def test_different_numbers_and_dates_with_some_words_stay_numbers_and_dates(read: Read) -> None:
    numbers = [f"{i * 37 % 1009 / 10}" for i in range(COUNT - 9)] + ["about 3", "'-"] + ["NuLL"] * 7
    table = read(build_column_csv(*numbers))
    assert table["a"].type == "number"
    issue = table.issue("odd_values")
    assert issue is not None
    assert issue["count"] == 9
    dates = [f"{1 + i % 12}/{1 + i % 28}/{10 + i % 14}" for i in range(COUNT - 9)] + ["unknown"] * 9
    assert read(build_column_csv(*dates))["a"].type == "datetime"


@pytest.mark.parametrize(
    ("texts", "is_quantity"),
    [
        ([f"{i} ({i / 3:.1f}%)" for i in range(60)], True),
        ([f"{100 + i}/{60 + i % 40}" for i in range(60)], True),
        ([f"{i}-{i + 9}" for i in range(60)], True),
        ([f"1.{i:02} (1.0{i % 10}-2.{i:02})" for i in range(60)], True),
        ([f"{i} yrs {i % 12} mos" for i in range(60)], True),
        ([f"+{i}.25" if i % 3 else f"+{i} laps" for i in range(60)], True),
        ([f"{100 + i}-{10 + i}-{1000 + i}" for i in range(60)], False),
        ([f"{i:03}-{i + 7:02}" for i in range(60)], False),
        ([f"{10 + i % 50}-{1000 + 7 * i}" for i in range(60)], False),
        ([f"A{i}-{2 * i}" for i in range(60)], False),
        ([f"{i}.{i % 7}.{i % 5}" for i in range(60)], False),
        ([f"Row {i} of the long table of things" for i in range(60)], False),
    ],
)
def test_several_numbers_in_one_cell_are_quantities_and_codes_are_not(
    texts: list[str], is_quantity: bool, read: Read
) -> None:
    table = read(build_column_csv(*texts))
    assert (table["a"].format == "quantity") == is_quantity


def test_one_word_among_many_numbers_is_missing_and_returned(read: Read) -> None:
    values = ["<0.5" if i % 4 == 0 else f"{0.5 + i / 10:.1f}" for i in range(200)]
    table = read(build_column_csv(*values))
    assert (table["a"].type, table["a"].missing) == ("number", "<0.5")
    assert table.values("a").count(None) == 50
    issue = table.issue("odd_values")
    assert issue is not None
    assert issue["count"] == 50


def test_a_single_odd_value_is_not_the_word_for_missing_values(read: Read) -> None:
    for odd in ("11:34", "secret"):
        table = read(build_column_csv(odd, *(f"{0.5 + i / 10:.1f}" for i in range(200))))
        assert (table["a"].type, table["a"].missing) == ("number", None)


def test_languages_are_public_and_may_stand_above_themselves(read: Read) -> None:
    names = "Arabic Basque Czech Danish Dutch English Finnish French German Greek Hindi Italian"
    names += " Korean Latin Malay Nepali Polish Russian Spanish Swedish Thai Turkish Urdu Welsh"
    rows = [*names.split(), "Dhivehi; Maldivian", "Spanish; Castilian"]
    table = read(build_column_csv(*rows, name="English"))
    assert table.values("English") == rows
    assert table["English"].type == "category"


def test_people_with_nicknames_are_people_and_the_nicknames_are_not_kept(read: Read) -> None:
    names = [name.replace(" ", ' "Ace" ') if i % 3 else name for i, name in enumerate(PEOPLE)]
    table = read(build_column_csv(*names, name="name"))
    assert table["name"].format == "person"
    column = IdColumn.fit("name", pa.string(), pa.array(table.values("name")), kind="person")
    assert not any("Ace" in name for name in column.values(7, np.arange(60)).to_pylist())


@pytest.mark.parametrize("others", [[], ["Bronx", "Queens", "Male", "Female", "Asian", "White"]])
def test_groups_of_ages_are_categories_and_no_new_ones_are_made(
    others: list[str], read: Read
) -> None:
    ages = ["0-4", "5-12", "13-17", "0-17", "18-24", "25-34", "35-44", "45-54", "55-64", "65-74"]
    ages += ["75-84", "85+", *(f"{low}-{low + 4}" for low in range(85, 125, 5))]
    table = read(build_column_csv(*ages, *others, name="subgroup"))
    assert table["subgroup"].type == "category"
    assert table.issue("personal_values") is None


@pytest.mark.parametrize("code", ["24-{:05}", "M-{:06}"])
def test_codes_with_a_hyphen_are_neither_groups_nor_quantities(code: str, read: Read) -> None:
    table = read(build_column_csv(*(code.format(1180 + 7 * i) for i in range(160)), name="sample"))
    assert (table["sample"].type, table["sample"].format) == ("id", None)
    assert table.issue("unread_numbers") is None


MOLECULES = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C[C@H](N)C(=O)O"]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("smiles", ["C" * (1 + i // 3) + MOLECULES[i % 3] for i in range(60)]),
        ("a", [f"InChI=1S/C{i}H{2 * i}O/c1-2" for i in range(60)]),
        ("formula", [f"C{i + 1}H{2 * i + 2}NaO2" for i in range(60)]),
    ],
)
def test_molecules_are_left_out_with_an_issue(name: str, texts: list[str], read: Read) -> None:
    table = read(build_column_csv(*texts, name=name))
    assert (table[name].type, table[name].exclude) == ("text", True)
    assert table.issue("free_text") is not None


def test_names_of_services_are_not_people_and_people_may_be_models(read: Read) -> None:
    kinds = ("Activity Center", "Senior Employment", "Literacy Program", "Passport Office")
    services = [f"{place} {kind}" for place in (*LAST, "Fair Oaks") for kind in kinds]
    assert read(build_column_csv(*services, name="name"))["name"].format is None
    assert read(build_column_csv(*PEOPLE, name="model"))["model"].format == "person"


@pytest.mark.parametrize("name", ["first", "last", "real_name", "name_first", "given"])
def test_columns_of_names_are_people_if_few_names_are_known(name: str, read: Read) -> None:
    rare = [f"{a}{b}" for a in ("Ro", "De", "Ta", "Ke") for b in ("nisha", "onte", "vell", "zek")]
    names = [*FIRST, *LAST, *rare, *(f"{each}a" for each in rare), *(f"{a}o" for a in rare)] * 2
    assert read(build_column_csv(*names, name=name))[name].format == "person"
    assert read(build_column_csv(*rare * 6, name=name))[name].type == "category"


def test_pages_of_countries_are_public(read: Read) -> None:
    countries = "Germany France Italy Spain Poland Chad Jordan Kenya Peru Fiji Iran Oman Mali Cuba"
    countries += " Togo Niger Malta Qatar Nepal Brazil Chile Ghana India Japan"
    pages = [f"https://example.com/wiki/{name}" for name in countries.split()]
    assert read(build_column_csv(*pages))["a"].type == "category"


def test_a_few_states_among_codes_do_not_make_them_public(read: Read) -> None:
    codes = [f"{10_000 + i * 7_919 % 90_000}-{i:04}" for i in range(COUNT)] + ["IN", "TN"]
    assert read(build_column_csv(*codes))["a"].type == "id"


def test_people_of_few_rows_are_identifiers_where_the_column_says_so(read: Read) -> None:
    rows = {"first_name": FIRST, "email": KINDS["email"][:10], "band": PEOPLE[:10], "n": range(10)}
    assert read(build_csv(rows)).types == {
        "first_name": "id",
        "email": "id",
        "band": "category",
        "n": "integer",
    }


def test_members_with_titles_are_people(read: Read) -> None:
    titles = ("Rep.", "Sen.", "Senator", "Gov.")
    names = [f"{titles[i % 4]} {name}" for i, name in enumerate(PEOPLE)]
    assert read(build_column_csv(*names, name="name"))["name"].format == "person"


def test_symbols_are_categories(read: Read) -> None:
    flags = ["".join(chr(0x1F1E6 + k) for k in divmod(i, 26)) for i in range(COUNT)]
    table = read(build_column_csv(*flags))
    assert table["a"].type == "category"
    assert table.issue("personal_values") is None


def test_few_words_among_very_many_numbers_are_missing_and_named(read: Read) -> None:
    values = [("REP", "DEM")[i % 2] if i % 20 == 0 else i * 37 % 1009 for i in range(2_000)]
    table = read(build_column_csv(*values))
    assert table["a"].type == "integer"
    issue = table.issue("odd_values")
    assert issue is not None
    assert issue["count"] == 100
    codes = [("F", "B")[i % 2] if i % 60 == 0 else i % 3 for i in range(2_000)]
    assert read(build_column_csv(*codes))["a"].type == "category"


def test_names_of_attorneys_are_people_and_names_of_employers_are_not(read: Read) -> None:
    rows = {
        "AGENT_ATTORNEY_NAME": [
            name if i % 6 else f"{name} /LAW OFFICES OF {name.upper()} AND SONS"
            for i, name in enumerate(PEOPLE * 3)
        ],
        "Employer_Name": [f"{name} FARMS" if i % 2 else name for i, name in enumerate(PEOPLE * 3)],
    }
    table = read(build_csv(rows))
    assert table["AGENT_ATTORNEY_NAME"].format == "person"
    assert table["Employer_Name"].format != "person"


@pytest.mark.parametrize("name", ["Address1", "shipAddress", "street_address", "direccion"])
def test_addresses_of_any_country_are_streets_where_the_column_says_so(
    name: str, read: Read
) -> None:
    forms = ("Berliner Platz {}", "P.O. Box {}, 6625 Porttitor Av.", "Carrera {} con Ave. #8-35")
    addresses = [forms[i % 3].format(i) for i in range(COUNT)] + ["Obere Str. Nord"] * 2
    assert read(build_column_csv(*(f'"{each}"' for each in addresses), name=name))[name].format == (
        "street"
    )
    pages = [f"https://example.com/{i}" for i in range(COUNT)]
    assert read(build_column_csv(*pages, name="web_address"))["web_address"].format == "url"


def test_people_with_initials_are_people(read: Read) -> None:
    people = [f"{first[0]}. {last}" for first in FIRST for last in LAST]
    assert read(build_column_csv(*people, name="name"))["name"].format == "person"


@pytest.mark.parametrize("dot", ["", "."])
@pytest.mark.parametrize("name", ["name", "customer", "a"])
def test_family_names_with_initials_are_people_in_any_column(
    name: str, dot: str, read: Read
) -> None:
    people = [f"{last}, {first}{dot}" for last in LAST for first in "ABCDEFGHJK"]
    people[7] = people[7].replace(",", " Jr.,")
    for blank in ("", " "):
        table = read(build_column_csv(*(f'"{blank}{person}"' for person in people), name=name))
        assert (table[name].type, table[name].format) == ("id", "person")


def test_things_with_letters_are_not_people(read: Read) -> None:
    sizes = [f"{a} {b}, {c}" for a in ("Blue", "White", "Black") for b in LAST for c in "SML"]
    vitamins = [f"{word}, {c}" for word in ("Vitamin", "Factor") for c in "ABCDEFGHIJKLMN"]
    for things in (sizes, vitamins):
        assert read(build_column_csv(*(f'"{thing}"' for thing in things)))["a"].format != "person"


def test_codes_of_a_public_list_behind_a_word_are_shown(read: Read) -> None:
    codes = "DE FR IT ES PT NL BE LU AT CH PL CZ SK HU RO BG GR SE FI DK NO IS IE EE"
    words = ["territory", "country", "country"] * 8
    texts = [f"{word}:{code}" for word, code in zip(words, codes.split(), strict=True)]
    assert read(build_column_csv(*texts))["a"].type == "category"


def test_years_of_lives_are_valid_and_in_order(read: Read) -> None:
    lives = [f"{1700 + 3 * i % 200}\u2013{1760 + 3 * i % 200 + i % 7}" for i in range(150)]
    table = read(build_column_csv(*lives, *(f"born {1900 + i}" for i in range(40))))
    assert table["a"].format == "quantity"
    column = IdColumn.fit("a", pa.string(), pa.array(table.values("a")), kind="quantity")
    new = [text.split("\u2013") for text in column.values(1, np.arange(300)).to_pylist()]
    assert all(int(life[0]) <= int(life[1]) <= 2000 for life in new if len(life) == 2)


def test_symbols_of_which_few_have_digits_are_shown(read: Read) -> None:
    symbols = [chr(0x1F300 + i) for i in range(150)] + ["1\ufe0f\u20e3", "2\ufe0f\u20e3"]
    table = read(build_column_csv(*symbols))
    assert table["a"].type == "category"
    assert table.issue("personal_values") is None


def test_people_of_a_table_of_few_rows_are_not_shown(read: Read) -> None:
    table = read(build_column_csv(*PEOPLE[:5], name="people"))
    assert (table["people"].type, table["people"].format) == ("id", "person")


def test_names_are_those_of_people_if_other_columns_say_so(read: Read) -> None:
    places = ("Barden", "Colmar", "Elmstead", "Granby", "Hartwell", "Kelso", "Langdon", "Marlow")
    names = [f"{place}{ending}" for place in places for ending in ("", "son", "er", "ley")]
    names += [*LAST, *LAST]
    columns = {"name": names * 3, "n": range(len(names) * 3)}
    sexes = ["f", "m"] * (len(names) * 3 // 2)
    assert read(build_csv({**columns, "sex": sexes}))["name"].format == "person"
    assert read(build_csv({**columns, "kind": sexes}))["name"].format != "person"


def test_marks_before_names_of_people_do_not_hide_them(read: Read) -> None:
    table = read(build_column_csv(*(f"-{person}" for person in PEOPLE)))
    assert table["a"].format == "person"


def test_genres_do_not_say_that_rows_are_people(read: Read) -> None:
    titles = [f"{a} {b}" for a in ("Winter", "Morgan", "Night", "Stone") for b in LAST]
    columns = {"name": titles, "genre": ["drama", "crime"] * 24}
    assert read(build_csv(columns))["name"].format != "person"


def test_people_between_bars_are_people(read: Read) -> None:
    given = "James Mary Robert Linda David Susan Thomas Karen Daniel Lisa Paul Laura Mark Emily"
    given += " Anna Peter Julia Brian Sarah Kevin Diane Jason Helen Eric Nancy Scott Amy Frank"
    people = [f"{name} {LAST[i % 12]}" for i, name in enumerate(given.split() * 2)]
    casts = [f"{a}|{b}" for a, b in zip(people, people[7:] + people[:7], strict=True)]
    assert read(build_column_csv(*dict.fromkeys(casts), name="cast"))["cast"].format == "person"


OWNERS = ["Anna Braun", "Braun Trading Inc", "Ben Klein", "Hill Coffee Company", "Carla Lang"]


def test_people_among_firms_are_not_shown(read: Read) -> None:
    owners = [*OWNERS, "Ostrel Association", "David Vogel"] * 2
    table = read(build_column_csv(*owners, name="Owner"))
    assert table["Owner"].type == "id"


def test_firms_without_people_stay_categories(read: Read) -> None:
    firms = [f"{word} Inc" for word in ("Ostrel", "Velmor", "Tarnow", "Kranth", "Jorvik")]
    assert read(build_column_csv(*firms * 3, name="Owner"))["Owner"].type == "category"


def test_people_who_repeat_in_a_table_of_few_rows_are_not_shown(read: Read) -> None:
    table = read(build_column_csv(*FIRST[:7], *FIRST[:5], name="First Name"))
    assert (table["First Name"].type, table["First Name"].format) == ("id", "person")


def test_short_descriptions_are_left_out_instead_of_recomposed(read: Read) -> None:
    words = ["arrests", "heat", "deaths", "crops", "wages", "schools", "buses", "fires"]
    texts = [f"how {a} and {b} changed the region" for a in words for b in words if a != b]
    table = read(build_column_csv(*texts, name="description"))
    assert table["description"].exclude
    assert table.issue("free_text") is not None


def test_answers_in_sentences_are_left_out_instead_of_recomposed(read: Read) -> None:
    words = "business family market camp training money stock house grow buy sell land more less "
    words += "will can if we they for with then soon never"
    rng = random.Random(3)  # noqa: S311 - words of a test
    texts = [" ".join(rng.sample(words.split(), rng.randint(4, 8))) for _ in range(60)]
    table = read(build_column_csv(*texts, name="in five years"))
    assert table["in five years"].exclude


def test_countries_in_their_own_languages_are_public(read: Read) -> None:
    names = "Deutschland España France Italia Portugal Sverige Norge Danmark Suomi Österreich "
    names += "Россия Україна Ελλάδα 日本 中国 Brasil México Argentina Chile Peru Kenya Ghana Chad"
    table = read(build_column_csv(*names.split(), name="native"))
    assert table["native"].type == "category"


def test_a_repeated_word_for_a_missing_value_among_people_is_missing(read: Read) -> None:
    table = read(build_column_csv(*PEOPLE[:60], *["NA"] * 20, name="name"))
    column = table["name"]
    assert (column.format, column.nullable, column.missing) == ("person", True, "NA")
    assert table.values("name").count(None) == 20
    assert table.issue("missing_value_markers") is not None


def test_a_code_such_as_na_that_does_not_repeat_is_a_value(read: Read) -> None:
    codes = [f"{a}{b}" for a in "BCDFGHJKLM" for b in "ABCDEFGHIJ"]
    table = read(build_column_csv(*codes, "NA", name="ticker"))
    assert None not in table.values("ticker")


def test_serial_numbers_after_a_date_are_identifiers(read: Read) -> None:
    numbers = [f"2023{i // 28 % 12 + 1:02}{i % 28 + 1:02}-{i % 50 + 1:04}" for i in range(300)]
    assert read(build_column_csv(*numbers))["a"].type == "id"
    times = [f"2023{i // 28 % 12 + 1:02}{i % 28 + 1:02}-{i % 24:02}{i % 60:02}" for i in range(300)]
    assert read(build_column_csv(*times))["a"].type == "datetime"
    midnights = [f"2023{i // 28 % 12 + 1:02}{i % 28 + 1:02}T0000" for i in range(300)]
    assert read(build_column_csv(*midnights))["a"].type == "datetime"


def test_names_of_people_in_slugs_are_people(read: Read) -> None:
    people = [name.lower().replace(" ", "-") for name in PEOPLE]
    assert read(build_column_csv(*people, name="id"))["id"].format == "person"
    things = [
        f"{a}-{b}"
        for a in ("red", "wide", "flat", "deep")
        for b in ("box", "lid", "cup", "jar", "pan", "pot")
    ]
    assert read(build_column_csv(*things, name="id"))["id"].format is None


def test_json_objects_of_numbers_get_other_numbers(read: Read) -> None:
    units = ("cm", "m")
    objects = [f'"{{""x"": {i * 37 % 101}, ""u"": ""{units[i % 2]}""}}"' for i in range(120)]
    table = read("meta,v\n" + "".join(f"{text},{i}\n" for i, text in enumerate(objects)))
    assert (table["meta"].type, table["meta"].format) == ("id", "quantity")


def test_json_objects_of_other_words_are_free_text(read: Read) -> None:
    objects = [f'"{{""id"": {i}, ""name"": ""n{i}x{i * i}""}}"' for i in range(120)]
    table = read("meta,v\n" + "".join(f"{text},{i}\n" for i, text in enumerate(objects)))
    assert table["meta"].type == "text"


def test_words_in_a_column_that_a_program_named_are_a_category(read: Read) -> None:
    places = ["Oslo", "Rome", "Bern", "Kiel", "Lyon", "Bonn"]
    assert read(build_column_csv(*places, name="Unnamed: 0_y"))["Unnamed: 0_y"].type == "category"


def test_values_that_differ_in_outer_blanks_are_reported(read: Read) -> None:
    rows = "".join(f"{'finishing ' if i % 5 == 0 else 'finishing'},{i % 3}\n" for i in range(60))
    issue = read("status,v\n" + rows).issue("merged_values")
    assert issue is not None
    assert issue["examples"] == ["status: finishing in 12 of its rows"]
    padded = "".join(f"done ,{i % 3}\n" for i in range(60))
    assert read("status,v\n" + padded).issue("merged_values") is None


def test_web_addresses_with_an_at_sign_are_no_emails(read: Read) -> None:
    photos = [f"http://cdn.example.com/assets/_@user_{i * 7919}.jpg" for i in range(COUNT)]
    assert read(build_column_csv(*photos, name="photo"))["photo"].format == "url"


def test_lists_of_keys_are_not_decimals(read: Read) -> None:
    lists = [f'"{1_000 + i * 37},{2_000 + i * 91}"' for i in range(COUNT)]
    lists[5::30] = [f'"{i},{7 * i},{9 * i}"' for i in range(2_001, 2_001 + len(lists[5::30]))]
    table = read("speakers,v\n" + "".join(f"{text},1\n" for text in lists))
    assert (table["speakers"].type, table.issue("odd_values")) == ("id", None)


def test_several_phone_numbers_in_a_cell_are_phone_numbers(read: Read) -> None:
    phones = [str(9_840_000_000 + i * 7_919) for i in range(COUNT)]
    phones[3::5] = [f"{phone}|{int(phone) + 71}" for phone in phones[3::5]]
    table = read(build_column_csv(*phones, name="phones"))
    assert (table["phones"].format, table.issue("odd_values")) == ("phone", None)


def test_identifiers_of_two_forms_stay_texts(read: Read) -> None:
    keys = [str(30_000 + i) for i in range(COUNT)]
    keys[-5:] = [f"slot_{i * 113}" for i in range(5)]
    table = read(build_column_csv(*keys, name="serial"))
    assert (table["serial"].type, table["serial"].arrow) == ("id", None)
    assert table.values("serial")[-1] == "slot_452"


def test_not_available_among_phone_numbers_is_missing(read: Read) -> None:
    phones = [f"(847) 618-{i * 79:04}" for i in range(COUNT)] + ["NOT AVAILABLE"] * 30
    table = read(build_column_csv(*phones, name="telephone"))
    assert (table["telephone"].format, table["telephone"].missing) == ("phone", "NOT AVAILABLE")
    assert table.values("telephone").count(None) == 30


def test_codes_of_counties_are_codes_although_a_word_is_among_them(read: Read) -> None:
    codes = [1_001 + 2 * (i % 130) for i in range(400)]
    table = read(build_column_csv(*codes, *["NOT AVAILABLE"] * 3, name="COUNTYFIPS"))
    assert table["COUNTYFIPS"].type == "category"


def test_family_names_in_capitals_before_given_names_are_people(read: Read) -> None:
    people = [f"{b.upper()} {a.upper()}" for a in FIRST for b in LAST]
    assert read(build_column_csv(*people, name="i"))["i"].format == "person"


def test_accents_that_capitals_lack_do_not_hide_names(read: Read) -> None:
    first = ("FRANCOIS", "REMI", "AURELIE", "HELENE", "CHLOE", "ANDRE", "NOEMI", "GREGOIRE")
    people = [f"{a} {b}" for a in first for b in ("LEVEQUE", "BLIN", "MAHE", "FAURE", "ROCHER")]
    assert read(build_column_csv(*people, name="speaker"))["speaker"].format == "person"


def test_people_among_addresses_are_not_shown(read: Read) -> None:
    contacts = ["5020 S Cornell Ave", "Anna Braun", "1016 W Argyle St", "Linda White", "3 Elm St",
                "Daniel Moore", "8 Oak Rd"]  # fmt: skip
    rows = "".join(f"{contacts[i] if i < len(contacts) else ''},{i % 3}\n" for i in range(90))
    assert read("contact_name,v\n" + rows)["contact_name"].type == "id"


def test_addresses_of_wallets_are_no_streets(read: Read) -> None:
    wallets = [f"0x{i * 7_919 + 10**15:040x}" for i in range(COUNT)]
    assert read(build_column_csv(*wallets, name="address"))["address"].format is None


@pytest.mark.parametrize("locale", ["hi_IN", "bn_BD", "ta_IN", "th_TH", "ar_AA", "he_IL"])
def test_people_are_recognized_in_scripts_with_marks(locale: str, read: Read) -> None:
    given, family = names(locale)
    people = [f"{given[i % 12]} {family[i % 10]}" for i in range(60)]
    assert read(build_column_csv(*people, name="customer"))["customer"].format == "person"


def test_names_with_decomposed_accents_are_people(read: Read) -> None:
    given, family = names("fr_FR")
    people = [f"{given[i % 12]} {family[i % 10]}" for i in range(60)]
    decomposed = [unicodedata.normalize("NFD", name) for name in people]
    assert decomposed != people
    assert read(build_column_csv(*decomposed, name="name"))["name"].format == "person"


@pytest.mark.parametrize(
    ("name", "locale"),
    [("姓名", "zh_CN"), ("负责人", "zh_CN"), ("氏名", "ja_JP"), ("이름", "ko_KR"), ("a", "zh_TW")],
)
def test_people_are_recognized_by_family_names_in_east_asian_characters(
    name: str, locale: str, read: Read
) -> None:
    given, family = names(locale)
    people = [f"{family[i % 40]}{given[i % 39]}" for i in range(120)]
    column = read(build_column_csv(*people, name=name))[name]
    assert (column.type, column.format) == ("id", "person")
    few = read(build_column_csv(*people[:8], name="姓名"))["姓名"]
    assert (few.type, few.format) == ("id", "person")


def test_east_asian_cities_and_goods_are_not_people(read: Read) -> None:
    cities = [
        "北京", "上海", "天津", "重庆", "广州", "深圳", "成都", "杭州", "武汉", "西安", "苏州",
    ]  # fmt: skip
    goods = [
        "苹果", "香蕉", "橙子", "葡萄", "西瓜", "芒果", "草莓", "樱桃", "牛奶", "黄瓜", "高粱",
    ]  # fmt: skip
    for texts in (cities, goods):
        column = read(build_column_csv(*(texts * 3), name="名称"))["名称"]
        assert column.format != "person"


@pytest.mark.parametrize("name", ["recordedBy", "identified_by", "Approved by"])
def test_columns_of_what_somebody_did_hold_people(name: str, read: Read) -> None:
    given, family = names("en_US")
    people = [f"{family[i % 30]}, {given[i % 25]}" for i in range(60)]
    assert read(build_column_csv(*people, name=name))[name].format == "person"


def test_paths_of_files_are_addresses_and_keep_shared_folders(read: Read) -> None:
    folders = ["/wiki/bin/view/", "/icons/", "/pub/docs/2003/"]
    words = ["Apple", "Bean", "Clover", "Dill", "Elder", "Fig", "Grape"]
    paths = [
        f"{folders[i % 3]}{a}{b}{('', '.jpg', '.txt')[i % 3]}"
        for i, (a, b) in enumerate((a, b) for a in words for b in words)
    ]
    table = read(build_column_csv(*paths, name="path"))
    assert (table["path"].type, table["path"].format) == ("id", "url")
    column = IdColumn.fit("path", pa.string(), pa.array(paths), kind="url")
    new_paths = column.values(3, np.arange(200)).to_pylist()
    assert not set(new_paths) & set(paths)
    assert all(path.startswith(tuple(folders)) for path in new_paths)
    assert {path.rpartition(".")[2] for path in new_paths if "." in path} == {"jpg", "txt"}


def test_numbers_of_orders_count_up_and_are_neither_years_nor_molecules(read: Read) -> None:
    orders = [f"#{1030 + i}" for i in range(1_000)]
    column = read(build_column_csv(*orders, name="Name"))["Name"]
    assert (column.type, column.format) == ("id", None)


def test_unique_codes_and_texts_of_few_rows_are_not_shown(read: Read) -> None:
    columns = {
        "participant": [f"{'QWERTZUIOPAS'[i]}K{i * 7 % 10}M{'LBX'[i % 3]}TRZ" for i in range(12)],
        "comment": [f"I said that number {i} was good" for i in range(12)],
        "abstract": [f"{'word ' * 20} {i}" for i in range(12)],
        "Correspondence Address": [f"Bond{i}; {'Institute of Water ' * 8}1{i}" for i in range(12)],
        "city": ["Bonn", "Ulm", "Kiel"] * 4,
    }
    assert list(read(build_csv(columns)).types.values()) == [
        "id",
        "text",
        "text",
        "text",
        "category",
    ]


def test_addresses_of_thousands_of_letters_are_no_streets(read: Read) -> None:
    addresses = [f"Bond {i}; {'Institute of Water, ' * 8} 1{i} Road" for i in range(60)]
    name = "Correspondence Address"
    assert read(build_column_csv(*(f'"{a}"' for a in addresses), name=name))[name].type == "text"


@pytest.mark.parametrize(
    ("columns", "type"),
    [
        ("gbifid mmsid rec_dcid userid playerid gbifID GbifId gbif_id", "id"),
        ("amount paid prepaid amount_paid unpaid grid valid lastbid hybrid fluid squid", "integer"),
    ],
)
def test_keys_of_many_digits_whose_names_end_with_id_are_identifiers(
    columns: str, type: str, read: Read
) -> None:
    keys = [70_000_000 + 7_919_003 * i % 9_999_991 for i in range(60)]
    keys.append(keys[0])
    types = read(build_csv(dict.fromkeys(columns.split(), keys))).types
    assert set(types.values()) == {type}


def test_long_lists_of_words_are_told_from_people_in_linear_time(read: Read) -> None:
    words = ["RED", "TREE", "LAKE", "SUNSET", "GOLD", "PLAINS", "ZEBRA", "FALL", "SPRING", "ETHNIC"]
    lists = [f'"{", ".join(words[i % 7 :] + words * 4)} {2000 + i}"' for i in range(40)]
    assert read(build_column_csv(*lists, name="keywords"))["keywords"].format != "person"


def test_other_texts_among_identifiers_are_named(read: Read) -> None:
    addresses = [ip if i % 3 else "AWS Internal" for i, ip in enumerate(KINDS["ip"])]
    people = [mail if i % 3 else PEOPLE[i] for i, mail in enumerate(KINDS["email"])]
    codes = [*KINDS["uuid"][:-2], "x1", "y2"]
    table = read(build_csv({"source": addresses, "contact": people, "request": codes}))
    assert [table[name].format for name in ("source", "contact", "request")] == [
        "ip",
        "email",
        "uuid",
    ]
    issue = table.issue("mixed_identifiers")
    assert issue is not None
    assert issue["examples"] == [
        "source (ip): 40 of 120 rows have words that stay",
        "contact (email): 40 of 120 rows have new texts",
        "request (uuid): 2 of 120 rows become identifiers of the usual kind",
    ]
    assert "`read.missing`" in issue["hint"]


def test_identifiers_of_one_kind_are_not_mixed(read: Read) -> None:
    assert read(build_csv(KINDS)).issue("mixed_identifiers") is None


@pytest.mark.parametrize(
    "texts",
    [
        [f"{i * 37 % 40}w{i % 7}d" for i in range(COUNT)],
        [f"P{i * 7 % 61}Y{i % 12}M" for i in range(COUNT)],
        [f"{i * 7 % 211} {('ms', 's')[i % 3 == 0]}" for i in range(COUNT)],
        [f"{i * 7 % 211} {('d', 'mo', 'y')[i % 3]}" for i in range(COUNT)],
        [f"{90 + i * 7 % 91}/{50 + i * 5 % 61} mmHg" for i in range(COUNT)],
        [
            f"{('US', 'EU', 'UK')[i % 3]} {i * 7 % 41 / 2} {('W', 'M', 'D', 'EE')[i % 4]}"
            for i in range(COUNT)
        ],
    ],
)
def test_durations_and_sizes_of_several_units_are_quantities_of_the_same_sizes(
    texts: list[str], read: Read
) -> None:
    table = read(build_column_csv(*texts))
    assert table["a"].format == "quantity"
    issue = table.issue("unread_numbers")
    assert issue is not None
    (example,) = issue["examples"]
    assert example.endswith("values of the same sizes")
    column = IdColumn.fit("a", pa.string(), pa.array(table.values("a")), kind="quantity")
    samples = column.values(3, np.arange(200)).to_pylist()
    classes = {re.sub(r"\d+(?:\.\d)?", "9", text) for text in texts}
    assert {re.sub(r"\d+(?:\.\d)?", "9", text) for text in samples} == classes


def test_given_names_in_any_column_become_given_names(read: Read) -> None:
    given, family = names("en_US")
    table = read(
        build_csv(
            {
                "eliminated": given[:COUNT],
                "baker_last": family[:COUNT],
                "town": [f"{name}{end}" for name in family[:60] for end in ("ville", "dorf")],
            }
        )
    )
    assert table["eliminated"].format == table["baker_last"].format == "person"
    assert table["town"].format != "person"


def test_times_and_codes_among_words_are_neither_addresses_nor_accounts(read: Read) -> None:
    times = [
        f"{i % 24:02}:{i % 60:02}:{i * 7 % 60:02}" if i % 3 else f"w{i}x" for i in range(COUNT)
    ]
    codes = [f"AB{i % 90 + 10} {i:04} {i * 7:04}" if i % 3 else f"w-{i}" for i in range(COUNT)]
    table = read(build_csv({"at": times, "code": codes}))
    assert table["at"].format != "ip"
    assert table["code"].format is None


@pytest.mark.parametrize("name", ["factors_1", "personal_rating", "How does your teacher rate it?"])
def test_answers_on_a_scale_are_no_people(name: str, read: Read) -> None:
    answers = ["good", "very poor", "not applicable", "fair", "poor", "very good"]
    table = read("".join(f"{line}\n" for line in (f"{name},v", *(f"{a},1" for a in answers * 2))))
    assert table[name].type == "category"
    assert read(build_column_csv(*answers[:4], *[""] * 60, name=name))[name].type == "category"


@pytest.mark.parametrize("name", ["Last Name", "first_name", "Surname", "maiden name"])
def test_parts_of_names_are_people_in_any_language(name: str, read: Read) -> None:
    families = [
        f"{a}{b}" for a in ("Ch", "Kh", "Zh", "Pr", "Ts") for b in ("oo", "ew", "ang", "iap")
    ]
    families += [f"{a} {b}" for a in families[:10] for b in ("Hui", "Ting", "Ling")]
    assert read(build_column_csv(*families, name=name))[name].format == "person"


@pytest.mark.parametrize("name", ["Identifiant de la réponse", "ID de respuesta", "identifier"])
def test_numbers_of_answers_are_identifiers_in_other_languages(name: str, read: Read) -> None:
    numbers = [40 + i + 7 * (i > 8) + i // 20 for i in range(60)]
    table = read("v," + name + "\n" + "".join(f"{n % 5},{n}\n" for n in numbers))
    assert table[name].type == "id"


@pytest.mark.parametrize("between", ["\uff5e", "-", " - ", " to "])
def test_ranges_of_days_are_new_ranges_of_days(between: str, read: Read) -> None:
    days = [np.datetime64("2021-01-03") + 7 * i for i in range(50)]
    texts = [day.item().strftime("%-m/%-d") for day in days]
    weeks = [between.join(pair) for pair in pairwise(texts)]
    table = read(build_column_csv(*weeks, name="week"))
    assert (table["week"].type, table["week"].format) == ("id", None)


def test_different_notes_of_a_few_of_many_rows_are_left_out(read: Read) -> None:
    notes = [f"call sister at 0160 {4_711 + 7 * i}" for i in range(12)]
    ages = [20 + i % 60 for i in range(412)]
    table = read(build_csv({"age": ages, "other": [*notes, *[""] * 400]}))
    assert (table["other"].type, table["other"].exclude) == ("text", True)
    issue = table.issue("free_text")
    assert issue is not None
    assert "other" in issue["examples"]


def test_a_single_review_among_many_rows_is_left_out(read: Read) -> None:
    review = "I found this book in a box in front of my house and could not stop reading it."
    for texts, is_left_out in (([review], True), ([review] * 2, False), (["read twice"], False)):
        column = [*texts, *[""] * 100]
        table = read(build_csv({"age": range(len(column)), "note": column}))
        assert table["note"].exclude == is_left_out


def test_chinese_names_with_some_foreign_ones_are_people(read: Read) -> None:
    families, given = "陳林黃張李王吳劉蔡楊", "怡潔明泰振偉乾坤佳蓉"
    names = [f + given[i] + given[(i + 3) % 10] for f in families for i in range(10)]
    names += [f"娜{a}{b}娃蒂" for a in "西塔莉雅" for b in "妮拉"]
    table = read(build_column_csv(*names, name="中文名"))
    assert (table["中文名"].type, table["中文名"].format) == ("id", "person")
    assert read(build_column_csv(*names, name="中文名稱"))["中文名稱"].format is None


@pytest.mark.parametrize(
    "name", ["Primer apellido", "nazwisko", "Cognome", "Фамилия", "nom de famille"]
)
def test_family_names_of_other_languages_are_people(name: str, read: Read) -> None:
    letters = ["Alza", "Bes", "Cruz", "Dols", "Erba", "Fons"]
    values = [f"{first}{last.lower()}" for first in letters for last in letters]
    table = read(build_column_csv(*values, name=name))
    assert (table[name].type, table[name].format) == ("id", "person")


def test_people_with_a_name_that_a_firm_may_have_are_people(read: Read) -> None:
    people = [
        f"{a} {b}" for a in ("Maria", "Pedro", "Clara", "Ana") for b in ("Sa", "Costa", "Lima")
    ]
    assert not any(map(FIRM.fullmatch, people))
    assert all(map(FIRM.fullmatch, ["Costa SA", "Lima S.A.", "Lima s.a.", "Costa AG", "Costa Ltd"]))
    table = read(build_column_csv(*people, *people[:8], name="customer"))
    assert table["customer"].format == "person"
