"""Request bodies of samples."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from core.errors import FieldError, ValidationFailed
from core.request_fields import RequestModel, Seed

Count = Annotated[int, Field(ge=1)]
CsvMark = Annotated[str, StringConstraints(min_length=1, max_length=1)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class ConditionRequest(RequestModel):
    """A condition on table rows, and the number of rows that satisfy it."""

    where: Annotated[dict[LabelName, Any], Field(min_length=1, max_length=100)] = Field(
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


class SampleSelection(RequestModel):
    """Selection of samples by `labels`, by `count` or by `conditions`.

    Each condition has a `count`, or a `fraction` of the request's `count`.
    """

    labels: Annotated[dict[LabelName, Count], Field(min_length=1)] | None = Field(
        None, description='Number of samples of each label: `{"sneaker": 300, "bag": 700}`.'
    )
    count: Count | None = Field(
        None,
        description="Total number of samples. Their labels are distributed as in the training "
        "data, or evenly with `balance_labels`.",
    )
    balance_labels: bool = Field(
        False,
        description="With `count`: generate the same number of samples of each label. If the "
        "label is numeric, generate the same number in each decile of the training values. "
        "Default: false.",
    )
    conditions: Annotated[list[ConditionRequest], Field(min_length=1, max_length=100)] | None = (
        Field(None, description="Tables only: conditions that the rows must satisfy.")
    )
    seed: Seed | None = Field(
        None, description="Random seed. Default: a random one, returned with the samples."
    )
    offset: Annotated[int, Field(ge=0, le=2**62)] = Field(
        0,
        description="Index of the first sample in the unlimited sequence of a seed. Default: 0.",
    )
    min_label_confidence: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="Labeled images only: return only images whose label has at least this "
        "probability according to the model's own classifier. The counts stay exact: for each "
        "image, candidates are generated until one is accepted. Default: no filter.",
    )
    ignore_quality_gate: bool = Field(
        False,
        description="Use the model even if it fails the `quality_gate` of its training job. "
        "Default: false.",
    )


class ImageOptions(RequestModel):
    truncation: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0,
        description="Factor for the latent noise. Smaller values give more typical and less varied "
        "images. Default: 1 (no truncation).",
    )


class LatentPoint(RequestModel):
    """One image: the sample with this index and seed."""

    label: LabelName | None = Field(
        None, description="Label of the image; null for a model without labels."
    )
    seed: Seed = Field(description="Random seed.")
    index: Annotated[int, Field(ge=0, le=2**62)] = Field(
        0, description="Index of the sample in the sequence of the seed. Default: 0."
    )


class Interpolation(RequestModel):
    """A path from one image to another, through latent noise and labels."""

    start: LatentPoint = Field(alias="from", description="First image.")
    end: LatentPoint = Field(alias="to", description="Last image.")
    steps: Annotated[int, Field(ge=2, le=64)] = Field(
        16, description="Number of images, including both ends. Default: 16."
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

    @model_validator(mode="after")
    def _check_marks(self) -> Self:
        marks = [mark for mark in (self.delimiter, self.quote, self.escape) if mark]
        if len(set(marks)) < len(marks):
            raise ValueError("`delimiter`, `quote` and `escape` must be different")
        if set(marks) & set("\r\n\0"):
            raise ValueError("line ends cannot be marks")
        return self


class SamplesRequest(SampleSelection):
    partial_rows: (
        Annotated[list[dict[LabelName, Any]], Field(min_length=1, max_length=10_000)] | None
    ) = Field(
        None,
        description="Tables only, instead of labels and counts: rows with some values given. "
        "Each row is returned in this order, with the given values unchanged and the other values "
        'generated: `[{"age": 65}, {"city": null}]`.',
    )
    exclude_training_rows: bool = Field(
        False,
        description="Tables only: return no row that equals a training row, identifier columns "
        "ignored. Requires a model trained with `store_row_hashes`. Default: false.",
    )
    csv: CsvFields | None = Field(
        None,
        description="Tables as CSV only: delimiter and quotation. Default: as in the file that "
        "was uploaded, or a comma and double quotation marks.",
    )
    image: ImageOptions = Field(ImageOptions(), description="Images only: further options.")
    include: Annotated[list[Literal["provenance", "scores"]], Field(max_length=2)] = Field(
        [],
        description="JSON only. `provenance` adds the inputs that generate each sample again. "
        "`scores` adds the probabilities that the model's own critic (discriminator) assigns to "
        "it being real (`real`) and its classifier to its label (`label`). Default: none.",
    )
    interpolation: Interpolation | None = Field(
        None,
        description="Images only, instead of labels and counts: a path between two images, as a "
        "PNG strip or a GIF.",
    )
    checkpoint: Literal["best", "latest"] | Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Checkpoint of the model's training job: `best`, `latest` or a step. Default: "
        "the weights of the model.",
    )
    layout: Literal["grid"] | None = Field(
        None,
        description="Images only, as PNG: `grid` puts all images into one. Default: a PNG has one "
        "image.",
    )

    def check(self) -> None:
        """Check the rules that do not depend on the model.

        Raises:
            ValidationFailed: Fields conflict, or a required one is missing.
        """
        if self.partial_rows is not None:
            fields = (
                "labels",
                "count",
                "conditions",
                "balance_labels",
                "exclude_training_rows",
                "include",
                "interpolation",
                "min_label_confidence",
            )
            if conflicts := [name for name in fields if getattr(self, name)]:
                raise _conflict("partial_rows", conflicts)
            return
        if self.interpolation is None:
            check_selection(self)
            return
        fields_set = {
            "labels",
            "count",
            "conditions",
            "balance_labels",
            "offset",
            "layout",
            "include",
            "seed",
            "min_label_confidence",
        } & self.model_fields_set
        if conflicts := sorted(name for name in fields_set if getattr(self, name)):
            raise _conflict("interpolation", conflicts)


def _conflict(name: str, conflicts: list[str]) -> ValidationFailed:
    errors = [
        FieldError(f"/{field}", "conflict", f"Cannot be combined with `{name}`.")
        for field in conflicts
    ]
    return ValidationFailed(
        f"`{conflicts[0]}` cannot be combined with `{name}`.", field_errors=errors
    )


def check_selection(request: SampleSelection) -> None:
    """Check the rules for `labels`, `count` and `conditions` that do not depend on the model.

    Raises:
        ValidationFailed: Fields conflict, or a required one is missing.
    """
    has_count = request.count is not None or request.conditions is not None
    if (request.labels is None) != has_count:
        raise ValidationFailed("Send either `labels`, or `count`, `conditions` or both of these.")
    if request.balance_labels and (request.labels is not None or request.conditions is not None):
        error = FieldError(
            "/balance_labels", "conflict", "Cannot be combined with `labels` or `conditions`."
        )
        raise ValidationFailed(
            "`balance_labels` requires `count` and cannot be combined with `labels` or "
            "`conditions`.",
            field_errors=[error],
        )
