"""Reading of CSV and NDJSON files."""

import gzip
import json
from typing import Any

import pytest

from core.limits import Limits
from tests.modalities.tabular.conftest import Read, Reject
from tests.modalities.tabular.factories import build_column_csv, build_csv

ROWS = "name,age\nÄnne,31\nBjörk,28\nZoë,45\nÄnne,31\nŁuk,9\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_csv_is_read_in_every_unicode_encoding(encoding: str, read: Read) -> None:
    table = read(ROWS.encode(encoding))
    assert list(table.types) == ["name", "age"]
    assert table.values("name") == ["Änne", "Björk", "Zoë", "Änne", "Łuk"]
    assert table.summary.notes == ()


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_western_single_byte_encoding_is_guessed_and_reported(encoding: str, read: Read) -> None:
    table = read(ROWS.replace("Łuk", "Íñigo").encode(encoding))
    assert table.values("name")[4] == "Íñigo"
    assert "Windows-1252" in table.summary.notes[0]


def test_a_few_letters_of_another_encoding_do_not_spoil_the_others(read: Read) -> None:
    table = read(ROWS.encode() * 3 + "Nürn,3\n".encode("cp1252"))
    assert table.values("name")[:2] + table.values("name")[-1:] == ["Änne", "Björk", "Nürn"]
    assert "Windows-1252" in table.summary.notes[0]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_detected(delimiter: str, read: Read) -> None:
    text = ROWS.replace(",", delimiter)
    table = read(text)
    assert list(table.types) == ["name", "age"]
    assert table.summary.format == ("tsv" if delimiter == "\t" else "csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_endings_are_read(end: str, read: Read) -> None:
    for text in (ROWS, ROWS.rstrip("\n"), ROWS + "\n\n"):
        table = read(text.replace("\n", end).encode())
        assert table.values("age") == [31, 28, 45, 31, 9]


def test_quoted_fields_may_contain_delimiters_newlines_and_quotes(read: Read) -> None:
    text = 'a,b\n"x, y",1\n"line\none",2\n"say ""so""",3\n\'tis,4\n5" pipe,5\n'
    table = read(text)
    assert table.values("a") == ["x, y", "line\none", 'say "so"', "'tis", '5" pipe']


def test_apostrophes_are_accepted_as_quote_characters(read: Read) -> None:
    table = read("a,b\n'x, y',1\n'z',2\n'x, y',3\n'z',4\n'z',5\n")
    assert table.values("a") == ["x, y", "z", "x, y", "z", "z"]


def test_blanks_around_unquoted_fields_are_stripped_and_reported(read: Read) -> None:
    table = read('a , b\n x, 1\n" x ", 2\n"x" , 3\n  ,4 \nx y,5\n')
    assert list(table.types) == ["a", "b"]
    assert table.values("a") == ["x", " x ", "x", None, "x y"]
    assert table.values("b") == [1, 2, 3, 4, 5]
    issue, names = table.issue("stripped_blanks"), table.issue("stripped_names")
    assert issue is not None
    assert names is not None
    assert (issue["count"], issue["examples"], issue["severity"]) == (7, ["a: 3", "b: 4"], "info")
    assert (names["count"], names["examples"]) == (1, ["a"])


def test_blanks_are_counted_by_column_next_to_quoted_delimiters_and_line_breaks(read: Read) -> None:
    rows = ['"x, y\nz", 1 ,"u"', 'p,2,"v, w" ', '"q,","3" ,r', ' s ,4,"t"']
    issue = read("a,b,c\n" + "\n".join(rows * 2) + "\n").issue("stripped_blanks")
    assert issue is not None
    assert (issue["count"], issue["examples"]) == (8, ["a: 2", "b: 4", "c: 2"])


def test_json_keeps_blanks_of_values_and_reports_those_of_names(read: Read) -> None:
    table = read("".join(f'{{" a ": "x ", "n": {i}}}\n' for i in range(5)), "a.ndjson")
    assert table.values("a") == ["x "] * 5
    names = table.issue("stripped_names")
    assert table.issue("stripped_blanks") is None
    assert names is not None
    assert names["examples"] == ["a"]


def test_quoted_fields_may_span_chunk_boundaries(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'a,b\n"x\n"" ,y", 1\n z,2\n"p\r\nq" , 3\n"",4\nu,5\n'
    whole = read(text).values("a")
    assert whole == ['x\n" ,y', "z", "p\r\nq", None, "u"]
    for size in (1, 2, 3, 5, 7):
        monkeypatch.setattr("modalities.tabular.upload.files.text_file.CHUNK_BYTES", size)
        assert read(text).values("a") == whole


def test_first_row_of_numbers_is_not_a_header(read: Read) -> None:
    table = read("5.1,3.5,setosa\n4.9,3.0,setosa\n4.7,3.2,virginica\n4.6,3,setosa\n5,3.6,setosa\n")
    assert list(table.types) == ["column_1", "column_2", "column_3"]
    assert table.summary.rows == 5
    assert table.issue("column_renamed") is not None


def test_one_year_among_the_names_of_columns_of_numbers_is_a_name(read: Read) -> None:
    rows = [
        f"{57_120 + 31 * i},{9_000 - 173 * i},{1_000 + 97 * i},{500 + 89 * i}" for i in range(40)
    ]
    table = read("cp,a2020,2019,a2018\n" + "\n".join(rows) + "\n")
    assert [column.name for column in table.summary.schema.columns] == [
        "cp", "a2020", "2019", "a2018",
    ]  # fmt: skip
    assert table.summary.rows == 40


def test_no_break_spaces_around_texts_are_stripped_and_counted(read: Read) -> None:
    rows = [f"{name}\u00a0,\u00a0{i}" for i, name in enumerate(["Åsa", "Bo", "Eva"] * 10)]
    table = read("name,n\n" + "\n".join(rows) + "\n")
    assert set(table.values("name")) == {"Åsa", "Bo", "Eva"}
    issue = table.issue("stripped_blanks")
    assert issue is not None
    assert issue["count"] == 60


@pytest.mark.parametrize("header", ["0,1,2", "1,2,3", ",0,1"])
def test_header_of_consecutive_integers_is_accepted_as_column_names(
    header: str, read: Read
) -> None:
    table = read(f"{header}\n" + "5,6,x\n6,7,y\n" * 3)
    assert [name for name in table.types if name.isdigit()] == [n for n in header.split(",") if n]
    assert table.summary.rows == 6


@pytest.mark.parametrize(
    "name", ["__proto__", "=cmd()", "a/b~c", "Größe", "select", "<b>", "a b", "🙂", "x" * 256]
)
def test_columns_may_have_any_printable_name(name: str, read: Read) -> None:
    assert list(read(build_column_csv("x", "y", "x", "y", "x", name=name)).types) == [name, "n"]


def test_names_that_differ_only_in_case_are_two_columns(read: Read) -> None:
    assert list(read(build_csv({"a": [1, 2, 3, 4, 9], "A": [1, 2, 3, 4, 9]})).types) == ["a", "A"]


@pytest.mark.parametrize(
    ("data", "code", "pointer"),
    [
        (b"", "table_empty", "/file"),
        (b"\n\n  \n", "table_empty", "/file"),
        (b"a,b\n", "table_empty", "/file"),
        (b"a,b\n1,2\n", "too_few_rows", "/file"),
        (b"a,b\n1,2\n1\n1,2,3\n" + b"1,2\n" * 9, "wrong_field_count", "/file/lines/3"),
        (b"a,b\n" + b'"x",2\n' * 9 + b'"x,2\n1,2\n', "unterminated_quote", "/file/lines/11"),
        (b"a,b\n" + b'"x",2\n' * 9 + b'"x "y" z",2\n', "stray_quote", "/file/lines/11"),
        (b"a,b,c\n" + b"1,2\n" * 9, "header_mismatch", "/file/lines/1"),
        (b"a,b\n1,\x002\n" * 9, "nul_character", "/file"),
        (b"x" * 2000 + b",b\n" + b"1,2\n" * 9, "column_name_invalid", f"/file/columns/{'x' * 99}…"),
        (b'"a\x07",b\n' + b"1,2\n" * 9, "column_name_invalid", "/file/columns/a\\x07"),
        (b"a,b\n" + b"x" * 70_000 + b",1\n" * 9, "value_too_long", "/file/columns/a"),
        (b",".join(b"%d" % i for i in range(2_001)) + b"\n", "too_many_columns", "/file"),
        (b"\xef\xbb\xbfa,b\n1,\xff\n", "encoding_invalid", "/file"),
        (b"\x89HDF\r\n\x1a\n", "table_unreadable", "/file/a.csv"),
        (b"a,b\n" + b"1,2\n" * 100_000, "too_many_rows", "/file"),
    ],
)
def test_unreadable_csv_is_rejected_with_code_and_pointer(
    data: bytes, code: str, pointer: str, reject: Reject
) -> None:
    if code == "value_too_long":
        data = b"a,b\n" + (b"x" * 70_000 + b",1\n") * 9
    error = reject(data, limits=Limits(rows_max=50_000))
    assert error.code == code
    assert error.field_errors[0].pointer == pointer


def test_rows_with_a_wrong_field_count_are_one_error_with_a_line_and_an_option(
    reject: Reject,
) -> None:
    text = '# comment\n\na,b\n"x\ny",2\n' + "1,2\n" * 30 + "1,2,3\n" * 30 + "1,2\n" * 9
    error = reject(text)
    assert [fault.pointer for fault in error.field_errors] == ["/file/lines/36"]
    assert "29 later rows" in error.detail
    assert "`read.delimiter`" in error.detail


def test_row_above_the_length_limit_is_rejected(reject: Reject) -> None:
    data = b'a,b\n1,2\n"' + b"x,\n" * 200_000
    error = reject(data, limits=Limits(row_chars=100_000))
    assert error.code == "row_too_long"
    assert "line 3" in error.detail


def test_gzipped_csv_is_read(read: Read) -> None:
    table = read(gzip.compress(ROWS.encode("utf-16")), "a.csv.gz")
    assert table.values("age") == [31, 28, 45, 31, 9]


def test_gzipped_csv_that_is_truncated_or_a_bomb_is_rejected(reject: Reject) -> None:
    gzipped = gzip.compress(build_column_csv(*range(1_000)).encode())
    assert reject(gzipped[:-9]).code == "archive_invalid"
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * 10_000_000, 9)
    assert len(bomb) < 200_000
    assert reject(bomb).code == "archive_bomb"


def build_ndjson(*rows: object) -> str:
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def test_ndjson_objects_are_rows_and_keys_may_be_missing(read: Read) -> None:
    rows = [
        {"i": 1, "f": 1.5, "b": True, "s": "x", "d": "2021-02-03"},
        {"i": 2, "f": 2, "b": False, "s": "", "d": "2021-02-04"},
        {"i": None, "f": 3, "b": None, "s": "5", "d": None},
        {"s": "x", "late": "only here"},
        {"i": 9, "f": 2.25, "b": True, "s": "5"},
    ]
    table = read(build_ndjson(*rows) + "\n", "a.ndjson")
    assert table.summary.format == "ndjson"
    assert table.types == {
        "i": "integer",
        "f": "number",
        "b": "boolean",
        "s": "category",
        "d": "datetime",
        "late": "category",
    }
    assert table.values("i") == [1, 2, None, None, 9]
    assert table.values("s") == ["x", None, "5", "x", "5"]
    assert table.preview("b") == [True, False, None, None, True]
    assert table.preview("d")[0] == "2021-02-03"


def test_ndjson_key_with_mixed_types_is_read_as_text_and_reported(read: Read) -> None:
    table = read(build_ndjson(*[{"a": value} for value in (1, 2, "x", 2, 1.5, True)]), "a.ndjson")
    assert table.values("a") == ["1", "2", "x", "2", "1.5", "true"]
    issue = table.issue("mixed_types")
    assert issue is not None
    assert issue["examples"] == ["a (0.#): row 3", "a (0.#): row 6"]


@pytest.mark.parametrize(
    ("text", "code", "pointer"),
    [
        ('{"a": 1}\n{"a": \n', "row_invalid", "/file/lines/2"),
        ('{"a": 1}\n[1]\n', "row_invalid", "/file/lines/2"),
        ('{"a": 1, "a": 2}\n', "row_invalid", "/file/lines/1"),
        ('{"a": ' + "[" * 100_000 + "\n", "row_invalid", "/file/lines/1"),
        ('{"a.b": 1, "a": {"b": 2}}\n', "row_invalid", "/file/lines/1"),
        ("{}\n" * 9, "table_empty", "/file"),
        ('[{"a": 1},\n{"a": 2}', "row_invalid", "/file/lines/2"),
        ('[{"a": 1}\n{"a": 2}]', "row_invalid", "/file/lines/2"),
        ("[[1, 2], [3, 4]]", "row_invalid", "/file/lines/1"),
        ('[{"a": 1}] x', "row_invalid", "/file/lines/1"),
    ],
)
def test_invalid_ndjson_is_rejected_by_line_or_column(
    text: str, code: str, pointer: str, reject: Reject
) -> None:
    error = reject(text, "a.json")
    assert (error.code, error.field_errors[0].pointer) == (code, pointer)


def test_nested_objects_become_columns_and_lists_texts(read: Read) -> None:
    rows = [
        {"id": i, "user": {"name": "ab"[i % 2], "at": {"lat": i / 4}}, "tags": ["x", "y"][: i % 3]}
        for i in range(30)
    ]
    table = read(build_ndjson(*rows), "a.ndjson")
    assert list(table.types) == ["id", "user.name", "user.at.lat", "tags"]
    assert table.values("user.at.lat")[:3] == [0, 0.25, 0.5]
    assert table.values("tags")[:3] == [None, '["x"]', '["x", "y"]']
    for code, name in (("nested_objects", "user"), ("lists", "tags")):
        issue = table.issue(code)
        assert issue is not None
        assert issue["examples"] == [name]


OBJECTS = [{"a": 3 * i % 7, "b": "xyz"[i % 3]} for i in range(9)]


@pytest.mark.parametrize(
    "document",
    [
        {"count": 9, "results": OBJECTS},
        {"columns": ["a", "b"], "data": [list(row.values()) for row in OBJECTS]},
        [["a", "b"], *(list(row.values()) for row in OBJECTS)],
        {name: {str(i): row[name] for i, row in enumerate(OBJECTS)} for name in "ab"},
        {name: [row[name] for row in OBJECTS] for name in "ab"},
    ],
    ids=["member", "columns and data", "arrays", "columns by row", "columns"],
)
@pytest.mark.parametrize("row_chars", [100_000, 60], ids=["small", "large"])
def test_rows_of_json_documents_are_found(document: Any, row_chars: int, read: Read) -> None:
    is_streamed = isinstance(document, list) or "results" in document
    limits = Limits(row_chars=row_chars if is_streamed else 100_000)
    table = read(json.dumps(document), "a.json", limits=limits)
    assert table.values("a") == [row["a"] for row in OBJECTS]
    assert table.values("b") == [row["b"] for row in OBJECTS]


@pytest.mark.parametrize("values", [[f"#{i:06x}" for i in range(20)], [i / 4 for i in range(20)]])
def test_keys_with_one_value_each_are_two_columns(values: list[Any], read: Read) -> None:
    document = {f"k{i}": value for i, value in enumerate(values)}
    table = read(json.dumps(document), "a.json")
    assert table.values("key") == list(document)
    assert table.values("value") == values


def test_fields_of_one_thing_are_not_rows(reject: Reject) -> None:
    document = {f"k{i}": [i, str(i)][i % 2] for i in range(30)}
    assert reject(json.dumps(document), "a.json").code == "too_few_rows"


def test_blanks_of_windows_are_not_letters_of_dos(read: Read) -> None:
    names = ["Zo\u00eb M\u00fcller", *["Ann Smith"] * 39]
    rows = "".join(f"By\u00a0author {i},{name},{i}\n" for i, name in enumerate(names))
    table = read(("by,name,n\n" + rows).encode("cp1252"))
    assert table.summary.read["encoding"] == "cp1252"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffFN Clarivate Analytics Web of Science\nVR 1.0\nPT J\nAU Lee, A\n   Kim, B\nER\n",
        "TY  - JOUR\nAU  - Lee, A\nER  -\n",
        "\nPMID- 31234567\nTI  - A study\n",
        "@article{lee2020,\n  title = {A study},\n}\n",
    ],
)
def test_a_list_of_references_with_tags_is_rejected_by_its_name(text: str, reject: Reject) -> None:
    assert "is a list of references with tags; send CSV" in reject(text * 9, "records.txt").detail


def test_a_column_named_like_a_tag_is_no_reference(read: Read) -> None:
    rows = "".join(f"{i},{i % 3}\n" for i in range(9))
    assert read("FN Key,VR\n" + rows).summary.rows == 9
    assert read("@user{id},n\n" + rows).summary.rows == 9
