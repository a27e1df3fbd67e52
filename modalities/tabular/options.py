"""Fields of requests and responses, and file formats, that only tables have."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from core.request_fields import RequestModel
from modalities.selection import Count
from modalities.tabular.schema import ColumnType, IdentifierChoice
from modalities.tabular.upload.read_options import is_text_encoding
from modalities.tabular.upload.schema_overrides import ColumnOverride

# Formats without a size limit, because they are written and sent in pieces. Jobs use the first one.
FILE_FORMATS = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
}
SAMPLE_FORMATS = {
    "csv": "text/csv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}

CsvMark = Annotated[str, Field(min_length=1, max_length=1)]
ColumnName = Annotated[str, Field(min_length=1, max_length=1_024)]


class ColumnChange(RequestModel):
    """Override of one column, selected by name. Omitted fields stay unchanged."""

    name: ColumnName = Field(description="Name of the column.")
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
        "Identifiers: `email`, `phone`, `person`, `street`, `ip`, `iban`, `uuid`, `url`, "
        "`city`, `company` or `quantity`. "
        "Default: unchanged.",
    )
    exclude: bool | None = Field(
        None,
        description="True: the column is neither learned nor generated. Default: unchanged.",
    )
    missing: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None,
        description="Word for missing values in CSV samples, such as `NA`. Default: unchanged.",
    )
    identifier: IdentifierChoice | None = Field(
        None,
        description="What samples have in a column of identifiers or names. `regenerate`: new "
        "values of the same form, as with the type `id`. `drop`: no such column, as with "
        "`exclude`. `keep`: the values of the data, as with the types `category` and `integer`. "
        "Default: unchanged.",
    )

    @model_validator(mode="after")
    def _check_identifier(self) -> Self:
        if self.identifier is not None and (self.type is not None or self.exclude is not None):
            raise ValueError("`identifier` cannot be combined with `type` or `exclude`")
        return self

    def to_override(self) -> ColumnOverride:
        return ColumnOverride(**self.model_dump())


class ReadFields(RequestModel):
    """Reading options of a text file or a workbook. Omitted ones are inferred from the file."""

    delimiter: Annotated[str, Field(min_length=1, max_length=8)] | None = Field(
        None,
        description="Text between two fields. A blank means any run of blanks and tabs.",
    )
    quote: Annotated[str, Field(max_length=1)] | None = Field(
        None, description="Quotation mark of fields; an empty text if no field is quoted."
    )
    escape: Annotated[str, Field(max_length=1)] | None = Field(
        None,
        description="Character before a quotation mark inside a quoted field; an empty text if "
        "such a mark is doubled instead.",
    )
    header: bool | Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="`true` if the first line of the table holds the names of the columns, "
        "`false` if no line does, or the number of the line that does, from 1.",
    )
    skip_lines: Annotated[int, Field(ge=0, le=1_000)] | None = Field(
        None, description="Number of lines above the table, which are not read."
    )
    comment: Annotated[str, Field(max_length=8)] | None = Field(
        None,
        description="Beginning of lines that are not read; an empty text if there are none.",
    )
    encoding: Annotated[str, Field(min_length=1, max_length=32)] | None = Field(
        None, description="Encoding of the text, for example `utf-8`, `cp1252` or `shift_jis`."
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="Decimal mark of numbers. Default: inferred for each column."
    )
    thousands: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None, description="Thousands mark of numbers. Default: inferred for each column."
    )
    missing: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=100)
    ] = Field(
        [],
        description="Words for a missing value, in addition to empty cells and, in columns of "
        "numbers and times, to common words such as `NA`.",
    )
    transpose: bool | None = Field(
        None,
        description="`true` if the rows of the file are the columns of the table, with the names "
        "in its first column; `header` then counts the columns of the file. Default: `true` if "
        "each row has values of one kind, and the columns do not.",
    )
    sheet: (
        Annotated[str, Field(min_length=1, max_length=256)] | Annotated[int, Field(ge=1)] | None
    ) = Field(
        None,
        description="Name or number, from 1, of the sheet of a workbook. Default: the first "
        "visible sheet with values.",
    )

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, fields: Any) -> Any:
        unknown = set(fields) - set(cls.model_fields) if isinstance(fields, dict) else None
        if unknown:
            names = ", ".join(f"`{name}`" for name in cls.model_fields)
            raise PydanticCustomError(
                "unknown_field",
                "`{name}` does not exist. Use {names}.",
                {"name": min(unknown)[:64], "names": names},
            )
        return fields

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, name: str | None) -> str | None:
        if name is not None and not is_text_encoding(name):
            raise ValueError("must be an encoding such as utf-8, cp1252 or shift_jis")
        return name

    @model_validator(mode="after")
    def _check_characters(self) -> Self:
        marks = [mark for mark in (self.delimiter, self.quote, self.escape) if mark]
        if len(set(marks)) < len(marks):
            raise ValueError("`delimiter`, `quote` and `escape` must be different")
        if any(not mark.isascii() or set(mark) & set("\r\n\0") for mark in marks):
            raise ValueError("`delimiter`, `quote` and `escape` must be ASCII without line ends")
        return self


class TableDatasetOptions(RequestModel):
    read: ReadFields | None = Field(
        None, description="Tables only: how to read the file. Default: inferred from the file."
    )
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
    read: ReadFields = Field(
        description="Reading options that were used, inferred or sent; null where the format of "
        "the file has no such option."
    )


class ValueCount(BaseModel):
    value: bool | int | float | str = Field(description="Value of the column.")
    count: int = Field(description="Number of rows that have it.")


class ColumnHistogram(BaseModel):
    edges: list[float | str] = Field(description="Edges of the bins; one more than there are bins.")
    counts: list[int] = Field(description="Number of rows in each bin.")


class ColumnProfileView(BaseModel):
    """Statistics of one column; those that do not apply to its type are null."""

    name: str = Field(description="Name of the column.")
    type: ColumnType = Field(description="Data type of the values.")
    exclude: bool = Field(description="Whether the column is neither learned nor generated.")
    count: int = Field(description="Number of rows.")
    missing: int = Field(description="Number of rows without a value.")
    distinct: int | None = Field(description="Number of different values; null if very many.")
    min_distinct: int | None = Field(None, description="Lower bound where `distinct` is null.")
    top: list[ValueCount] | None = Field(
        None, description="Most common values, if there are few different ones."
    )
    min: float | str | None = Field(None, description="Smallest value.")
    max: float | str | None = Field(None, description="Largest value.")
    mean: float | None = Field(None, description="Mean of numbers.")
    std: float | None = Field(None, description="Standard deviation of numbers.")
    quartiles: list[float] | None = Field(
        None, description="First quartile, median and third quartile of numbers."
    )
    histogram: ColumnHistogram | None = Field(None, description="Numbers of rows in equal bins.")


class ProfileRelation(BaseModel):
    name: str = Field(description="A formula.")
    kind: str = Field(description="Kind of the relation.")
    columns: list[str] = Field(description="Columns that it involves.")


class TableProfileView(BaseModel):
    columns: list[ColumnProfileView] | None = Field(
        None, description="Tables only: statistics of each column."
    )
    relations: list[ProfileRelation] | None = Field(
        None, description="Tables only: relations between columns that hold in the first rows."
    )


class TableDatasetView(BaseModel):
    table: TableShape | None = Field(None, description="Tables only: their shape.")


Row = dict[str, bool | int | float | str | None]


class RowsPage(BaseModel):
    """Part of a table's rows, formatted as in the content download."""

    data: list[Row] = Field(description="Rows: values by column name.")
    offset: int = Field(description="Index of the first row.")
    total: int = Field(description="Number of rows in the table.")
    has_more: bool = Field(description="Whether there are further rows.")


class ConditionRequest(RequestModel):
    """A condition on table rows, and the number of rows that satisfy it."""

    where: Annotated[dict[ColumnName, Any], Field(min_length=1, max_length=100)] = Field(
        description="By column, a value, a list of values, or a range: "
        '`{"income": ">50K", "age": {"gte": 65}}`. A row must satisfy all of them; null matches '
        "a missing value."
    )
    fraction: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="Fraction of the request's `count`. If the fractions of all conditions add up "
        "to less than 1, the remaining rows are unconditional. Default: equal fractions.",
    )
    count: Count | None = Field(
        None, description="Number of rows. Required if the request has no `count`."
    )


class TableSelectionOptions(RequestModel):
    conditions: Annotated[list[ConditionRequest], Field(min_length=1, max_length=100)] | None = (
        Field(
            None,
            description="Tables only: conditions that the rows must satisfy. Each has a `count`, "
            "or a `fraction` of the request's `count`.",
        )
    )


class CsvFields(RequestModel):
    """Form of CSV samples. Omitted fields are as in the file that was uploaded."""

    delimiter: CsvMark | None = Field(None, description="Text between two fields.")
    quote: CsvMark | None = Field(None, description="Quotation mark of fields.")
    escape: Annotated[str, Field(max_length=1)] | None = Field(
        None,
        description="Character before a quotation mark inside a field; an empty text if such a "
        "mark is doubled instead.",
    )
    escape_formulas: bool = Field(
        False,
        description="Begin texts that a spreadsheet would compute (`=`, `+`, `-`, `@`) with an "
        "apostrophe. Default: false.",
    )

    @model_validator(mode="after")
    def _check_marks(self) -> Self:
        marks = [mark for mark in (self.delimiter, self.quote, self.escape) if mark]
        if len(set(marks)) < len(marks):
            raise ValueError("`delimiter`, `quote` and `escape` must be different")
        if set(marks) & set("\r\n\0"):
            raise ValueError("line ends cannot be marks")
        return self


class TableSampleOptions(TableSelectionOptions):
    partial_rows: (
        Annotated[list[dict[ColumnName, Any]], Field(min_length=1, max_length=10_000)] | None
    ) = Field(
        None,
        description="Tables only, instead of labels and counts: rows with some values given. "
        "Each row is returned in this order, with the given values unchanged and the other values "
        'generated: `[{"age": 65}, {"city": null}]`.',
    )
    exclude_training_rows: bool = Field(
        False,
        description="Tables only: return no row that equals a training row, identifier columns "
        "ignored. Requires a model trained with `store_row_hashes`, and a key with the scope "
        "`data:read`, because the response tells whether a row was trained on. Default: false.",
    )
    csv: CsvFields | None = Field(
        None,
        description="Tables as CSV only: delimiter and quotation. Default: as in the file that "
        "was uploaded, or a comma and double quotation marks.",
    )


class TableModelView(BaseModel):
    target_column: str | None = Field(
        None, description="Tables only: the column whose values are the labels."
    )
    columns: list[str] | None = Field(None, description="Tables only: names of the columns.")


class ColumnOption(BaseModel):
    """A column of a table, and the values that a condition on it may use."""

    name: str = Field(description="Name of the column.")
    type: str = Field(description="Data type of the values.")
    nullable: bool = Field(description="Whether values may be missing.")
    values: list[str] | None = Field(
        None, description="Up to 100 values, the most frequent ones first."
    )
    min: float | str | None = Field(None, description="Smallest value.")
    max: float | str | None = Field(None, description="Largest value.")


class RelationView(BaseModel):
    name: str = Field(description="A formula; `hyperparameters.relations` ignores it by this name.")
    kind: str = Field(description="Kind of the relation.")
    columns: list[str] = Field(description="Columns that it involves.")
    enforced: bool = Field(description="Whether samples satisfy the relation by construction.")


class TableConditionsView(BaseModel):
    columns: list[ColumnOption] | None = Field(
        None, description="Tables only: columns that a condition may use."
    )
    constraints: list[dict[str, Any]] | None = Field(
        None, description="Tables only: constraints that all samples satisfy."
    )
    relations: list[RelationView] | None = Field(
        None,
        description="Tables only: relations between columns that hold in all training rows, "
        "and near relations by which columns are learned.",
    )
