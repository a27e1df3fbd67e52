"""Request and response bodies of table schemas and rows."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.request_body import RequestModel
from modalities.tabular import ColumnOverride, Schema, SchemaOverrides
from modalities.tabular.schema import ColumnType

ColumnName = Annotated[str, Field(min_length=1, max_length=256)]


class ColumnChange(RequestModel):
    """Override of one column, selected by name. Omitted fields stay unchanged."""

    name: ColumnName
    type: ColumnType | None = Field(None, description="Data type. Default: unchanged.")
    nullable: bool | None = Field(
        None, description="Whether values may be missing. Default: unchanged."
    )
    decimals: Annotated[int, Field(ge=0, le=15)] | None = Field(
        None,
        description="Number columns only: digits after the decimal point. Default: unchanged.",
    )
    format: Annotated[str, Field(max_length=64)] | None = Field(
        None,
        description="Form of the values as text. Numbers: as in spreadsheets, with the marks of "
        "the data, such as `$#,##0.00`, `#.##0,00 €` or `0.0%`. Dates and times: strftime, such as "
        "`%-m/%-d/%Y`, `%Y-%m`, `%YQ%q` or `%s` (seconds since 1970). Durations: `[h]:mm:ss`, "
        "`d days hh:mm:ss` or `PT`. Booleans: `no|yes`, the words for false and true. "
        "Default: unchanged.",
    )
    exclude: bool | None = Field(
        None,
        description="True: the column is neither learned nor generated. Default: unchanged.",
    )

    def to_override(self) -> ColumnOverride:
        return ColumnOverride(**self.model_dump())


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
    name: str
    type: ColumnType
    nullable: bool = Field(description="Whether values may be missing.")
    decimals: int | None = Field(description="Digits after the decimal point.")
    format: str | None = Field(
        description="Form of the values as text, in which samples are written and conditions may "
        "be given; null for plain text and plain numbers."
    )
    exclude: bool = Field(description="Whether the column is neither learned nor generated.")


class SchemaView(BaseModel):
    columns: list[ColumnView] = Field(description="Columns, in the order that samples have.")
    target: str | None = Field(description="Column of the labels; null if there is none.")

    @classmethod
    def of(cls, schema: Schema) -> "SchemaView":
        columns = [ColumnView.model_validate(column.to_dict()) for column in schema.columns]
        return cls(columns=columns, target=schema.target)


class RowsPage(BaseModel):
    """Part of a table's rows, formatted as in the content download."""

    data: list[dict[str, Any]] = Field(description="Rows: values by column name.")
    offset: int = Field(description="Index of the first row.")
    total: int = Field(description="Number of rows in the table.")
    has_more: bool = Field(description="Whether there are further rows.")
