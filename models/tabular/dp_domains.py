"""What a job declares of columns that are learned with differential privacy, so that nothing of
them has to be looked up in the table. Free of torch and of pyarrow: the API checks it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from models.settings import InvalidSettings
from models.tabular.schema import ColumnType

ENUMERABLE_TYPES = ("category", "boolean", "integer")  # types whose values can be listed as texts
NUMERIC_TYPES = ("integer", "number")
MAX_DECIMALS = 9
MAX_MAGNITUDE = 2.0**53  # of a number: all integers up to it are floats, too
DECLARATION_HELP = (
    "`values`, or `min` and `max` of a number; or drop the column in the dataset's schema"
)


@dataclass(frozen=True)
class ColumnDomain:
    """Texts, or booleans, to choose among; or numbers from `min` to `max`, of which `values` stand
    for themselves. What a row has beyond them is read as missing or, unless there is `missing`, as
    the first value or the nearer end."""

    values: tuple[Any, ...] = ()
    min: float | None = None
    max: float | None = None
    decimals: int = 0
    missing: bool = False

    @property
    def type(self) -> ColumnType:
        if self.min is not None:
            return "integer" if self.decimals == 0 else "number"
        return "boolean" if isinstance(self.values[0], bool) else "category"

    @classmethod
    def parse(cls, declared: Any, type: str) -> Self:
        """Raises ValueError."""
        names = ("values", "min", "max", "decimals", "missing")
        if not isinstance(declared, Mapping):
            raise ValueError(f"give {DECLARATION_HELP}")
        if strange := set(declared) - set(names):
            raise ValueError(f"unknown field {sorted(strange)[0]!r}; known are {', '.join(names)}")
        values = declared.get("values", [])
        if not isinstance(values, list) or len(set(map(repr, values))) != len(values):
            raise ValueError("`values` is a list of different values")
        if not isinstance(declared.get("missing", False), bool):
            raise ValueError("`missing` is true or false")
        if "min" in declared or "max" in declared:
            _check_range(declared, values, type)
            values = sorted(values)
        else:
            _check_names(declared, values, type)
        return cls(**{**declared, "values": tuple(values)})


def parse_domains(columns: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, ColumnDomain]:
    """`types` by column, of all that samples have. Raises InvalidSettings, naming the column."""
    for name in columns:
        if name not in types:
            raise InvalidSettings(f"column_domains/{name}", f"{name!r} is no column of the samples")
    for name, type in types.items():
        if type in ("id", "datetime"):
            message = f"a column of type {type} cannot be declared: drop {name!r} in the schema"
            raise InvalidSettings(f"column_domains/{name}", message)
    if undeclared := [name for name in types if name not in columns]:
        message = f"epsilon does not cover what {_listed(undeclared)} may hold: declare {DECLARATION_HELP}"
        raise InvalidSettings(f"column_domains/{undeclared[0]}", message)
    domains = {}
    for name, type in types.items():
        try:
            domains[name] = ColumnDomain.parse(columns[name], type)
        except ValueError as error:
            raise InvalidSettings(f"column_domains/{name}", f"column {name!r}: {error}") from error
    return domains


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _check_names(declared: Mapping[str, Any], values: list[Any], type: str) -> None:
    if not values or "decimals" in declared:
        raise ValueError(f"give {DECLARATION_HELP}")
    if not all(isinstance(v, str) for v in values) and not all(isinstance(v, bool) for v in values):
        raise ValueError("`values` without `min` and `max` are texts, or true and false")
    if type not in ENUMERABLE_TYPES:
        raise ValueError(f"is of type {type}: give `min` and `max`")


def _check_range(declared: Mapping[str, Any], values: list[Any], type: str) -> None:
    if type not in NUMERIC_TYPES:
        raise ValueError(f"is of type {type}: give `values` without `min` and `max`")
    ends = declared.get("min"), declared.get("max")
    decimals = declared.get("decimals", 0)
    if not isinstance(decimals, int) or not 0 <= decimals <= MAX_DECIMALS:
        raise ValueError(f"`decimals` is an integer from 0 to {MAX_DECIMALS}")
    for number in (*ends, *values):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError("`min`, `max` and what is between them are numbers")
        if not math.isfinite(number) or abs(number) > MAX_MAGNITUDE:
            raise ValueError("numbers are finite, and not beyond 2**53")
        if round(number, decimals) != number:
            raise ValueError("numbers have no more than `decimals`")
    low, high = declared["min"], declared["max"]
    if low >= high or not all(low <= value <= high for value in values):
        raise ValueError("`min` lies below `max`, and `values` between them")
