"""Tables, as they cross HTTP."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.request_body import RequestModel
from core.datasets.tabular import ColumnOverride, Schema, SchemaOverrides
from core.datasets.tabular.schema import ColumnType

ColumnName = Annotated[str, Field(min_length=1, max_length=256)]


class ColumnChange(RequestModel):
    """A column by its name; what is left out stays as it is."""

    name: ColumnName
    type: ColumnType | None = None
    nullable: bool | None = None
    decimals: Annotated[int, Field(ge=0, le=15)] | None = Field(
        None, description="digits after the point of a number"
    )
    format: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="of a datetime, as strftime's; of a boolean, as `no|yes`"
    )
    exclude: bool | None = Field(None, description="true: not learned, and absent from samples")

    def to_override(self) -> ColumnOverride:
        return ColumnOverride(**self.model_dump())


class SchemaChange(RequestModel):
    """Columns in any number; when all of them are named, their order counts."""

    columns: Annotated[list[ColumnChange], Field(max_length=10_000)] = []
    target: ColumnName | None = Field(
        None, description="the column whose values samples are asked for by; null: none"
    )
    exclude_columns: Annotated[list[ColumnName], Field(max_length=10_000)] = []

    def to_overrides(self) -> SchemaOverrides:
        return SchemaOverrides(
            columns=tuple(column.to_override() for column in self.columns),
            target=self.target,
            exclude_columns=tuple(self.exclude_columns),
            columns_key="columns",
        )


class ColumnView(BaseModel):
    name: str
    type: ColumnType
    nullable: bool
    decimals: int | None
    format: str | None
    exclude: bool


class SchemaView(BaseModel):
    """In the order in which samples have the columns."""

    columns: list[ColumnView]
    target: str | None

    @classmethod
    def of(cls, schema: Schema) -> "SchemaView":
        columns = [ColumnView.model_validate(column.to_dict()) for column in schema.columns]
        return cls(columns=columns, target=schema.target)


class RowsPage(BaseModel):
    """Rows as they would be given back."""

    data: list[dict[str, Any]]
    offset: int
    total: int
    has_more: bool
