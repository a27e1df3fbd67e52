"""Declared column domains of a job with differential privacy.

The client declares the possible values, so that they are not read from the table. Does not import
torch or pyarrow: the API uses this module to check requests.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from models.settings import InvalidSettings
from models.tabular.schema import ColumnType

ENUMERABLE_TYPES = ("category", "boolean", "integer")  # types that `values` can declare
NUMERIC_TYPES = ("integer", "number")
MAX_DECIMALS = 9
MAX_MAGNITUDE = 2.0**53  # every integer up to this is exact as a float
DECLARATION_HELP = (
    "declare `values`, or `min` and `max` of a number, "
    "or exclude the column in the dataset's schema"
)


@dataclass(frozen=True)
class ColumnDomain:
    """The possible values of a column: strings or booleans, or numbers from `min` to `max`.

    For numbers, `values` are frequent ones that get tokens of their own. `clamp_to_domain` defines
    how values outside the domain are read.
    """

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
        """Parse a declaration of a column of type `type`. Raises ValueError."""
        fields = ("values", "min", "max", "decimals", "missing")
        if not isinstance(declared, Mapping):
            raise ValueError(f"{DECLARATION_HELP}.")
        if unknown := set(declared) - set(fields):
            raise ValueError(
                f"unknown field {sorted(unknown)[0]!r}; allowed are {', '.join(fields)}."
            )
        values = declared.get("values", [])
        if not isinstance(values, list) or len(set(map(repr, values))) != len(values):
            raise ValueError("`values` must be a list of different values.")
        if not isinstance(declared.get("missing", False), bool):
            raise ValueError("`missing` must be true or false.")
        if "min" in declared or "max" in declared:
            _check_range(declared, values, type)
            values = sorted(values)
        else:
            _check_values(declared, values, type)
        return cls(**{**declared, "values": tuple(values)})


def parse_domains(columns: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, ColumnDomain]:
    """Parse the declarations of all columns that samples have; `types` maps their names to types.

    Raises InvalidSettings, which names the column.
    """
    for name in columns:
        if name not in types:
            raise InvalidSettings(
                f"column_domains/{name}", f"{name!r} is not a column of the samples."
            )
    for name, type in types.items():
        if type in ("id", "datetime", "time", "duration"):
            message = (
                f"A column of type {type} cannot be declared: "
                f"exclude {name!r} in the dataset's schema."
            )
            raise InvalidSettings(f"column_domains/{name}", message)
    if undeclared := [name for name in types if name not in columns]:
        message = f"Epsilon does not cover the values of {_listed(undeclared)}: {DECLARATION_HELP}."
        raise InvalidSettings(f"column_domains/{undeclared[0]}", message)
    domains = {}
    for name, type in types.items():
        try:
            domains[name] = ColumnDomain.parse(columns[name], type)
        except ValueError as error:
            raise InvalidSettings(f"column_domains/{name}", f"Column {name!r}: {error}") from error
    return domains


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _check_values(declared: Mapping[str, Any], values: list[Any], type: str) -> None:
    if not values or "decimals" in declared:
        raise ValueError(f"{DECLARATION_HELP}.")
    if not all(isinstance(v, str) for v in values) and not all(isinstance(v, bool) for v in values):
        raise ValueError("`values` without `min` and `max` must be strings, or true and false.")
    if type not in ENUMERABLE_TYPES:
        raise ValueError(f"type {type} requires `min` and `max`.")


def _check_range(declared: Mapping[str, Any], values: list[Any], type: str) -> None:
    if type not in NUMERIC_TYPES:
        raise ValueError(f"type {type} requires `values`, without `min` and `max`.")
    bounds = declared.get("min"), declared.get("max")
    decimals = declared.get("decimals", 0)
    if not isinstance(decimals, int) or not 0 <= decimals <= MAX_DECIMALS:
        raise ValueError(f"`decimals` must be an integer from 0 to {MAX_DECIMALS}.")
    for number in (*bounds, *values):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError("`min`, `max` and `values` must be numbers.")
        if not math.isfinite(number) or abs(number) > MAX_MAGNITUDE:
            raise ValueError("numbers must be finite and at most 2**53 in magnitude.")
        if round(number, decimals) != number:
            raise ValueError("numbers must not have more decimals than `decimals`.")
    low, high = declared["min"], declared["max"]
    if low >= high or not all(low <= value <= high for value in values):
        raise ValueError("`min` must be below `max`, and `values` must be between them.")
