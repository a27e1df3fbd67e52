"""Client overrides of the inferred table schema."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from modalities.tabular.schema import ColumnType, IdentifierChoice


@dataclass(frozen=True)
class ColumnOverride:
    """Overrides of one column; None keeps the inferred value."""

    name: str
    type: ColumnType | None = None
    nullable: bool | None = None
    decimals: int | None = None
    format: str | None = None
    exclude: bool | None = None
    missing: str | None = None
    identifier: IdentifierChoice | None = None


@dataclass(frozen=True)
class SchemaOverrides:
    """Overrides of a table schema.

    If `columns` lists all columns, it also sets their order. `pointer_prefix` is the JSON pointer
    of the overrides in the request; the pointers of field errors begin with it. `columns_key` is
    the name of the request field that holds `columns`.
    """

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
        """Return the overrides without those of the columns `names`."""
        return replace(
            self,
            columns=tuple(column for column in self.columns if column.name not in names),
            exclude_columns=tuple(name for name in self.exclude_columns if name not in names),
        )

    @property
    def excluded(self) -> frozenset[str]:
        return frozenset(self.exclude_columns) | {
            column.name for column in self.columns if column.exclude or column.identifier == "drop"
        }
