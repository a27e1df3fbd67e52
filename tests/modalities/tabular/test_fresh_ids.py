"""New identifiers of augmented datasets."""

import pyarrow as pa

from modalities.tabular.augment import FreshIds
from modalities.tabular.schema import Column


def test_ends_of_addresses_may_repeat_in_new_rows() -> None:
    column = Column("mail", "id", format="email_end")
    ends = pa.array(["@a.com", "@b.org"] * 60)
    taken = FreshIds(column, ends, 3, may_repeat=True).take(200).to_pylist()
    assert set(taken) == {"@a.com", "@b.org"}


def test_identifiers_of_new_rows_are_new() -> None:
    values = pa.array([f"C-{i:04}" for i in range(100)])
    taken = FreshIds(Column("id", "id"), values, 3).take(300).to_pylist()
    assert len({*taken, *values.to_pylist()}) == 400
