"""Terms of sums and products that are 0 in most rows, such as late fees."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.data import LabeledRows
from models.tabular.prepare import RelationPlan, plan_relations
from models.tabular.relations.detection import SCREENING_ROWS, detect_relations
from models.tabular.schema import ColumnSchema
from tests.models.tabular.tiny_tables import decode_shuffled, make_settings

N = 1_000
RNG = np.random.default_rng(0)
NET = np.round(RNG.lognormal(4, 1, N), 2)
TAX = np.round(NET * RNG.choice([0.07, 0.19], N), 2)
COUNT = RNG.integers(1, 9, N)


def rare(count: int, seed: int) -> Any:
    """Return numbers of which all but `count` are 0."""
    rng = np.random.default_rng(seed)
    values = np.zeros(N)
    values[rng.permutation(N)[:count]] = np.round(rng.uniform(1, 20, count), 2)
    return values


FEE, REFUND = rare(6, 1), rare(8, 2)


def plan(columns: dict[str, Any]) -> tuple[RelationPlan, pa.Table]:
    table = pa.table(columns)
    schema = tuple(ColumnSchema(name, "number") for name in columns)
    rows = LabeledRows(table, schema, None, np.arange(N), np.arange(0))
    return plan_relations(rows, make_settings(table)), table


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (
            {"net": NET, "tax": TAX, "fee": FEE, "refund": REFUND, "all": NET + TAX + FEE - REFUND},
            "net + tax + fee - refund = all",
        ),
        ({"net": NET, "fee": FEE, "all": NET + FEE}, "net + fee = all"),
        (
            {"net": NET, "count": COUNT, "off": FEE, "all": NET * COUNT - FEE},
            "net * count - off = all",
        ),
    ],
)
def test_a_term_of_a_few_rows_completes_an_equation_in_all_samples(
    columns: dict[str, Any], name: str
) -> None:
    relations, table = plan({**columns, "all": np.round(columns["all"], 2)})
    relation = next(each for each in relations.coding.relations if each.name == name)
    assert {"name": name, "enforced": True}.items() <= relations.describe()[0].items()
    assert relation.holds(table).all()
    assert relation.holds(decode_shuffled(relations.coding, table)).all()


def test_a_term_completes_an_equation_that_odd_rows_break() -> None:
    total = np.round(NET + TAX + FEE, 2)
    total[[3, 50]] = 7.5
    relations, table = plan({"net": NET, "tax": TAX, "fee": FEE, "all": total})
    (relation,) = relations.coding.with_exceptions
    assert relation.name == "net + tax + fee ~ all"
    assert (~relation.holds(table)).sum() == 2


def test_numbers_of_other_rows_than_those_of_the_rest_are_not_a_term() -> None:
    columns = {"net": NET, "tax": TAX, "other": np.roll(FEE, 1), "all": NET + TAX + FEE}
    relations, _ = plan({**columns, "all": np.round(columns["all"], 2)})
    assert not [each for each in relations.describe() if "other" in each["name"]]


def test_terms_that_no_screened_row_has_complete_an_equation() -> None:
    count = 20_000
    a, b = np.random.default_rng(4).integers(0, 9_999, (2, count))
    screened = np.random.default_rng(0).choice(count, SCREENING_ROWS, replace=False)
    fee = np.zeros(count, np.int64)
    fee[np.setdiff1d(np.arange(count), screened)[:4]] = 100, 250, 730, 999
    table = pa.table({"a": a, "b": b, "fee": fee, "all": a + b + fee})
    relations = detect_relations(table, dict.fromkeys(table.column_names, "integer"))
    assert "a + b + fee = all" in {relation.name for relation in relations}


def test_the_coarsest_number_of_a_wide_sum_follows_from_finer_ones() -> None:
    """The payment is not rounded, and neither of its parts has as many decimals."""
    payment = NET + TAX + np.random.default_rng(5).uniform(-0.004, 0.004, N)
    others = {f"x{i}": RNG.normal(size=N).round(2) for i in range(20)}
    relations, table = plan({**others, "net": NET, "tax": TAX, "paid": payment})
    (relation,) = (each for each in relations.coding.relations if "paid" in each.columns)
    assert (relation.kind, set(relation.columns)) == ("sum", {"net", "tax", "paid"})
    assert relation.holds(decode_shuffled(relations.coding, table)).all()


def test_whole_hours_with_two_offsets_are_not_one_rounded_number() -> None:
    hours = RNG.integers(0, 20, N)
    shifted = hours + np.where(np.arange(N) < N // 2, 4, 5)
    relations, _ = plan({"hour": hours.astype(float), "utc": shifted.astype(float)})
    assert {each["kind"] for each in relations.describe()} == {"order"}
