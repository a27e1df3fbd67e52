"""What every row has to keep to, whatever was learned, as a job declares it. Free of torch and of
pyarrow: the API checks it while it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from models.settings import InvalidSettings

CONSTRAINT_KINDS = ("inequality", "fixed_combinations", "sum", "unique")
NUMERIC_TYPES = ("integer", "number")
DISCRETE_TYPES = ("category", "boolean", "integer")


@dataclass(frozen=True)
class Constraint:
    """inequality: each column is at most the next; fixed_combinations: only combinations that were seen; sum:
    the columns make `total`; unique: no two rows of an answer are alike in them. What is missing
    breaks no constraint."""

    kind: str
    columns: tuple[str, ...]
    total: str | None = None

    def to_dict(self) -> dict[str, Any]:
        about: dict[str, Any] = {"kind": self.kind, "columns": list(self.columns)}
        return about | ({} if self.total is None else {"total": self.total})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(values["kind"], tuple(values["columns"]), values.get("total"))


def parse_constraints(
    values: Sequence[Any], types: Mapping[str, str], target_column: str | None
) -> list[Constraint]:
    """`types` by column, of those that samples have. Raises InvalidSettings, naming the constraint."""
    constraints: list[Constraint] = []
    for number, value in enumerate(values):
        try:
            constraints.append(_parse(value, types, target_column))
        except ValueError as error:
            raise InvalidSettings(
                f"constraints/{number}", f"constraint {number}: {error}"
            ) from error
    totals = [constraint.total for constraint in constraints if constraint.total is not None]
    for number, constraint in enumerate(constraints):
        others = totals[:]
        if constraint.total is not None:
            others.remove(constraint.total)
        if constraint.total in others or (
            constraint.kind == "sum" and set(constraint.columns) & set(others)
        ):
            message = (
                f"constraint {number}: a total is the sum of learned columns, and of one constraint"
            )
            raise InvalidSettings(f"constraints/{number}", message)
    return constraints


def _parse(value: Any, types: Mapping[str, str], label: str | None) -> Constraint:
    """Raises ValueError."""
    if not isinstance(value, Mapping) or not {"kind", "columns"} <= value.keys():
        raise ValueError("give `kind` and `columns`")
    if strange := set(value) - {"kind", "columns", "total"}:
        raise ValueError(f"unknown field {sorted(strange)[0]!r}")
    kind, columns, total = value["kind"], value["columns"], value.get("total")
    if kind not in CONSTRAINT_KINDS:
        raise ValueError(f"known kinds are {', '.join(CONSTRAINT_KINDS)}")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise ValueError("`columns` is a list of names")
    if (kind == "sum") != isinstance(total, str):
        raise ValueError("`total` names the column of a sum, and only of that")
    named = [*columns, *([] if total is None else [total])]
    for name in named:
        if name not in types:
            raise ValueError(f"{name!r} is no column of the samples")
    if len(set(named)) != len(named) or len(columns) < (1 if kind == "unique" else 2):
        raise ValueError(
            "a constraint has different columns, at least two of them unless it is unique"
        )
    _check_types(kind, {name: types[name] for name in named})
    if total is not None and total == label:
        raise ValueError("the label cannot be a total: it is learned")
    return Constraint(kind, tuple(columns), total)


def _check_types(kind: str, types: Mapping[str, str]) -> None:
    found = set(types.values())
    if kind == "inequality" and not (found <= set(NUMERIC_TYPES) or found == {"datetime"}):
        raise ValueError("only numbers have an order, or only times")
    if kind == "sum" and not found <= set(NUMERIC_TYPES):
        raise ValueError("only numbers have a sum")
    if kind == "sum" and list(types.values())[-1] == "integer" and "number" in found:
        raise ValueError("the total of numbers that are no integers is none")
    if kind == "fixed_combinations" and not found <= set(DISCRETE_TYPES):
        raise ValueError(
            f"only columns of type {', '.join(DISCRETE_TYPES)} have combinations to keep"
        )
