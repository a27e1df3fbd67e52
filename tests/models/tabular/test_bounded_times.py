"""Values that another column bounds stay usual ones where a bound is missing."""

import numpy as np
import pyarrow as pa
import pytest

from models.tabular.relations.coded_columns import BoundedColumn
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.planning import plan_coding
from models.tabular.relations.relation import Relation
from tests.models.tabular.tiny_tables import decode_shuffled

ROWS = 400


def test_distances_of_full_minutes_are_full_minutes_where_the_bound_is_missing() -> None:
    rng = np.random.default_rng(3)
    created = np.datetime64("2024-01-02T08:00", "us") + rng.integers(0, 10**5, ROWS).astype("m8[m]")
    later = created + rng.integers(1, 5_000, ROWS).astype("m8[m]")
    fulfilled = pa.array(later, mask=rng.random(ROWS) < 0.3)
    table = pa.table({"created": created, "fulfilled": fulfilled})
    relations = detect_relations(table, {"created": "datetime", "fulfilled": "datetime"})
    coding = plan_coding(relations, table, ("fulfilled",))
    assert coding.names == {"created"}
    coded = coding.encode(table).combine_chunks().to_batches()[0]
    distances = coded.column("created").to_numpy(zero_copy_only=False)
    assert (distances % 60_000_000 == 0).all()
    assert pa.Table.from_batches([coding.decode(coded, table.schema)]).equals(table)


@pytest.mark.parametrize("may_be_open", [False, True], ids=["closed", "open"])
def test_times_stay_in_order_where_one_between_them_is_missing(*, may_be_open: bool) -> None:
    rng = np.random.default_rng(4)
    opened = np.datetime64("2024-01-02T08:00", "us") + rng.integers(0, 10**5, ROWS).astype("m8[m]")
    assigned = opened + rng.integers(1, 50, ROWS).astype("m8[m]")
    closed = assigned + rng.integers(1, 500, ROWS).astype("m8[m]")
    is_unassigned = rng.random(ROWS) < 0.3
    columns = {
        "opened": opened,
        "assigned": pa.array(assigned, mask=is_unassigned),
        "closed": pa.array(closed, mask=is_unassigned & np.array(may_be_open)),
    }
    table = pa.table(columns)
    coding = plan_coding(detect_relations(table, dict.fromkeys(columns, "datetime")), table, ())
    names = {relation.name for relation in coding.relations}
    if may_be_open:  # then the other two orders say the same
        assert names == {"opened <= assigned", "assigned <= closed"}
    else:
        assert names == {"opened <= assigned", "assigned <= closed", "opened <= closed"}
        rows = decode_shuffled(coding, table)
        assert Relation("order", ("opened", "closed")).holds(rows).all()


def test_marks_among_flags_do_not_move_the_others_where_a_bound_is_missing() -> None:
    flags = np.arange(ROWS) % 2
    first, later = flags.copy(), np.where(np.arange(ROWS) % 3 == 0, 0, flags)
    first[:5] = later[:5] = -999_999_999
    table = pa.table({"first": first, "later": later})
    relations = detect_relations(table, {"first": "integer", "later": "integer"})
    coding = plan_coding(relations, table, ("first",))
    assert coding.names == {"later"}
    coded = coding.encode(table).combine_chunks()
    coded = coded.set_column(0, "first", pa.nulls(ROWS, pa.int64()))
    decoded = coding.decode(coded.to_batches()[0], table.schema).column("later")
    assert set(decoded.to_pylist()) <= {-1, 0, 1}


def test_a_column_without_values_may_be_bounded() -> None:
    table = pa.table({"first": pa.array([1, 2, 3]), "later": pa.nulls(3, pa.int64())})
    coding = plan_coding([Relation("order", ("first", "later"))], table, ("first",))
    coded = coding.encode(table).combine_chunks().to_batches()[0]
    assert pa.Table.from_batches([coding.decode(coded, table.schema)]).equals(table)


def test_no_value_of_a_single_row_stands_for_a_missing_bound() -> None:
    later = pa.array(np.random.default_rng(2).permutation(10_000)[:ROWS])
    table = pa.table({"first": pa.array(np.zeros(ROWS, np.int64)), "later": later})
    column = BoundedColumn.fit("later", ("first",), (), table)
    assert column.default not in later.to_pylist()
    assert 4_000 < column.default < 6_000
