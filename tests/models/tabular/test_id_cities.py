"""New places with a region and a postal code."""

import re

import numpy as np
import pyarrow as pa

from models.tabular.identifiers.columns import IdColumn

CITIES = [f"{a}{b}" for a in ("Brook", "Clear", "Fair", "Green", "Mill") for b in (
    "field", "ville", "ton", "burg", "dale", "port")]  # fmt: skip
BEGINNINGS = {"OR": "97", "MA": "02", "TX": "78", "CA": "90"}


def _fresh(texts: list[str], count: int) -> list[str]:
    column = IdColumn.fit("place", pa.string(), pa.array(texts))
    generated: list[str] = column.values(3, np.arange(count)).to_pylist()
    return generated


def test_codes_after_a_state_begin_as_those_of_the_state() -> None:
    states = [*BEGINNINGS]
    texts = [
        f"{CITIES[i % 30]}, {states[i % 4]} {BEGINNINGS[states[i % 4]]}{i * 37 % 1_000:03}"
        for i in range(400)
    ]
    generated = _fresh(texts, 2_000)
    assert len(set(generated)) == 2_000
    matches = [re.fullmatch(r"(.+), ([A-Z]{2}) (\d{5})", text) for text in generated]
    assert all(m and m[3].startswith(BEGINNINGS[m[2]]) for m in matches)
    assert {m[2] for m in matches if m} == set(states)
    assert not {m[1] for m in matches if m} & set(CITIES)


def test_places_with_and_without_codes_stay_mixed() -> None:
    texts = [f"{CITIES[i % 30]}, OR" + f" 97{i * 37 % 1_000:03}" * (i % 4 > 0) for i in range(400)]
    plain = sum(text.endswith("OR") for text in _fresh(texts, 1_000))
    assert 200 < plain < 300


def test_cities_and_states_that_repeat_are_not_lists_of_items() -> None:
    states = [*BEGINNINGS]
    texts = [f"{CITIES[i * 7 % 20]}, {states[i * 5 % 4]}" for i in range(60)]
    generated = _fresh(texts, 300)
    assert all(re.fullmatch(r".+, (OR|MA|TX|CA)", text) for text in generated)
    assert not {text.partition(",")[0] for text in generated} & {*CITIES, *states}
