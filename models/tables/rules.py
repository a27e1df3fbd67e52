"""What every row has to keep to, whatever was learned, as a job declares it. Free of torch and of
pyarrow: the API checks it while it starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from models.settings import InvalidSettings

KINDS = ("at_most", "together", "sum", "unique")
NUMBERS = ("integer", "number")
NAMES = ("category", "boolean", "integer")


@dataclass(frozen=True)
class Rule:
    """at_most: each column is at most the next; together: only combinations that were seen; sum:
    the columns make `total`; unique: no two rows of an answer are alike in them. What is missing
    breaks no rule."""

    kind: str
    columns: tuple[str, ...]
    total: str | None = None

    def to_dict(self) -> dict[str, Any]:
        about: dict[str, Any] = {"kind": self.kind, "columns": list(self.columns)}
        return about | ({} if self.total is None else {"total": self.total})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(values["kind"], tuple(values["columns"]), values.get("total"))


def parse(values: Sequence[Any], types: Mapping[str, str], label: str | None) -> list[Rule]:
    """`types` by column, of those that samples have. Raises InvalidSettings, naming the rule."""
    rules: list[Rule] = []
    for number, value in enumerate(values):
        try:
            rules.append(_parse(value, types, label))
        except ValueError as error:
            raise InvalidSettings(f"rules/{number}", f"rule {number}: {error}") from error
    totals = [rule.total for rule in rules if rule.total is not None]
    for number, rule in enumerate(rules):
        others = totals[:]
        if rule.total is not None:
            others.remove(rule.total)
        if rule.total in others or (rule.kind == "sum" and set(rule.columns) & set(others)):
            message = f"rule {number}: a total is the sum of learned columns, and of one rule"
            raise InvalidSettings(f"rules/{number}", message)
    return rules


def _parse(value: Any, types: Mapping[str, str], label: str | None) -> Rule:
    """Raises ValueError."""
    if not isinstance(value, Mapping) or not {"kind", "columns"} <= value.keys():
        raise ValueError("give `kind` and `columns`")
    if strange := set(value) - {"kind", "columns", "total"}:
        raise ValueError(f"unknown field {sorted(strange)[0]!r}")
    kind, columns, total = value["kind"], value["columns"], value.get("total")
    if kind not in KINDS:
        raise ValueError(f"known kinds are {', '.join(KINDS)}")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise ValueError("`columns` is a list of names")
    if (kind == "sum") != isinstance(total, str):
        raise ValueError("`total` names the column of a sum, and only of that")
    named = [*columns, *([] if total is None else [total])]
    for name in named:
        if name not in types:
            raise ValueError(f"{name!r} is no column of the samples")
    if len(set(named)) != len(named) or len(columns) < (1 if kind == "unique" else 2):
        raise ValueError("a rule has different columns, at least two of them unless it is unique")
    _check_types(kind, {name: types[name] for name in named})
    if total is not None and total == label:
        raise ValueError("the label cannot be a total: it is learned")
    return Rule(kind, tuple(columns), total)


def _check_types(kind: str, types: Mapping[str, str]) -> None:
    found = set(types.values())
    if kind == "at_most" and not (found <= set(NUMBERS) or found == {"datetime"}):
        raise ValueError("only numbers have an order, or only times")
    if kind == "sum" and not found <= set(NUMBERS):
        raise ValueError("only numbers have a sum")
    if kind == "sum" and list(types.values())[-1] == "integer" and "number" in found:
        raise ValueError("the total of numbers that are no integers is none")
    if kind == "together" and not found <= set(NAMES):
        raise ValueError(f"only columns of type {', '.join(NAMES)} have combinations to keep")
