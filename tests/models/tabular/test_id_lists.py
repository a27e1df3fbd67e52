"""New lists of the items that several lists share."""

import ast
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.identifiers.columns import IdColumn
from models.tabular.identifiers.lists import Lists

ITEMS = ["Action", "Adventure", "Comedy", "Crime", "Drama", "Horror", "Mystery", "Thriller"]


def lists(joint: str, count: int = 200) -> list[str]:
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 5, count)
    shares = np.arange(1, len(ITEMS) + 1) / sum(range(1, len(ITEMS) + 1))
    chosen = [sorted(rng.choice(len(ITEMS), n, replace=False, p=shares)) for n in sizes]
    return [joint.join(ITEMS[i] for i in each) for each in chosen]


@pytest.mark.parametrize("joint", [";", "|", ", ", " / ", "; "])
def test_new_lists_have_shared_items_once_each_and_in_their_order(joint: str) -> None:
    texts = lists(joint)
    column = IdColumn.fit("genres", pa.string(), pa.array([*texts, "Secret" + joint + "Drama"]))
    assert isinstance(column.source, Lists)
    restored = IdColumn.from_json({"name": "genres", **column.to_json()}, pa.string())
    new = restored.values(7, np.arange(2_000)).to_pylist()
    assert new == column.values(7, np.arange(2_000)).to_pylist()
    split = [text.split(joint) for text in new]
    assert all(items == sorted(set(items)) and set(items) <= set(ITEMS) for items in split)
    before, after = (
        Counter(map(len, each)) for each in ([text.split(joint) for text in texts], split)
    )
    assert set(before) == set(after)
    share = Counter(item for items in split for item in items)
    assert share["Thriller"] > 2 * share["Action"]


@pytest.mark.parametrize(
    "texts",
    [
        [f"Smith, {name} {i}" for i, name in enumerate(ITEMS * 20)],
        [f"{i % 9},{i % 7},{i % 5}" for i in range(100)],
        [f"{i}/{i + 3}" for i in range(100)],
        [f"town {i}, {ITEMS[i % 3]}" for i in range(100)],
    ],
)
def test_names_numbers_and_places_are_no_lists(texts: list[str]) -> None:
    assert Lists.fit(texts) is None


def test_items_of_few_lists_are_left_out() -> None:
    source = Lists.fit([*lists(";"), "Rare;Action", "Rare;Drama"])
    assert source is not None
    assert "Rare" not in dict(source.items)


def test_lists_in_brackets_are_lists_in_brackets() -> None:
    items = ("radio", "bicycle", "television", "torch", "cow")
    texts = [str([item for j, item in enumerate(items) if i >> j & 1]) for i in range(1, 32)] * 3
    column = IdColumn.fit("owned", pa.string(), pa.array(texts))
    restored = IdColumn.from_json({"name": "owned", **column.to_json()}, pa.string())
    for text in restored.values(1, np.arange(50)).to_pylist():
        assert set(ast.literal_eval(text)) <= set(items)


def test_lists_within_lists_are_not_composed() -> None:
    texts = [f"[salsa, [rice, {food}]]" for food in ("beans", "cheese", "corn", "cream")] * 9
    assert Lists.fit(texts) is None


def test_tags_of_which_many_are_rare_are_lists() -> None:
    rng = np.random.default_rng(4)
    common = [f"tag{'abcdefghijklmnop'[i]}" for i in range(16)]
    texts = [
        ",".join([*rng.choice(common, rng.integers(1, 4), replace=False), f"rare{i}"])
        for i in range(200)
    ]
    source = Lists.fit(texts)
    assert source is not None
    assert {name for name, _ in source.items} == set(common)


def test_cities_and_countries_are_no_lists() -> None:
    countries = [f"Land{'abcdefghijklmnop'[i]}" for i in range(16)]
    assert Lists.fit([f"Town{i}, {countries[i % 16]}" for i in range(200)]) is None


def test_rankings_are_new_orders_of_the_same_items() -> None:
    rng = np.random.default_rng(6)
    items = [*ITEMS[:5], "Western\\, old"]
    orders = [np.argsort(np.arange(6) + 3 * rng.random(6)) for _ in range(60)]
    source = Lists.fit([",".join(items[i] for i in order) for order in orders])
    assert source is not None
    new = source.texts(7, 1, np.arange(300)).to_pylist()
    split = [re.split(r"(?<!\\),", text) for text in new]
    assert all(sorted(each) == sorted(items) for each in split)
    assert len(set(new)) > 20
    first, last = (sum(each[place] == items[0] for each in split) for place in (0, -1))
    assert first > last
    assert Lists.from_json(source.to_json()) == source
