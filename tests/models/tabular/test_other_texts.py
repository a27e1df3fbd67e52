"""Texts of another kind among identifiers."""

import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.identifiers.columns import IdColumn
from models.tabular.identifiers.other_texts import find_other_texts, is_placeholder
from models.tabular.identifiers.patterns import IPV4, PATTERNS
from models.tabular.identifiers.words.library_words import names

ROWS, SAMPLES = 200, 2_000
GIVEN, FAMILY = (pool[:20] for pool in names("en_US"))


def _person(i: int) -> str:
    return f"{GIVEN[i % 20]} {FAMILY[i // 20]}"


MAKERS: dict[str, Callable[[int], str]] = {
    "ip": lambda i: f"203.0.{i * 37 % 251 + 1}.{i * 91 % 253 + 1}",
    "email": lambda i: f"{GIVEN[i % 20]}{i}@example.com".lower(),
    "phone": lambda i: f"({200 + i}) 555-{1000 + 7 * i}",
    "url": lambda i: f"https://example.com/shop/{GIVEN[i % 20].lower()}-{i}",
    "uuid": lambda i: f"{i * 7919:08x}-0000-4000-8000-{i * 104729:012x}",
    "iban": lambda i: f"DE{i % 90 + 10} 3704 0044 0532 {i:04} 00",
    "street": lambda i: f"{i + 1} {FAMILY[i % 20]} Street",
    "person": _person,
    "code": lambda i: f"A-{i * 7919 % 90_000 + 10_000}",
}
WORDS = {
    "ip": "AWS Internal",
    "email": "no email",
    "phone": "unlisted",
    "url": "(not set)",
    "uuid": "system",
    "iban": "bar",
    "street": "PO Box",
    "person": "Guest checkout",
    "code": "manual",
}


def _generate(texts: list[str], kind: str | None) -> list[str]:
    column = IdColumn.fit("c", pa.string(), pa.array(texts), kind=kind)
    restored = IdColumn.from_json({"name": "c", **column.to_json()}, pa.string())
    generated: list[str] = restored.values(3, np.arange(SAMPLES)).to_pylist()
    assert column.values(3, np.arange(SAMPLES)).to_pylist() == generated
    return generated


@pytest.mark.parametrize("kind", MAKERS)
def test_words_among_identifiers_stay_as_often_as_in_the_table(kind: str) -> None:
    make, word = MAKERS[kind], WORDS[kind]
    texts = [make(i) if i % 4 else word for i in range(ROWS)]
    generated = _generate(texts, None if kind == "code" else kind)
    assert generated.count(word) == pytest.approx(SAMPLES / 4, rel=0.15)
    others = [text for text in generated if text != word]
    assert len(set(others)) == len(others)
    if kind in PATTERNS:
        assert all(re.fullmatch(PATTERNS[kind], text) for text in others)


def test_names_of_hosts_among_addresses_get_new_names_of_their_form() -> None:
    texts = [MAKERS["ip"](i) if i % 5 < 3 else f"ip-{i}-{i * 7}.internal" for i in range(ROWS)]
    generated = _generate(texts, "ip")
    addresses = [text for text in generated if re.fullmatch(IPV4, text)]
    hosts = [text for text in generated if re.fullmatch(r"ip-\d+-\d+\.internal", text)]
    assert len(addresses) + len(hosts) == SAMPLES
    assert len(hosts) == pytest.approx(0.4 * SAMPLES, rel=0.1)


def test_names_of_people_among_e_mail_addresses_become_other_names() -> None:
    texts = [MAKERS["email"](i) if i % 2 else _person(i) for i in range(ROWS)]
    generated = _generate(texts, "email")
    people = [text for text in generated if "@" not in text]
    assert len(people) == pytest.approx(SAMPLES / 2, rel=0.1)
    assert all(re.fullmatch(r"[^\W\d_]+ [^\W\d_]+", text) for text in people)
    assert not set(people) & set(texts)


def test_people_among_e_mail_addresses_are_new_even_if_many_rows_share_them() -> None:
    texts = [MAKERS["email"](i) if i % 2 else _person(i % 20 * 10) for i in range(ROWS)]
    assert not set(texts) & set(_generate(texts, "email"))


def test_versions_of_addresses_are_not_mixed_up() -> None:
    texts = [MAKERS["ip"](i) if i % 4 else f"2001:db8::{i:x}:{i * 37:x}" for i in range(ROWS)]
    versions = Counter(":" in text for text in _generate(texts, "ip"))
    assert versions[True] == pytest.approx(SAMPLES / 4, rel=0.15)


def test_a_name_of_a_person_does_not_stay_however_often_it_repeats() -> None:
    texts = [*map(_person, range(ROWS)), *["Rose Young"] * 60]
    assert "Rose Young" not in _generate(texts, "person")
    assert not is_placeholder("Rose Young")
    assert is_placeholder("walk-in")
    assert not is_placeholder("12345")


@pytest.mark.parametrize("initials", ["J. K.", "J.K.", "J K", "K"])
def test_initials_of_a_person_do_not_stay(initials: str) -> None:
    texts = [*map(_person, range(ROWS)), *[initials] * 60]
    assert find_other_texts(Counter(texts), "person").words == {}


@pytest.mark.parametrize("mark", ["-", "?", "n/a", "N. A.", "N.N.", "X"])
def test_marks_among_people_stay(mark: str) -> None:
    texts = [*map(_person, range(ROWS)), *[mark] * 60]
    assert find_other_texts(Counter(texts), "person").words == {mark: 60}


def test_a_code_that_repeats_is_not_a_word() -> None:
    texts = [*map(MAKERS["code"], range(ROWS)), *["A-55555"] * 60]
    assert find_other_texts(Counter(texts), None).words == {}


def test_protected_rare_words_do_not_stay() -> None:
    texts = [*map(MAKERS["email"], range(ROWS)), *["no email"] * 20]
    assert find_other_texts(Counter(texts), "email", 20).words == {"no email": 20}
    assert find_other_texts(Counter(texts), "email", 21).words == {}


def test_a_few_other_texts_do_not_show_a_form() -> None:
    counts = find_other_texts(Counter([*map(MAKERS["uuid"], range(ROWS)), "x1", "y2"]), "uuid")
    assert counts.rest == {"x1": 1, "y2": 1}
    assert not counts.keeps_form


def test_texts_of_a_column_of_another_kind_are_not_other_texts() -> None:
    assert find_other_texts(Counter(map(_person, range(ROWS))), "ip").rest == {}


def test_a_value_of_public_words_is_not_another_text_among_words() -> None:
    jobs = [f"{a} {b}" for a in ("Junior", "Chief", "Deputy") for b in WORDS.values()] * 2
    assert find_other_texts(Counter([*jobs, *["Student"] * 20]), None).words == {}
    assert find_other_texts(Counter([*jobs, *["Unknown"] * 20]), None).words == {"Unknown": 20}


def test_firms_among_people_stay_firms_as_often_as_in_the_table() -> None:
    given, families = ("Anna", "Ben", "Carla", "Emil", "Ida"), ("Braun", "Klein", "Lang", "Vogel")
    people = [f"{a} {b}" for a in given for b in families]
    kinds = ("Food", "Farm", "Bus", "Tech", "Art", "Sea", "Tea")
    firms = [f"{a} {b} Pty Ltd" for a in ("Gold", "Sun", "Star") for b in kinds][:20]
    column = IdColumn.fit("donor", pa.string(), pa.array([*people * 3, *firms * 2]), kind="person")
    restored = IdColumn.from_json({"name": "donor", **column.to_json()}, pa.string())
    names = restored.values(3, np.arange(1_000)).to_pylist()
    are_firms = [name.endswith("Pty Ltd") for name in names]
    assert sum(are_firms) / 1_000 == pytest.approx(0.4, abs=0.05)
    assert not set(names) & set(people)
    few = IdColumn.fit("donor", pa.string(), pa.array([*people * 7, *firms[:9]]), kind="person")
    assert few.others is None
