"""Encodings of text that is not Unicode are chosen by the plausibility of its letters."""

# ruff: noqa: RUF001 - letters of other languages

import pytest

from modalities.tabular.upload.files.encoding import guess_encodings
from modalities.tabular.upload.files.encoding_doubts import guessed_encoding_issue
from modalities.tabular.upload.read_options import ReadOptions
from tests.modalities.tabular.conftest import Read

TEXTS = {
    "cp949": "번호,이름,주소,금액\n1,김민수,서울특별시 강남구 역삼동,1200원\n",
    "cp932": "番号,氏名,カナ,金額\n1,山田太郎,ヤマダタロウ,1200円\n",
    "euc_jp": "番号,氏名,住所\n1,山田太郎,東京都新宿区西新宿\n",
    "gb18030": "编号,姓名,地址,金额\n1,王小明,北京市朝阳区建国路,1200元\n",
    "big5": "編號,姓名,地址,金額\n1,陳小明,台北市中正區重慶南路,1200元\n",
    "cp1251": "номер,имя,город\n1,Иванов Иван,Москва\n",
    "koi8_r": "дата,сумма,количество\n2024-01-01,5,7\n",
    "cp866": "номер,имя,город\n1,Иванов Иван,Москва\n",
    "cp1253": "αριθμός,όνομα,πόλη\n1,Παπαδόπουλος,Αθήνα\n",
    "cp1254": "no,isim,şehir\n1,Ayşe Yılmaz,İstanbul\n2,Gül Şahin,Muğla\n",
    "cp1255": "מספר,שם,עיר\n1,דוד כהן,תל אביב\n",
    "cp1256": "رقم,اسم,مدينة\n1,محمد علي,القاهرة\n",
    "cp874": "ลำดับ,ชื่อ,จังหวัด\n1,สมชาย,กรุงเทพ\n",
    "cp1250": "č,jméno,město\n1,Jiří Dvořák,Plzeň\n2,Růžena Šťastná,Žďár\n",
    "iso8859_2": "nr,imię,miasto\n1,Łukasz Żak,Łódź\n2,Paweł Dąb,Gdańsk\n",
    "cp1252": "nr,name,ort\n1,Jürgen Groß,KÖLN\n2,Hélène,«Besançon»\n",
    "cp850": "nr,name,ort\n1,Jürgen,Köln\n2,Bärbel,München\n",
}


@pytest.mark.parametrize("encoding", TEXTS)
def test_encoding_is_that_in_which_the_letters_are_plausible(encoding: str) -> None:
    text = TEXTS[encoding]
    assert text.encode(encoding).decode(guess_encodings(text.encode(encoding))[0]) == text


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("cp949", "서울"),
        ("cp932", "カナ"),
        ("big5", "臺中"),
        ("gb18030", "上海"),
        ("cp1252", "Köln"),
    ],
)
def test_a_few_short_words_show_the_encoding(encoding: str, word: str) -> None:
    text = "id,city\n" + "".join(f"{i},{word}\n" for i in range(20))
    assert text.encode(encoding).decode(guess_encodings(text.encode(encoding))[0]) == text


@pytest.mark.parametrize(
    "text",
    [
        "id|angle|x\n1|45°|3\n2|90°|4\n",
        "alumno;grupo\n1;1ºA\n2;1ºB\n3;2ºA\n",
        "id;dose\n1;10 µL\n2;5 µL\n",
        "id;dose\n1;5 µg\n2;8 µm\n",
        "id;conc (µM)\n1;10\n",
        "nafn;tala\nSigurður;1\nGuðmundur;2\nÞorsteinn;3\n",
        "nafn;bær\nSigurður Jónsson;Reykjavík\nÞorsteinn;Ísafjörður\n",
        "NAFN;X\nREIÐ;ÞÓR\nGUÐMUNDUR;SIGURÐUR\n",
        "COMMUNE;DEPT\nNÎMES;GARD\nCHÂTEAUROUX;INDRE\nMÂCON;X\n",
        "COMMUNE;DEPT\nNÎMES;GARD\nBRÛLON;SARTHE\nÉVRY;ESSONNE\nTHÔNES;X\nLA FLÈCHE;X\n",
        "CITTÀ;X\nFORLÌ;1\nCEFALÙ;2\nSAN NICOLÒ;3\n",
        "CIDADE;X\nCAMÕES;1\nSÃO LUÍS;2\nCOVILHÃ;3\n",
    ],
)
def test_signs_and_capitals_of_western_languages_are_not_those_of_others(text: str) -> None:
    assert guess_encodings(text.encode("cp1252"))[0] == "cp1252"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1254", "a;b\nŞahin;Muğla\n"),
        ("cp1257", "a;b\nŠiauliai;Žemaitė\nKėdainiai;x\n"),
        ("cp1257", "a;b\nŠiauliai;Vilnius\n"),
        ("cp1257", "a;b\nRīga;Šķirotava\nLiepāja;Žagare\n"),
        ("cp1250", "a;b\nPLZEŇ;DVOŘÁK\nNĚMEC;MĚLNÍK\n"),
        ("cp1250", "a;b\nGYŐR;SZŰCS\n"),
        ("cp1250", "a;b\nCZĘSTOCHOWA;WROCŁAW\n"),
    ],
)
def test_letters_of_other_latin_alphabets_are_not_western_ones(encoding: str, text: str) -> None:
    assert text.encode(encoding).decode(guess_encodings(text.encode(encoding))[0]) == text


def test_single_accents_are_not_letters_of_another_alphabet() -> None:
    assert guess_encodings("id,x\n1,à 3\n2,à 7\n".encode("cp1252"))[0] == "cp1252"
    assert guess_encodings("id,x\n1,3 €\n2,7 €\n".encode("cp1252"))[0] == "cp1252"


@pytest.mark.parametrize(
    "cell",
    [
        "System Administrator\xa0",
        "\xa0manager",
        "Director \xa0",
        "Director\xa0\xa0Europe",
        "Mr.\xa0Smith",
        "Los\xa0Angeles",
        "10\xa0km",
        "\xa0\xa0\xa0\xa0",
        "the\xa0most,10\xa0km",
    ],
)
def test_no_break_spaces_are_not_letters_of_dos(cell: str) -> None:
    assert guess_encodings(f"job,n\n{cell},1\n".encode("cp1252"))[0] == "cp1252"


@pytest.mark.parametrize("cell", ["Málaga", "Bogotá,Tomás", "Canadá,José", "Bogotá,Medellín"])
def test_letters_of_dos_within_words_are_not_no_break_spaces(cell: str) -> None:
    assert guess_encodings(f"a,b\n{cell}\n".encode("cp850"))[0] == "cp850"


def test_a_guess_from_one_letter_is_a_warning_with_other_readings(read: Read) -> None:
    text = "city,n\n" + "".join(f"{('Plzeň', 'Praha')[i % 2]},{i}\n" for i in range(8))
    table = read(text.encode("cp1250"))
    issue = table.issue("guessed_encoding")
    assert issue is not None
    assert (issue["severity"], issue["count"]) == ("warning", 1)
    (example,) = issue["examples"]
    assert "Plzeň" in example
    assert "`read.encoding`" in issue["hint"]
    options = ReadOptions.from_dict({"encoding": "cp1250"})
    stated = read(text.encode("cp1250"), options=options)
    assert stated.issue("guessed_encoding") is None


def test_a_guess_from_several_letters_is_an_info(read: Read) -> None:
    text = TEXTS["cp1250"] + "3,Karel,Praha\n" * 6
    issue = read(text.encode("cp1250")).issue("guessed_encoding")
    assert issue is not None
    assert issue["severity"] == "info"


def test_words_are_found_among_very_many_letters_in_linear_time() -> None:
    """Searching from each of the letters would take an hour."""
    issue = guessed_encoding_issue(b"A" * 10**6 + b" Plze\xf2", "cp1250", ["cp1250", "cp1252"])
    assert (issue.count, issue.examples) == (1, ("Plzeň (cp1252: Plzeò)",))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_is_not_a_guess(encoding: str, read: Read) -> None:
    text = TEXTS["cp1250"] + "3,Karel,Praha\n" * 6
    assert read(text.encode(encoding)).issue("guessed_encoding") is None
