"""What is asked of a column: one of some values, or a range."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

COMPARISONS = {
    "gte": pa.compute.greater_equal,
    "gt": pa.compute.greater,
    "lte": pa.compute.less_equal,
    "lt": pa.compute.less,
}


class InvalidCondition(ValueError):
    """A condition that no row of the model can meet; `column` names its column."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


class InvalidPartialRow(ValueError):
    """A given value that no row of the model can have; `row` and `column` say where it is."""

    def __init__(self, row: int, column: str, message: str) -> None:
        super().__init__(message)
        self.row, self.column = row, column


class CompletionUnsupported(Exception):
    """A model that makes its rows in one piece."""


@dataclass(frozen=True)
class Condition:
    """`values` where None stands for missing, or bounds by their word, or both."""

    column: str
    values: pa.Array | None
    bounds: tuple[tuple[str, pa.Scalar], ...] = ()

    @classmethod
    def parse(cls, field: pa.Field, spec: Any) -> Self:
        """A value, a list of values, or {"gte": …, "gt": …, "lte": …, "lt": …}."""
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if isinstance(spec, Mapping):
            unknown = [word for word in spec if word not in COMPARISONS]
            if unknown or not spec:
                raise InvalidCondition(field.name, f"a range has {', '.join(COMPARISONS)}")
            if pa.types.is_string(kind) or pa.types.is_boolean(kind):
                raise InvalidCondition(field.name, "has no order to take a range of")
            return cls(
                field.name,
                None,
                tuple((word, _scalar(field.name, value, kind)) for word, value in spec.items()),
            )
        values = list(spec) if isinstance(spec, list | tuple | set) else [spec]
        try:
            return cls(field.name, pa.array(values).cast(kind))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise InvalidCondition(field.name, f"the value does not fit {kind}") from error

    def matches(self, column: pa.Array) -> NDArray[np.bool_]:
        """(N,)."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        held = np.ones(len(column), bool)
        if self.values is not None:
            found = pa.compute.is_in(column, value_set=self.values)
            held &= found.to_numpy(zero_copy_only=False)
        for word, bound in self.bounds:
            found = COMPARISONS[word](column, bound).fill_null(False)
            held &= found.to_numpy(zero_copy_only=False)
        return held

    def can_match(self, low: pa.Array, high: pa.Array) -> NDArray[np.bool_]:
        """(N,): whether some value from `low` to `high` can meet it."""
        held = np.ones(len(low), bool)
        if self.values is not None:
            held &= False
            for value in self.values.drop_null():
                inside = pa.compute.and_(
                    pa.compute.less_equal(low, value), pa.compute.greater_equal(high, value)
                )
                held |= inside.to_numpy(zero_copy_only=False)
        for word, bound in self.bounds:
            met = COMPARISONS[word](high if word in ("gte", "gt") else low, bound)
            held &= met.to_numpy(zero_copy_only=False)
        return held


def _scalar(name: str, value: Any, kind: pa.DataType) -> pa.Scalar:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        if numeric and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return pa.scalar(value)
        return pa.array([value]).cast(kind)[0]
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InvalidCondition(name, f"the bound does not fit {kind}") from error
