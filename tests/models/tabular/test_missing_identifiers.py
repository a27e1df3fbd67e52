"""Identifiers are missing in the rows of samples that lack what real rows lack with them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from models.tabular.identifiers.missing_identifiers import MissingWith
from models.tabular.relations.texts.search import find_joined_texts
from models.tabular.schema import ColumnSchema
from models.tabular.tokenizer import Tokenizer
from models.tabular.tokenizer_tensors import from_tensors, to_tensors

SCHEMA = (
    ColumnSchema("total", "number"),
    ColumnSchema("item", "category"),
    ColumnSchema("order", "id"),
    ColumnSchema("phone", "id"),
    ColumnSchema("note", "id"),
    ColumnSchema("payment", "category"),
    ColumnSchema("mandate", "id"),
    ColumnSchema("creditor", "id"),
)


def make_orders(count: int = 400) -> pa.Table:
    """Return lines of orders; every third one continues the order of the line above."""
    rng = np.random.default_rng(5)
    is_first = [i % 3 > 0 for i in range(count)]
    return pa.table(
        {
            "total": [i % 50 + 0.5 if first else None for i, first in enumerate(is_first)],
            "item": [f"item {i}" for i in rng.integers(0, 4, count)],
            "order": [f"A-{1000 + i}" if first else None for i, first in enumerate(is_first)],
            "phone": [
                f"+1 {i:07}" if first and i % 2 else None for i, first in enumerate(is_first)
            ],
            "payment": ["card" if i % 4 else "debit" if i % 8 else "wire" for i in range(count)],
            "mandate": [None if i % 4 or not i % 8 else f"M-{i:04}" for i in range(count)],
            "creditor": [None if i % 4 or not i % 8 else f"C{i:05}" for i in range(count)],
            "note": [f"n{rng.integers(10**6)}" if rng.random() < 0.5 else None for _ in is_first],
        }
    )


@pytest.fixture(scope="module")
def samples() -> pa.RecordBatch:
    table = make_orders()
    tokenizer = from_tensors(*to_tensors(Tokenizer.fit(table, SCHEMA, target_column=None, seed=1)))
    tokens = tokenizer.encode(table, 1)
    u = np.random.default_rng(1).random((tokenizer.num_decode_uniforms, len(table)))
    ids = {each.name: each.values(7, np.arange(len(table))) for each in tokenizer.id_columns}
    return tokenizer.decode(tokens, u, ids)


def test_an_identifier_is_missing_in_the_rows_that_lack_another_column(
    samples: pa.RecordBatch,
) -> None:
    assert samples.column("order").is_null().equals(samples.column("total").is_null())


def test_an_identifier_that_is_missing_more_often_is_so_in_other_rows_too(
    samples: pa.RecordBatch,
) -> None:
    lacks_total = samples.column("total").is_null().to_numpy(zero_copy_only=False)
    lacks_phone = samples.column("phone").is_null().to_numpy(zero_copy_only=False)
    assert lacks_phone[lacks_total].all()
    assert lacks_phone[~lacks_total].mean() == pytest.approx(0.5, abs=0.1)


def test_an_identifier_that_is_missing_in_any_rows_stays_so(samples: pa.RecordBatch) -> None:
    lacks_total = samples.column("total").is_null().to_numpy(zero_copy_only=False)
    lacks_note = samples.column("note").is_null().to_numpy(zero_copy_only=False)
    assert 0.3 < lacks_note[lacks_total].mean() < 0.7


def test_identifiers_that_are_missing_at_random_have_no_rule() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        ids = pa.array([None if rng.random() < 0.2 else f"a{i}" for i in range(400)])
        columns = {
            f"column {j}": pa.array([f"v{value}" for value in rng.zipf(1.6, 400).clip(max=60)])
            for j in range(15)
        }
        assert MissingWith.fit(ids, columns) is None


def test_an_identifier_is_missing_with_the_categories_that_lack_it(
    samples: pa.RecordBatch,
) -> None:
    is_debit = pc.equal(samples.column("payment"), "debit")
    for name in ("mandate", "creditor"):
        assert samples.column(name).is_valid().equals(is_debit)


def test_an_identifier_is_missing_in_the_rows_that_have_another_one() -> None:
    rng = np.random.default_rng(2)
    is_final = rng.random(300) < 0.1
    table = pa.table(
        {
            "best": [None if final else f"P{i:04}" for i, final in enumerate(is_final)],
            "winner": [f"W{i:04}" if final else None for i, final in enumerate(is_final)],
            "points": rng.integers(0, 9, 300),
        }
    )
    schema = (
        ColumnSchema("best", "id"),
        ColumnSchema("winner", "id"),
        ColumnSchema("points", "integer"),
    )
    tokenizer = from_tensors(*to_tensors(Tokenizer.fit(table, schema, target_column=None, seed=1)))
    u = np.random.default_rng(1).random((tokenizer.num_decode_uniforms, 300))
    ids = {each.name: each.values(7, np.arange(300)) for each in tokenizer.id_columns}
    rows = tokenizer.decode(tokenizer.encode(table, 1), u, ids)
    best, winner = rows.column("best"), rows.column("winner")
    assert best.null_count > 10
    assert best.is_null().equals(winner.is_valid())


def test_an_identifier_is_missing_with_the_numbers_that_lack_it() -> None:
    rng = np.random.default_rng(4)
    winners, rank = rng.integers(0, 3, 300), rng.permutation(300)
    names = pa.array([f"P{i:04}" if n else None for i, n in enumerate(winners)])
    rule = MissingWith.fit(names, {"rank": pa.array(rank), "winners": pa.array(winners)})
    assert rule is not None
    assert (rule.column, rule.values, rule.others) == ("winners", ("0",), 0.0)
    assert MissingWith.from_json(rule.to_json()) == rule
    rows = pa.record_batch({"winners": pa.array([0, 1, 2, None])})
    kept = rule.apply(pa.array(["a", "b", "c", "d"]), rows)
    assert kept.to_pylist() == [None, "b", "c", "d"]


def test_an_empty_text_is_a_category_like_others() -> None:
    category = pa.array(["" if i % 4 == 0 else "ab"[i % 2] for i in range(200)])
    identifiers = pa.array([None if i % 4 == 0 else f"x{i}" for i in range(200)])
    fitted = MissingWith.fit(identifiers, {"category": category})
    assert fitted is not None
    missing_with = MissingWith.from_json(fitted.to_json())
    rows = pa.record_batch({"category": category})
    assert (
        missing_with.apply(pc.fill_null(identifiers, "y"), rows)
        .is_null()
        .equals(identifiers.is_null())
    )


def test_an_identifier_with_a_part_of_a_category_is_missing_where_that_is() -> None:
    shelves = [None if i % 3 == 0 else ("read", "to-read")[i % 2] for i in range(300)]
    places = [None if shelf is None else f"{shelf} (#{i})" for i, shelf in enumerate(shelves)]
    schema = (ColumnSchema("shelf", "category"), ColumnSchema("place", "id"))
    table = pa.table({"shelf": shelves, "place": places})
    joined_texts = find_joined_texts(table, {"shelf": "category", "place": "id"})
    assert [joined.name for joined in joined_texts] == ["shelf in place"]
    tokenizer = Tokenizer.fit(table, schema, target_column=None, seed=1, joined_texts=joined_texts)
    u = np.random.default_rng(1).random((tokenizer.num_decode_uniforms, len(table)))
    ids = {each.name: each.values(7, np.arange(len(table))) for each in tokenizer.id_columns}
    rows = tokenizer.decode(tokenizer.encode(table, 1), u, ids)
    assert rows["place"].is_null().equals(rows["shelf"].is_null())
