"""Columns of Python values, as JSON and workbooks hold them, in the types of RawTable."""

import datetime
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

BATCH_ROWS = 8_192

_INT64_LIMIT = 2**63
_TIMESTAMP = pa.timestamp("us")


class ColumnTypes:
    """Python types of the values of one column. Missing values, None and "", do not count."""

    def __init__(self) -> None:
        self.types: set[type] = set()
        self.has_times = False
        self._low, self._high = 0, 0  # of integers outside int64, and of negative ones

    def add(self, value: Any) -> None:
        if value is None or value == "":
            return
        value_type = type(value)
        if value_type is int and not 0 <= value < _INT64_LIMIT:
            self._low, self._high = min(self._low, value), max(self._high, value)
        elif value_type is datetime.datetime:
            self.has_times = self.has_times or value.time() != datetime.time.min
        self.types.add(value_type)

    def arrow_type(self) -> pa.DataType:
        types = self.types
        if types == {bool}:
            return pa.bool_()
        if self._is_beyond_int64:
            return pa.string()
        if types == {int}:
            return pa.int64()
        if types and types <= {int, float}:
            return pa.float64()
        if types and types <= {datetime.datetime, datetime.date}:
            return _TIMESTAMP
        return pa.string()

    @property
    def _is_beyond_int64(self) -> bool:
        return self._low < -_INT64_LIMIT or self._high >= _INT64_LIMIT

    @property
    def is_uint64(self) -> bool:
        """Return True for integers of which some need 64 bits without a sign."""
        fits = self._low == 0 and self._high < 2 * _INT64_LIMIT
        return self.types == {int} and self._is_beyond_int64 and fits

    @property
    def is_mixed(self) -> bool:
        """Return True if the values are text in RawTable only because one type cannot hold them."""
        if self._is_beyond_int64:
            return True
        return len(self.types - {float}) > 1 and self.arrow_type() == pa.string()


def build_batches(rows: Iterable[Sequence[Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows, one sequence of values each, in batches of `schema`."""
    pending: list[Sequence[Any]] = []
    for row in rows:
        pending.append(row)
        if len(pending) == BATCH_ROWS:
            yield _batch(pending, schema)
            pending = []
    if pending:
        yield _batch(pending, schema)


def _batch(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for values, arrow_type in zip(zip(*rows, strict=True), schema.types, strict=True):
        present = [None if value is None or value == "" else value for value in values]
        if arrow_type == pa.string():
            present = [None if value is None else to_text(value) for value in present]
        elif arrow_type == pa.float64():
            present = [None if value is None else float(value) for value in present]
        elif arrow_type == _TIMESTAMP:
            present = [None if value is None else _to_datetime(value) for value in present]
        arrays.append(pa.array(present, arrow_type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _to_datetime(value: datetime.date) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value
    return datetime.datetime.combine(value, datetime.time.min)


def to_text(value: Any) -> str:
    """Return the text of a value in a column of several types."""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime.timedelta):
        seconds = int(value.total_seconds())
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return json.dumps(value)
