"""Delimiters, quotation marks, escapes and encodings of text files."""

import pytest

from modalities.tabular.upload.read_options import ReadOptions
from tests.modalities.tabular.conftest import Read, Reject


@pytest.mark.parametrize(
    ("text", "delimiter", "first_row"),
    [
        (
            "Name, Vorname;Ort\n" + "Kaya, Anna;Bonn\nMeyer, Bert;Köln\n" * 5,
            ";",
            ["Kaya, Anna", "Bonn"],
        ),
        ("a;b;c\n" + "1,5;x;2,5\n2,5;y;3,5\n" * 5, ";", [1.5, "x", 2.5]),
        ("a\tb\n" + "1,5\tx\n2,5\ty\n" * 5, "\t", [1.5, "x"]),
        ("a,b\n" + "1,x;y\n2,y;z\n" * 5, ",", [1, "x;y"]),
        (
            '31.0   8   312.0\t"ford ltd"\n16.0   4   85.0\t"ford pinto"\n' * 5,
            " ",
            [31.0, 8, 312.0, "ford ltd"],
        ),
        ("  0.5  10.0   3\n  0.7   9.5  12\n" * 5, " ", [0.5, 10.0, 3]),
        ("1::1193::5::x\n2::661::3::y\n" * 5, "::", [1, 1193, 5, "x"]),
        ("tags,v\n" + "red|blue,1\nblue|green,2\n" * 5, ",", ["red|blue", 1]),
        ("a^b\n" + "1^x\n2^y\n" * 5, "^", [1, "x"]),
        ("Name\tAge\n" + "Anna Kaya\t30\nBert Meyer\t44\n" * 5, "\t", ["Anna Kaya", 30]),
        ("place\n" + "Berlin, Germany\nParis, France\n" * 5, None, ["Berlin, Germany"]),
        ("price\n" + "75,03\n1,50\n" * 5, None, [75.03]),
        ("name\n" + "Anna Kaya\nBert Meyer\n" * 5, None, ["Anna Kaya"]),
        ("at,v\n" + "2024-01-01 08:30,x\n2024-01-02 09:30,y\n" * 5, ",", None),
    ],
)
def test_delimiter_is_the_one_that_leaves_plain_values(
    text: str, delimiter: str | None, first_row: list[object] | None, read: Read
) -> None:
    table = read(text)
    assert table.summary.read["delimiter"] == delimiter
    if first_row is not None:
        assert [table.values(name)[0] for name in table.types] == first_row


def test_backslashes_escape_quotation_marks(read: Read) -> None:
    table = read(
        "age,city\n"
        + r'88,"say \"hi\", 3"'
        + "\n"
        + r'82,"a \\ b"'
        + "\n"
        + r"9,\N"
        + "\n" * 1
        + '7,"x"\n8,y\n'
    )
    assert table.values("city") == ['say "hi", 3', r"a \ b", None, "x", "y"]
    assert table.summary.read["escape"] == "\\"


def test_a_backslash_before_a_closing_quotation_mark_is_text(read: Read) -> None:
    table = read('a,b\n"C:\\dir\\",1\n"D:\\",2\n' * 1 + '"C:\\dir\\",1\n' * 4)
    assert table.values("a")[:2] == ["C:\\dir\\", "D:\\"]


def test_backslashes_escape_delimiters(read: Read) -> None:
    table = read("1,Bonn\\, Germany,x\n2,Paris\\, France,y\n" * 5)
    assert table.values("column_2")[:2] == ["Bonn, Germany", "Paris, France"]


def test_quotation_marks_that_do_not_enclose_fields_are_text(read: Read) -> None:
    table = read('a\tb\n"Hello" he said\t1\n"Yes" she said\t2\n' * 1 + '"No" again\t3\n' * 4)
    assert table.values("a")[0] == '"Hello" he said'
    assert table.summary.read["quote"] == ""


@pytest.mark.parametrize("sign", ["\\N", "<NA>", "#N/A"])
def test_signs_for_null_are_missing_in_every_column(sign: str, read: Read) -> None:
    table = read(f"a,b\nx,1\n{sign},2\ny,{sign}\nx,3\ny,4\n")
    assert table.values("a") == ["x", None, "y", "x", "y"]
    assert table.values("b") == [1, 2, None, 3, 4]
    assert table.summary.read["missing"] == [sign]
    issue = table.issue("missing_words")
    assert issue is not None
    assert (issue["count"], issue["examples"][0]) == (2, f"a: {sign} in 1 rows")


def test_stated_words_are_missing_and_unused_ones_are_reported(read: Read) -> None:
    text = "a,b,c\n" + "x,-99,1\nk.A.,2,2\ny,3,*\n" * 4
    table = read(text, options=ReadOptions(missing=("k.A.", "-99", "*", "never")))
    assert table.values("a")[:3] == ["x", None, "y"]
    assert table.values("b")[:3] == [None, 2, 3]
    assert table.values("c")[:3] == [1, 2, None]
    unused = table.issue("missing_words_unused")
    assert unused is not None
    assert unused["examples"] == ["never"]


@pytest.mark.parametrize(
    ("text", "options", "names"),
    [
        ("a:b\n" + "1:2\n" * 9, ReadOptions(delimiter=":"), ["a", "b"]),
        ("a,b;c\n" + "1,2;3\n" * 9, ReadOptions(delimiter=";"), ["a,b", "c"]),
        ("a||b\n" + "1||2\n" * 9, ReadOptions(delimiter="||"), ["a", "b"]),
        ("'a',b\n" + "'x,y',2\n" * 9, ReadOptions(quote="'"), ["a", "b"]),
        ("'a','b'\n" + "'1','it''s'\n" * 9, ReadOptions(), ["a", "b"]),
        ('"a,b\n' + '"x,2\n' * 9, ReadOptions(quote=""), ['"a', "b"]),
        ('a,b\n"x$"y",2\n' + '"z",2\n' * 9, ReadOptions(escape="$"), ["a", "b"]),
        ("a,b\n" + "1,2\n//x\n" * 9, ReadOptions(comment="//"), ["a", "b"]),
        ("#a,b\n#1,2\n" * 9, ReadOptions(comment=""), ["#a", "b"]),
    ],
)
def test_every_part_of_the_syntax_can_be_set(
    text: str, options: ReadOptions, names: list[str], read: Read
) -> None:
    table = read(text, options=options)
    assert list(table.types) == names


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("name,ort\nMüller,Köln\nGroß,München\n", "cp1252"),
        ("preis,ort\nfünf €,a\nzwei €,b\n", "cp1252"),
        ("nombre,ciudad\nPeña,Málaga\nNuñez,Logroño\n", "latin-1"),
        ("a,b\nMüller,Köln\nGroß,München\n", "cp850"),
        ("a,b\nMüller,Köln\nGroß,München\n", "mac_roman"),
        ("imię,miasto\nŁukasz,Łódź\nJędrzej,Kraków\n", "cp1250"),
        ("имя,город\nАнна,Москва\nИван,Казань\n", "cp1251"),  # noqa: RUF001
        ("имя,город\nАнна,Москва\nИван,Казань\n", "koi8_r"),  # noqa: RUF001
        ("όνομα,πόλη\nΓιώργος,Αθήνα\nΜαρία,Πάτρα\n", "cp1253"),  # noqa: RUF001
        ("名前,都市\n田中,東京\n鈴木,大阪\n佐藤,名古屋\n", "shift_jis"),
        ("姓名,城市\n王伟,北京\n李娜,上海\n张敏,广州\n", "gb18030"),
        ("姓名,城市\n王偉,臺北\n李娜,高雄\n張敏,臺中\n", "big5"),
        ("이름,도시\n김민수,서울\n이영희,부산\n", "euc_kr"),
    ],
)
def test_encodings_are_guessed_and_reported(text: str, encoding: str, read: Read) -> None:
    head, *rows = text.splitlines(keepends=True)
    table = read((head + "".join(rows) * 4).encode(encoding))
    assert list(table.types) == head.strip().split(",")
    first = next(iter(table.types))
    assert table.values(first)[0] == rows[0].split(",")[0]
    assert "`read.encoding`" in table.summary.notes[0]


def test_encoding_can_be_set(read: Read, reject: Reject) -> None:
    data = ("a,b\n" + "é,1\nà,2\n" * 5).encode("cp1252")
    assert read(data, options=ReadOptions(encoding="cp1251")).values("a")[0] == "й"
    error = reject(data, options=ReadOptions(encoding="utf-8"))
    assert error.code == "encoding_invalid"
    assert "`read.encoding`" in error.detail


def test_line_ends_of_any_kind_count_in_messages(reject: Reject) -> None:
    for end in ("\n", "\r\n", "\r"):
        text = end.join(["a,b", '"x' + end + 'y",1', "3,4", "1,2,3", *["5,6"] * 5])
        assert reject(text.encode()).field_errors[0].pointer == "/file/lines/5"


def test_json_within_quoted_fields_does_not_split_them(read: Read) -> None:
    rows = "".join(f'{i},"{{""a"":{i},""b"":""x"",""c"":[1,2]}}",{i % 3}\n' for i in range(20))
    assert list(read("id,data,n\n" + rows).types) == ["id", "data", "n"]
