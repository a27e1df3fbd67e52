"""Columns of a table; see docs/decisions/0009-schema-of-a-table.md."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

ColumnType = Literal[
    "integer", "number", "category", "boolean", "datetime", "time", "duration", "id", "text"
]
COLUMN_TYPES: tuple[ColumnType, ...] = get_args(ColumnType)
IdentifierChoice = Literal["regenerate", "drop", "keep"]
# Formats of the type `id`: what the values are. Other identifiers have no format.
PERSONAL_KINDS = ("email", "phone", "person", "street", "ip", "iban")
IDENTIFIER_KINDS = (*PERSONAL_KINDS, "uuid", "url", "city", "company", "quantity")

EXCLUDED_TYPES: tuple[ColumnType, ...] = ("text",)
ORDERED_TYPES: tuple[ColumnType, ...] = ("integer", "number", "datetime", "time", "duration")
INTEGER_TYPES = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
# Of these, identifiers are stored as integers; those of uint64 are texts, which hold all digits.
ID_INTEGER_TYPES = INTEGER_TYPES - {"uint64"}
LABEL_TYPES: tuple[ColumnType, ...] = ("category", "boolean")  # of targets that have labels


@dataclass(frozen=True)
class Column:
    """Name, type and form of a column.

    `format` and `decimals` are the form of its texts (see `modalities.tabular.forms`); the `format`
    of an identifier is one of IDENTIFIER_KINDS or None. `arrow` is the Arrow type of a column of a
    Parquet or Arrow file. `missing` is the word for a missing value in CSV files; None for an empty
    field.
    """

    name: str
    type: ColumnType
    nullable: bool = False
    decimals: int | None = None
    format: str | None = None
    exclude: bool = False
    arrow: str | None = None
    missing: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def order(self) -> list[str]:
        """The values of an ordered category, in ascending order."""
        is_ordered = self.type == "category" and "|" in (self.format or "")
        return (self.format or "").split("|") if is_ordered else []

    @property
    def in_samples(self) -> bool:
        return not self.exclude and self.type not in EXCLUDED_TYPES

    @property
    def learned(self) -> bool:
        return not self.exclude and self.type != "id"


@dataclass(frozen=True)
class Schema:
    """Ordered columns, and the name of the target: the column that samples are conditioned on."""

    columns: tuple[Column, ...]
    target: str | None = None

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def to_dict(self) -> dict[str, Any]:
        return {"schema": [c.to_dict() for c in self.columns], "target": self.target}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        return cls(tuple(Column(**column) for column in fields["schema"]), fields["target"])
