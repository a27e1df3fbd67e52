"""Names that are suggested instead of one that does not exist."""

from random import Random
from time import thread_time

import pytest

from core.similar_names import MAX_COMPARED, closest


@pytest.mark.parametrize("name", ["Shoe", "shose", "hoes", "shoes-1"])
def test_the_most_similar_names_come_first(name: str) -> None:
    others = [f"numbers {i}" for i in range(MAX_COMPARED)]
    assert closest(name, [*others, "Shoes", "people"]) == ["Shoes"]


def test_short_names_are_compared_too() -> None:
    assert closest("A", ["b", "a"]) == ["a"]
    assert closest("x", ["b", "a"]) == []
    assert closest("ab", []) == []


def test_long_names_are_compared_quickly() -> None:
    random = Random(0)  # noqa: S311
    name, *names = ("".join(random.choices("ab", k=128)) for _ in range(MAX_COMPARED + 1))
    start = thread_time()
    closest(name, names)
    assert thread_time() - start < 0.1  # aligning all of them would take half a second
