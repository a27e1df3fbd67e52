"""What each column of a table is. Free of torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

ColumnType = Literal["integer", "number", "category", "boolean", "datetime", "id", "text"]
COLUMN_TYPES: tuple[ColumnType, ...] = get_args(ColumnType)


class UnsupportedColumn(ValueError):
    """A column that cannot be learned as what its schema says; `column` names it."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(f"column {column!r}: {message}")
        self.column = column


@dataclass(frozen=True)
class ColumnSchema:
    """`text` is never learned. Neither is `id`, but samples get fresh values of the same form.
    `decimals` and `format` say how values are written; they are carried along."""

    name: str
    type: ColumnType
    nullable: bool = False
    decimals: int | None = None
    format: str | None = None
    exclude: bool = False

    def __post_init__(self) -> None:
        if self.type not in COLUMN_TYPES:
            raise UnsupportedColumn(self.name, f"unknown type; known are {', '.join(COLUMN_TYPES)}")

    @property
    def in_samples(self) -> bool:
        """Whether samples have the column."""
        return not self.exclude and self.type != "text"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)
