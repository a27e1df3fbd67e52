"""Client overrides of the inferred table schema."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

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

    OPTIONS: ClassVar = ("schema", "target", "exclude_columns")

    columns: tuple[ColumnOverride, ...] = ()
    target: str | None = None
    exclude_columns: tuple[str, ...] = ()
    pointer_prefix: str = ""
    columns_key: str = "schema"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_options(cls, options: Mapping[str, Any], pointer_prefix: str) -> Self:
        """Return the overrides in the options of a dataset."""
        return cls(
            columns=tuple(ColumnOverride(**column) for column in options.get("schema", [])),
            target=options.get("target"),
            exclude_columns=tuple(options.get("exclude_columns", [])),
            pointer_prefix=pointer_prefix,
        )

    def to_options(self) -> dict[str, Any]:
        """Return the fields of a dataset's options; the inverse of `from_options`."""
        columns = [
            {name: value for name, value in asdict(column).items() if value is not None}
            for column in self.columns
        ]
        fields = {
            "schema": columns,
            "target": self.target,
            "exclude_columns": list(self.exclude_columns),
        }
        return {name: value for name, value in fields.items() if value}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        columns = tuple(ColumnOverride(**column) for column in fields["columns"])
        return cls(
            **{**fields, "columns": columns, "exclude_columns": tuple(fields["exclude_columns"])}
        )

    def updated(self, changes: "SchemaOverrides") -> Self:
        """Return these overrides with later `changes`, whose target column applies."""
        included = {column.name for column in changes.columns if column.exclude is False}
        excluded = [name for name in self.exclude_columns if name not in included]
        columns = {column.name: column for column in self.columns}
        for change in changes.columns:
            columns[change.name] = _updated(columns.get(change.name), change)
        order = [change.name for change in changes.columns]
        if set(order) == set(columns):  # all columns are listed, which sets their order
            columns = {name: columns[name] for name in order}
        return replace(
            self,
            columns=tuple(columns.values()),
            target=changes.target,
            exclude_columns=tuple(dict.fromkeys((*excluded, *changes.exclude_columns))),
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


def _updated(old: ColumnOverride | None, change: ColumnOverride) -> ColumnOverride:
    fields = {name: value for name, value in asdict(change).items() if value is not None}
    if old is None:
        return change
    if change.identifier is not None:  # replaces what it cannot be combined with
        old = replace(old, type=None, exclude=None)
    elif change.type is not None or change.exclude is not None:
        old = replace(old, identifier=None)
    return replace(old, **fields)
