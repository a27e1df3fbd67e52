"""Declarations of constraints that every generated row must satisfy.

Does not import torch or pyarrow: the API imports this module at startup.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from models.settings import InvalidSettings
from models.tabular.schema import ORDERED_TYPES

CONSTRAINT_KINDS = ("inequality", "fixed_combinations", "sum", "unique")
NUMERIC_TYPES = ("integer", "number")
DISCRETE_TYPES = ("category", "boolean", "integer")


@dataclass(frozen=True)
class Constraint:
    """A constraint on generated rows.

    - `inequality`: each column is at most the next one.
    - `fixed_combinations`: only combinations of values that occur in the training rows.
    - `sum`: the columns add up to `total`.
    - `unique`: no two rows of a response have the same values.

    A missing value satisfies every kind except `fixed_combinations`, where it counts as a value.
    """

    kind: str
    columns: tuple[str, ...]
    total: str | None = None

    def to_dict(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"kind": self.kind, "columns": list(self.columns)}
        return fields | ({} if self.total is None else {"total": self.total})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(values["kind"], tuple(values["columns"]), values.get("total"))


def parse_constraints(
    values: Sequence[Any], types: Mapping[str, str], target_column: str | None
) -> list[Constraint]:
    """Parse and check declared constraints.

    `types` maps the columns that samples have to their types. Raises InvalidSettings, which names
    the constraint by its index.
    """
    constraints: list[Constraint] = []
    for index, value in enumerate(values):
        try:
            constraints.append(_parse(value, types, target_column))
        except ValueError as error:
            raise InvalidSettings(f"constraints/{index}", f"Constraint {index}: {error}") from error
    totals = [constraint.total for constraint in constraints if constraint.total is not None]
    for index, constraint in enumerate(constraints):
        other_totals = totals[:]
        if constraint.total is not None:
            other_totals.remove(constraint.total)
        if constraint.total in other_totals or (
            constraint.kind == "sum" and set(constraint.columns) & set(other_totals)
        ):
            message = f"Constraint {index}: no `total` may be part of another `sum` constraint."
            raise InvalidSettings(f"constraints/{index}", message)
    return constraints


def _parse(value: Any, types: Mapping[str, str], target_column: str | None) -> Constraint:
    """Parse one constraint. Raises ValueError."""
    if not isinstance(value, Mapping) or not {"kind", "columns"} <= value.keys():
        raise ValueError("`kind` and `columns` are required.")
    if unknown := set(value) - {"kind", "columns", "total"}:
        raise ValueError(f"unknown field {sorted(unknown)[0]!r}.")
    kind, columns, total = value["kind"], value["columns"], value.get("total")
    if kind not in CONSTRAINT_KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(CONSTRAINT_KINDS)}.")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise ValueError("`columns` must be a list of column names.")
    if (kind == "sum") != isinstance(total, str):
        raise ValueError("`total` is required for a `sum` and not allowed for other kinds.")
    used_columns = [*columns, *([] if total is None else [total])]
    for name in used_columns:
        if name not in types:
            raise ValueError(f"{name!r} is not a column of the samples.")
    if len(set(used_columns)) != len(used_columns) or len(columns) < (1 if kind == "unique" else 2):
        raise ValueError(
            "columns must be different, and at least two are required unless `kind` is `unique`."
        )
    _check_types(kind, {name: types[name] for name in used_columns})
    if total is not None and total == target_column:
        raise ValueError("`total` must not be the target column, which is learned.")
    return Constraint(kind, tuple(columns), total)


def _check_types(kind: str, types: Mapping[str, str]) -> None:
    distinct_types = set(types.values())
    if kind == "inequality" and not (
        distinct_types <= set(NUMERIC_TYPES)
        or (len(distinct_types) == 1 and distinct_types <= set(ORDERED_TYPES))
    ):
        raise ValueError(
            "`inequality` needs an order: all columns must be numbers, or all must be datetimes, "
            "times or durations."
        )
    if kind == "sum" and not distinct_types <= set(NUMERIC_TYPES):
        raise ValueError("`sum` requires columns of type integer or number.")
    if kind == "sum" and list(types.values())[-1] == "integer" and "number" in distinct_types:
        raise ValueError("`total` must be a `number` column when any summand is not an integer.")
    if kind == "fixed_combinations" and not distinct_types <= set(DISCRETE_TYPES):
        raise ValueError(
            f"`fixed_combinations` allows only columns of type {', '.join(DISCRETE_TYPES)}."
        )
