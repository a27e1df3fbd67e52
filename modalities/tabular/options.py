"""Fields of requests and responses that only tables have."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from core.request_fields import RequestModel
from modalities.tabular.schema import ColumnType
from modalities.tabular.upload.schema_overrides import ColumnOverride

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


class TableDatasetOptions(RequestModel):
    target: ColumnName | None = Field(
        None,
        description="Tables only: the column whose values are the labels of the samples. "
        "Default: none.",
    )
    exclude_columns: Annotated[list[ColumnName], Field(max_length=10_000)] = Field(
        [],
        description="Tables only: columns that are neither learned nor generated. Default: none.",
    )
    columns: Annotated[list[ColumnChange], Field(max_length=10_000)] = Field(
        [],
        alias="schema",
        description="Tables only: overrides of the inferred columns, as in "
        "`PUT /v1/datasets/{dataset_id}/schema`. Default: none.",
    )


class TableShape(BaseModel):
    rows: int = Field(description="Number of rows.")
    columns: int = Field(description="Number of columns.")
    target: str | None = Field(description="Column of the labels; null if there is none.")


class TableDatasetView(BaseModel):
    table: TableShape | None = Field(None, description="Tables only: their shape.")


class RowsPage(BaseModel):
    """Part of a table's rows, formatted as in the content download."""

    data: list[dict[str, Any]] = Field(description="Rows: values by column name.")
    offset: int = Field(description="Index of the first row.")
    total: int = Field(description="Number of rows in the table.")
    has_more: bool = Field(description="Whether there are further rows.")
