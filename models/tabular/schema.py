"""Column schema of a table. Does not import torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

ColumnType = Literal[
    "integer", "number", "category", "boolean", "datetime", "time", "duration", "id", "text"
]
COLUMN_TYPES: tuple[ColumnType, ...] = get_args(ColumnType)
ORDERED_TYPES: tuple[ColumnType, ...] = ("integer", "number", "datetime", "time", "duration")


class UnsupportedColumn(ValueError):
    """`column` cannot be learned as the type that its schema declares."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(f"column {column!r}: {message}")
        self.column = column


@dataclass(frozen=True)
class ColumnSchema:
    """Name, type and format of a column.

    `text` columns are not learned and not part of samples. `id` columns are not learned, but
    samples get new values of the same format. `decimals`, `format`, `arrow` and `missing`
    describe how values are written.
    """

    name: str
    type: ColumnType
    nullable: bool = False
    decimals: int | None = None
    format: str | None = None
    exclude: bool = False
    arrow: str | None = None
    missing: str | None = None

    def __post_init__(self) -> None:
        if self.type not in COLUMN_TYPES:
            raise UnsupportedColumn(
                self.name, f"unknown type; allowed are {', '.join(COLUMN_TYPES)}"
            )

    @property
    def in_samples(self) -> bool:
        """Return True if samples have the column."""
        return not self.exclude and self.type != "text"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)
