"""Request and response bodies of table schemas."""

from typing import Annotated

from pydantic import BaseModel, Field

from core.request_fields import RequestModel
from modalities.tabular.options import ColumnChange, ColumnName
from modalities.tabular.schema import ColumnType, Schema
from modalities.tabular.upload.schema_overrides import SchemaOverrides


class SchemaChange(RequestModel):
    """Overrides of any number of columns. If all columns are listed, their order applies too."""

    columns: Annotated[list[ColumnChange], Field(max_length=10_000)] = Field(
        [], description="Columns to change. Default: none."
    )
    target: ColumnName | None = Field(
        None,
        description="Column whose values are the labels of the samples; null for none. "
        "If omitted, the target stays unchanged.",
    )
    exclude_columns: Annotated[list[ColumnName], Field(max_length=10_000)] = Field(
        [], description="Columns that are neither learned nor generated. Default: none."
    )

    def to_overrides(self) -> SchemaOverrides:
        return SchemaOverrides(
            columns=tuple(column.to_override() for column in self.columns),
            target=self.target,
            exclude_columns=tuple(self.exclude_columns),
            columns_key="columns",
        )


class ColumnView(BaseModel):
    name: str = Field(description="Name of the column.")
    type: ColumnType = Field(description="Data type of the values.")
    nullable: bool = Field(description="Whether values may be missing.")
    decimals: int | None = Field(description="Digits after the decimal point.")
    format: str | None = Field(
        description="Form of the values as text, in which samples are written and conditions may "
        "be given; null for plain text and plain numbers."
    )
    exclude: bool = Field(description="Whether the column is neither learned nor generated.")
    missing: str | None = Field(
        None,
        description="Word for missing values in CSV samples, as in the uploaded file; null for an "
        "empty field.",
    )


class SchemaView(BaseModel):
    columns: list[ColumnView] = Field(description="Columns, in the order that samples have.")
    target: str | None = Field(description="Column of the labels; null if there is none.")

    @classmethod
    def of(cls, schema: Schema) -> "SchemaView":
        columns = [ColumnView.model_validate(column.to_dict()) for column in schema.columns]
        return cls(columns=columns, target=schema.target)
