"""Conditions on the columns of sampled rows: a set of values, or a range."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Literal, Self

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

NO_SUCH_VALUE = "has no such value in the training data"
NO_MATCH = "has no value in the training data that satisfies the condition"


@dataclass(frozen=True)
class Alternatives:
    """Values of a column that an error message names: what it may have instead.

    They are the ends of a range, the `nearest` ones to a value, `all` texts or only `some`. There
    are none if it must be `missing`.
    """

    values: pa.Array
    kind: Literal["range", "nearest", "all", "some", "missing"]

    def describe(self, texts: Sequence[str]) -> str:
        """Return the phrase of a message, in which `texts` show the values."""
        if self.kind == "missing":
            return " missing"
        if self.kind == "nearest":
            verb = "are" if len(texts) > 1 else "is"
            return f": the nearest {verb} {' and '.join(texts)}"
        if self.kind in ("all", "some"):
            is_text = pa.types.is_string(self.values.type)
            shown = [repr(text) for text in texts] if is_text else list(texts)
            *before, last = [*shown, *(["others"] if self.kind == "some" else [])]
            word = "and" if self.kind == "some" else "or"
            return f" {', '.join(before)} {word} {last}" if before else f" {last}"
        return f" {texts[0]}" if len(set(texts)) == 1 else f" from {texts[0]} to {texts[-1]}"


class InvalidValue(ValueError):
    """Something requested of `column` that the model's rows cannot have.

    The message consists of `reason` and, if there are some, the `alternatives`.
    """

    def __init__(self, column: str, reason: str, alternatives: Alternatives | None = None) -> None:
        shown = ""
        if alternatives is not None:
            shown = alternatives.describe([_plain(value) for value in alternatives.values])
        super().__init__(reason + shown)
        self.column, self.reason, self.alternatives = column, reason, alternatives


class InvalidCondition(InvalidValue):
    """A condition on `column` that the model's rows cannot satisfy."""


class NoMatchingValue(InvalidCondition):
    """No value of the training data satisfies the condition."""


def not_a_column(name: str, columns: Collection[str], identifiers: Collection[str] = ()) -> str:
    """Return a message about a name that is none of `columns`, with the most similar one."""
    if name in identifiers:
        return "is an identifier, whose values are new and cannot be chosen"
    message = "is not a column of the model"
    if similar := difflib.get_close_matches(name, columns, 1):
        message += f". Did you mean `{similar[0]}`?"
    return message


class InvalidPartialRow(InvalidValue):
    """A given value, in `row` and `column`, that the model's rows cannot have."""

    def __init__(
        self, row: int, column: str, reason: str, alternatives: Alternatives | None = None
    ) -> None:
        super().__init__(column, reason, alternatives)
        self.row = row


class CompletionUnsupported(Exception):
    """The model generates a row in one pass and cannot complete partial rows."""


@dataclass(frozen=True)
class Condition:
    """A set of allowed values (None means missing), or bounds by operator, or both."""

    column: str
    values: pa.Array | None
    bounds: tuple[tuple[str, pa.Scalar], ...] = ()

    @classmethod
    def parse(cls, field: pa.Field, spec: Any) -> Self:
        """Parse a value, a list of values, or {"gte": …, "gt": …, "lte": …, "lt": …}.

        Raises InvalidCondition.
        """
        arrow = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if isinstance(spec, Mapping):
            unknown_operators = [operator for operator in spec if operator not in COMPARISONS]
            if unknown_operators or not spec:
                raise InvalidCondition(
                    field.name, f"needs one or more of the range operators {', '.join(COMPARISONS)}"
                )
            if pa.types.is_string(arrow) or pa.types.is_boolean(arrow):
                raise InvalidCondition(field.name, "has no order, so a range cannot be requested")
            bounds = tuple(
                (operator, _scalar(field.name, value, arrow)) for operator, value in spec.items()
            )
            _check_range(field.name, bounds)
            return cls(field.name, None, bounds)
        values = list(spec) if isinstance(spec, list | tuple | set) else [spec]
        try:
            return cls(field.name, pa.array(values).cast(arrow))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise InvalidCondition(field.name, expected_value(arrow)) from error

    def matches(self, column: pa.Array) -> NDArray[np.bool_]:
        """Return the (N,) mask of values that satisfy the condition."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        mask = np.ones(len(column), bool)
        if self.values is not None:
            matching = pa.compute.is_in(column, value_set=self.values)
            mask &= matching.to_numpy(zero_copy_only=False)
        for operator, bound in self.bounds:
            matching = COMPARISONS[operator](column, bound).fill_null(False)
            mask &= matching.to_numpy(zero_copy_only=False)
        return mask

    def can_match(self, low: pa.Array, high: pa.Array) -> NDArray[np.bool_]:
        """Return (N,): True where some value from `low` to `high` can satisfy the condition."""
        mask = np.ones(len(low), bool)
        if self.values is not None:
            mask &= False
            for value in self.values.drop_null():
                inside = pa.compute.and_(
                    pa.compute.less_equal(low, value), pa.compute.greater_equal(high, value)
                )
                mask |= inside.to_numpy(zero_copy_only=False)
        for operator, bound in self.bounds:
            satisfied = COMPARISONS[operator](high if operator in ("gte", "gt") else low, bound)
            mask &= satisfied.to_numpy(zero_copy_only=False)
        return mask


def _check_range(column: str, bounds: Sequence[tuple[str, pa.Scalar]]) -> None:
    """Raise InvalidCondition if no value is above the lower and below the upper bounds."""
    for lower, low in bounds:
        for upper, high in bounds:
            if lower in ("gte", "gt") and upper in ("lte", "lt"):
                is_possible = COMPARISONS["gte" if (lower, upper) == ("gte", "lte") else "gt"]
                if not is_possible(high, low).as_py():
                    message = f"needs `{upper}` to be larger than `{lower}`"
                    raise InvalidCondition(column, message)


def expected_value(arrow: pa.DataType) -> str:
    """Return the message on a value that does not have the type of its column."""
    kinds = (
        (pa.types.is_boolean, "must be true or false"),
        (pa.types.is_integer, "must be an integer"),
        (pa.types.is_floating, "must be a number"),
        (pa.types.is_time, "must be a time of day, such as 14:30:00"),
        (pa.types.is_duration, "must be a duration, such as 1:30:00"),
        (pa.types.is_temporal, "must be a date, such as 2024-05-31 or 2024-05-31T14:30:00"),
    )
    return next((message for is_kind, message in kinds if is_kind(arrow)), "must be text")


def _scalar(name: str, value: Any, arrow: pa.DataType) -> pa.Scalar:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        if numeric and (pa.types.is_integer(arrow) or pa.types.is_floating(arrow)):
            return pa.scalar(value)
        return pa.array([value]).cast(arrow)[0]
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InvalidCondition(name, expected_value(arrow)) from error


def _plain(value: pa.Scalar) -> str:
    plain = value.as_py()
    if isinstance(plain, date | time):
        return plain.isoformat().removesuffix("T00:00:00")
    return str(plain)
