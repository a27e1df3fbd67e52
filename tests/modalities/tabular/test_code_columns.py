"""Numbers that name something: keys of other tables and codes of public lists."""

import pyarrow as pa
import pytest

from modalities.tabular.arrow_types import to_output_type
from modalities.tabular.formatting import to_json_values
from modalities.tabular.upload.types.code_columns import has_code_name
from tests.modalities.tabular.conftest import Read
from tests.modalities.tabular.factories import build_column_csv, build_csv, build_parquet

ROWS = 400
KEYS = [200_001 + 7_919 * (i * i % 60) for i in range(ROWS)]


@pytest.mark.parametrize(
    "name",
    ["winner_id", "teamId", "Team ID", "airport_ref", "id_player", "BundeslandId_Impfort", "idLand",
     "zip", "Zip Code", "fips", "countyFIPS", "NAICS", "code_insee", "Code postal", "status_code",
     "iso_n3", "event_key", "playerid", "customerid", "geonameid", "hs6", "Konto", "Kostenstelle",
     "Cost Center", "GL Account"],
)  # fmt: skip
def test_repeated_keys_and_codes_are_categories_of_integers(name: str, read: Read) -> None:
    assert has_code_name(name)
    table = read(build_column_csv(*KEYS, name=name))
    assert (table[name].type, table[name].format) == ("category", "integer")
    assert table.preview(name)[:3] == KEYS[:3]


@pytest.mark.parametrize(
    "name",
    ["humid", "solid", "covid", "amountpaid", "lastbid", "aminoacid", "hybrid", "asteroid", "grid",
     "order", "price", "number", "episodes", "iconic", "keyboard", "key_rate", "refs", "iso_level",
     "lines_of_code", "id_count", "yearID", "sick", "music", "Kontostand", "Skonto"],
)  # fmt: skip
def test_quantities_with_similar_names_stay_numbers(name: str, read: Read) -> None:
    numbers = [1900 + i % 100 for i in range(ROWS)]
    assert read(build_column_csv(*numbers, name=name))[name].type == "integer"


@pytest.mark.parametrize("name", ["konto", "GL Account", "Kostenstelle"])
def test_amounts_of_accounts_are_numbers(name: str, read: Read) -> None:
    amounts = [f"{i * 7.31 + 5:.2f}" for i in range(ROWS)]
    assert read(build_column_csv(*amounts, name=name))[name].type == "number"


def test_the_word_before_id_may_be_that_of_another_column(read: Read) -> None:
    numbers = [362 + i * 7_919 % 900_000 for i in range(120)]
    names = [f"line {i % 9}" for i in range(120)]
    table = read(build_csv({"knotenid": numbers, "knotenname": names}))
    assert table["knotenid"].type == "id"
    assert read(build_csv({"knotenid": numbers, "n": names}))["knotenid"].type == "integer"


def test_words_for_missing_values_among_keys_are_missing(read: Read) -> None:
    table = read(build_column_csv(*KEYS[:380], *["NA"] * 20, name="team_id"))
    assert (table["team_id"].type, table["team_id"].missing) == ("category", "NA")
    assert table.values("team_id").count(None) == 20


def test_keys_of_which_most_rows_have_their_own_are_identifiers(read: Read) -> None:
    keys = [100_003 + 7_919 * i for i in range(ROWS)]
    table = read(build_column_csv(*keys, *keys[:60], name="customer_id"))
    assert (table["customer_id"].type, table["customer_id"].arrow) == ("id", "int64")


@pytest.mark.parametrize("codes", [["1.1", "1.10", "2.3"], ["250.00", "401.9", "V45"]])
def test_codes_with_points_or_letters_keep_their_texts(codes: list[str], read: Read) -> None:
    table = read(build_column_csv(*codes * 30, name="diagnosis_code"))
    assert (table["diagnosis_code"].type, table["diagnosis_code"].format) == ("category", None)
    assert table.values("diagnosis_code")[:3] == codes


@pytest.mark.parametrize("names", [["code", "code 2", "code 3"], ["c1", "c2", "c3"]])
@pytest.mark.parametrize(("num_codes", "type"), [(90, "category"), (5_000, "id")])
def test_columns_of_one_list_have_one_type(
    names: list[str], num_codes: int, type: str, read: Read
) -> None:
    codes = [f"E{7_919 * i % num_codes:04}" for i in range(140)]
    columns = [codes[:100], [*codes[45:], *[""] * 5], [*codes[60:72], *[""] * 88]]
    table = read(build_csv(dict(zip(names, columns, strict=True))))
    assert list(table.types.values()) == [type] * 3


def test_columns_without_a_common_value_have_types_of_their_own(read: Read) -> None:
    columns = {"x1": [f"E{i:04}" for i in range(100)], "x2": [f"K{i % 9}" for i in range(100)]}
    assert read(build_csv(columns)).types == {"x1": "id", "x2": "category"}


@pytest.mark.parametrize("word", ["none", "other"])
@pytest.mark.parametrize("names", ["field1,field2", "2019,2020", "q 1,q 2"])
def test_a_word_in_two_numbered_columns_does_not_make_them_one_list(
    word: str, names: str, read: Read
) -> None:
    codes = [*(f"E{i:04}" for i in range(99)), word]
    rows = zip(codes, ["new", "old", word, "sold"] * 25, range(100), strict=True)
    types = read(f"{names},n\n" + "".join(f"{a},{b},{n}.5\n" for a, b, n in rows)).types
    assert list(types.values())[:2] == ["id", "category"]


def test_columns_of_files_without_names_are_no_list(read: Read) -> None:
    rows = "".join(f"E{i:04},E{i % 9:04},{i * i}.5\n" for i in range(100))
    types = read(rows).types
    assert (types["column_1"], types["column_2"]) == ("id", "category")


def test_numbers_of_countries_are_public(read: Read) -> None:
    numbers = ["004", "008", "012", "032", "036", "040", "056", "076", "100", "124", "152", "156"]
    numbers += ["170", "203", "208", "246", "250", "276", "300", "348", "356", "380", "392", "840"]
    for values in (numbers, [str(int(number)) for number in numbers]):
        table = read(build_column_csv(*values, name="country-code"))
        assert table["country-code"].type == "category"
        assert table.issue("personal_values") is None


def test_a_list_of_public_codes_keeps_them(read: Read) -> None:
    for codes in ([f"{i // 9 + 1:02}{i % 9 + 1}0" for i in range(90)], range(1100, 1700, 5)):
        table = read(build_column_csv(*codes, name="naics_code"))
        assert table["naics_code"].type == "category"
        assert table.issue("personal_values") is None


def test_codes_of_airports_are_identifiers_where_each_row_is_another_one(read: Read) -> None:
    codes = [a + b + c for a in "KLM" for b in "ABCDEFG" for c in "OPQR"]
    assert read(build_column_csv(*codes, name="iata"))["iata"].type == "id"
    assert read(build_column_csv(*codes[:9] * 9, name="iata"))["iata"].type == "category"


def test_floats_that_are_keys_come_back_as_floats(read: Read) -> None:
    keys = pa.array([None if i % 9 == 0 else float(key) for i, key in enumerate(KEYS)])
    table = read(build_parquet({"team_id": keys, "n": list(range(ROWS))}))
    assert table["team_id"].type == "category"
    values = pa.array(table.values("team_id"), pa.string())
    assert to_output_type(values, table["team_id"]).equals(keys)


@pytest.mark.parametrize("step", [1, 7])
def test_unsigned_integers_of_64_bits_keep_every_digit(step: int, read: Read) -> None:
    numbers = pa.array([2**64 - 1 - i // step for i in range(ROWS)], pa.uint64())
    table = read(build_parquet({"hash": numbers, "n": list(range(ROWS))}))
    column = table["hash"]
    assert column.type == ("id" if step == 1 else "category")
    values = pa.array(table.values("hash"), pa.string())
    assert to_output_type(values, column).equals(numbers)
    assert to_json_values(values, column) == numbers.to_pylist()


def test_new_unsigned_integers_fit_their_type(read: Read) -> None:
    numbers = pa.array([2**64 - 1 - i for i in range(ROWS)], pa.uint64())
    column = read(build_parquet({"hash": numbers, "n": list(range(ROWS))}))["hash"]
    new = to_output_type(pa.array(["19999999999999999999", "7", None]), column)
    assert new.to_pylist() == [9999999999999999999, 7, None]


@pytest.mark.parametrize("name", ["CERT", "permit", "case", "OBJECTID", "FMID", "uid"])
def test_unique_numbers_of_documents_and_records_are_identifiers(name: str, read: Read) -> None:
    numbers = [91 + i * 7_919 % 59_000 for i in range(ROWS)]
    assert read(build_column_csv(*numbers, name=name))[name].type == "id"


def test_names_of_lists_before_many_digits_are_no_codes(read: Read) -> None:
    numbers = [3_000 + i * 7_919 % 900_000 for i in range(ROWS)]
    assert read(build_column_csv(*numbers, name="EAN010206"))["EAN010206"].type == "integer"


def test_long_numbers_that_rows_share_are_codes_unless_they_are_times(read: Read) -> None:
    codes = [222_100_018 + 1_818_179 * (i * i % 90) for i in range(ROWS)]
    assert read(build_column_csv(*codes, name="source"))["source"].type == "category"
    amounts = [100_000_000 + 2_000_000 * (i * i % 90) for i in range(ROWS)]
    assert read(build_column_csv(*amounts, name="source"))["source"].type == "integer"
    times = [1_600_000_000 + 1_818_179 * (i * i % 90) for i in range(ROWS)]
    assert read(build_column_csv(*times, name="source"))["source"].type == "integer"
    keys = [f"{7_000_000_000_000_000 + 7_919 * i}.0" for i in range(ROWS)]
    assert read(build_column_csv(*keys, *keys[:60], name="os"))["os"].type == "id"


def test_numbers_of_things_with_some_letters_keep_all_of_them(read: Read) -> None:
    numbers = [*range(10_000, 11_000), *(f"SKU{i:05}" for i in range(6))]
    table = read(build_column_csv(*numbers, *numbers, name="inc_num"))
    assert table.values("inc_num").count(None) == 0
    assert table.issue("odd_values") is None


def test_numbers_with_a_plus_and_many_digits_are_phones(read: Read) -> None:
    numbers = [f"+1202555{i:04}" for i in range(ROWS)]
    assert read(build_column_csv(*numbers, name="a"))["a"].format == "phone"
    changes = [f"+{i}" for i in range(ROWS)]
    assert read(build_column_csv(*changes, name="a"))["a"].type == "integer"


def test_decimals_are_codes_only_where_the_column_says_codes(read: Read) -> None:
    decimals = [f"{i * 37 % 1009 / 1000:.3f}" for i in range(ROWS)]
    assert read(build_column_csv(*decimals, name="ean"))["ean"].type == "number"
    assert read(build_column_csv(*decimals, name="icd9_code"))["icd9_code"].type == "id"


def test_numbers_of_tasks_are_identifiers_although_projects_share_some(read: Read) -> None:
    numbers = [str(1 + 3 * i) for i in range(500)] + [str(2 + 30 * i) for i in range(50)]
    assert read(build_column_csv(*numbers, *numbers[:60], name="task"))["task"].type == "id"
    assert read(build_column_csv(*numbers, *numbers[:60], name="cost"))["cost"].type == "integer"


def test_numbers_of_employees_are_identifiers_although_some_are_small(read: Read) -> None:
    numbers = [1 + i * 7_919 % 2_003 for i in range(ROWS)]
    assert read(build_column_csv(*numbers, name="EmployeeNumber"))["EmployeeNumber"].type == "id"
    assert read(build_column_csv(*numbers, name="number"))["number"].type == "integer"


def test_unique_numbers_are_identifiers_although_a_note_is_below_them(read: Read) -> None:
    numbers = [2_012_101_518 + i * 7_919 for i in range(ROWS)]
    table = read(build_column_csv(*numbers, "see below", name="Application number"))
    assert table["Application number"].type == "id"
    assert table.issue("odd_values") is not None


def test_codes_with_exponents_are_not_quantities(read: Read) -> None:
    codes = [f"9.78{i * 7919 % 10**6:06}e+12" for i in range(ROWS)]
    assert read(build_column_csv(*codes, name="isbn13"))["isbn13"].type == "id"


def test_unique_numbers_in_the_only_column_without_a_name_are_identifiers(read: Read) -> None:
    rows = "".join(f"{i * 7_919 % 50_000},{i % 7}\n" for i in range(ROWS))
    assert read(f",score\n{rows}")["column_1"].type == "id"
    assert read(f"load,score\n{rows}")["load"].type == "integer"


PEOPLE = ("Smith", "Johnson", "Brown", "Miller", "Davis", "Wilson", "Moore", "Taylor")


def test_counts_of_permits_many_of_which_are_zero_are_quantities(read: Read) -> None:
    counts = [i * 7_919 % 60_000 if i % 5 else 0 for i in range(ROWS)]
    assert read(build_column_csv(*counts, name="permit"))["permit"].type == "integer"


def test_codes_of_the_rows_of_a_public_list_are_shown_but_people_are_not(read: Read) -> None:
    countries = "Germany France Italy Spain Poland Chad Jordan Kenya Peru Fiji Iran Oman Mali Cuba"
    countries += " Togo Niger Malta Qatar Nepal Brazil Chile Ghana India Japan"
    names = countries.split()
    columns: dict[str, list[object]] = {
        "country": [*names],
        "code": [f"Q{i * 37 % 101}{name[:2].lower()}" for i, name in enumerate(names)],
        "codigo_no": [1_100 + 7 * i for i in range(len(names))],
        "author": [f"{a} {b}" for a in ("James", "Mary", "Susan") for b in PEOPLE],
        "id": [*range(len(names))],
    }
    table = read(build_csv(columns))
    assert {name: table[name].type for name in columns} == {
        "country": "category", "code": "category", "codigo_no": "category",
        "author": "id", "id": "id",
    }  # fmt: skip
    assert table.issue("personal_values") is None


def test_integers_of_twelve_and_more_digits_are_codes_however_many_rows_share_them(
    read: Read,
) -> None:
    blocks = [360_470_000_001_000 + i // 2 * 7_001_001 for i in range(400)]
    table = read(build_csv({"n": [i % 9 for i in range(400)], "block": blocks}))
    assert (table["block"].type, table["block"].format) == ("category", "integer")
    times = [1_577_836_800_000 + 3_600_000 * (i // 2) for i in range(400)]
    assert read(build_csv({"n": [i % 9 for i in range(400)], "at": times}))["at"].type != "id"


@pytest.mark.parametrize("name", ["Code Review", "code_quality", "code smells"])
def test_grades_and_counts_of_a_program_are_numbers(name: str, read: Read) -> None:
    assert read(build_column_csv(*[45 + i * 7 % 50 for i in range(80)], name=name))[name].type == (
        "integer"
    )


@pytest.mark.parametrize("name", ["BFS_NUMMER", "Line No", "員工編號"])
def test_unique_numbers_too_dense_for_quantities_are_identifiers(name: str, read: Read) -> None:
    numbers = [1 + 3 * i + i * i % 3 for i in range(ROWS)]
    assert len(set(numbers)) == ROWS
    assert read(build_column_csv(*numbers, name=name))[name].type == "id"
    sparse = [1 + 977 * i + i * i % 977 for i in range(ROWS)]
    assert read(build_column_csv(*sparse, name=name))[name].type == "integer"


def test_seconds_since_1970_are_no_identifiers_although_they_are_named_num(read: Read) -> None:
    seconds = [1_400_000_000 + 7_919 * i + i * i % 601 for i in range(ROWS)]
    assert read(build_column_csv(*seconds, name="num"))["num"].type == "integer"
    assert read(build_column_csv(*seconds, name="account no"))["account no"].type == "id"
