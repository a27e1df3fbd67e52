"""What a client wants otherwise than it was inferred."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from core.datasets.tabular.schema import ColumnType


@dataclass(frozen=True)
class ColumnOverride:
    """What is None stays as it is."""

    name: str
    type: ColumnType | None = None
    nullable: bool | None = None
    decimals: int | None = None
    format: str | None = None
    exclude: bool | None = None


@dataclass(frozen=True)
class SchemaOverrides:
    """`columns` sets their order when it names them all. `pointer_prefix` is where the client said it: the
    beginning of every fault's pointer."""

    columns: tuple[ColumnOverride, ...] = ()
    target: str | None = None
    exclude_columns: tuple[str, ...] = ()
    pointer_prefix: str = ""
    columns_key: str = "schema"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        columns = tuple(ColumnOverride(**column) for column in fields["columns"])
        return cls(
            **{**fields, "columns": columns, "exclude_columns": tuple(fields["exclude_columns"])}
        )

    def without(self, names: frozenset[str]) -> Self:
        """For columns that are not there any more."""
        return replace(
            self,
            columns=tuple(column for column in self.columns if column.name not in names),
            exclude_columns=tuple(name for name in self.exclude_columns if name not in names),
        )

    @property
    def excluded(self) -> frozenset[str]:
        return frozenset(self.exclude_columns) | {
            column.name for column in self.columns if column.exclude
        }
