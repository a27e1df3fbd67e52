"""What a client asks of a model."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.request_body import RequestModel
from app.schemas.types import Seed
from core.errors import FieldError, ValidationFailed

Count = Annotated[int, Field(ge=1)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class ConditionRequest(RequestModel):
    """What rows have to meet: all of `where`."""

    where: Annotated[dict[LabelName, Any], Field(min_length=1, max_length=100)] = Field(
        description="by column: a value, a list of values, or a range: "
        '`{"income": ">50K", "age": {"gte": 65}}`; null is a missing value'
    )
    fraction: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="of the request's `count`; what all shares leave over is free"
    )
    count: Count | None = Field(None, description="without a `count` of the request")


class SampleSelection(RequestModel):
    """`labels`, or `count`, or `conditions` with counts of their own or shares of `count`."""

    labels: Annotated[dict[LabelName, Count], Field(min_length=1)] | None = Field(
        None, description='how many of each label: `{"sneaker": 300, "bag": 700}`'
    )
    count: Count | None = Field(
        None, description="how many in all, labels in the learned shares or balanced"
    )
    balance_labels: bool = Field(
        False,
        description="with `count`: the same number of each label, or, where the label is a number, "
        "of each tenth of its range",
    )
    conditions: Annotated[list[ConditionRequest], Field(min_length=1, max_length=100)] | None = (
        Field(None, description="of table rows")
    )
    seed: Seed | None = Field(None, description="default: a random one, told in the answer")
    offset: Annotated[int, Field(ge=0, le=2**62)] = Field(
        0, description="where in the endless set of a seed to begin"
    )
    min_label_confidence: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="of images with labels: only those to whose label the model's own classifier "
        "gives at least this chance; counts stay exact, and each image is the first of its own "
        "candidates that will do",
    )
    ignore_quality_gate: bool = Field(
        False,
        description="draw from a model that its training job's `quality_gate` does not let pass",
    )


class ImageOptions(RequestModel):
    truncation: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="how far from the middle noise may lie: less is more typical, less varied"
    )


class LatentPoint(RequestModel):
    """One image: item `index` of a seed."""

    label: LabelName | None = Field(None, description="null for a model without labels")
    seed: Seed
    index: Annotated[int, Field(ge=0, le=2**62)] = 0


class Interpolation(RequestModel):
    """A way from one image to another, through noise and labels."""

    start: LatentPoint = Field(alias="from")
    end: LatentPoint = Field(alias="to")
    steps: Annotated[int, Field(ge=2, le=64)] = Field(16, description="images, both ends included")


class SamplesRequest(SampleSelection):
    partial_rows: (
        Annotated[list[dict[LabelName, Any]], Field(min_length=1, max_length=10_000)] | None
    ) = Field(
        None,
        description="instead of labels and counts, table rows with some values given: they "
        "come back in this order, with these values as they are and the others drawn: "
        '`[{"age": 65}, {"city": null}]`',
    )
    exclude_training_rows: bool = Field(
        False,
        description="of table rows: none that the model was learned from, identifiers aside; the "
        "model was trained with `store_row_hashes`",
    )
    image: ImageOptions = ImageOptions()
    include: Annotated[list[Literal["provenance", "scores"]], Field(max_length=2)] = Field(
        [],
        description="with JSON: how to draw each item again; the chances that the model's own "
        "critic (`real`) and classifier (`label`) give it",
    )
    interpolation: Interpolation | None = Field(
        None, description="of images, instead of labels and counts: a PNG strip or a GIF"
    )
    checkpoint: Literal["best", "latest"] | Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="of the job that made the model: best, latest, or a step; default: its own",
    )
    layout: Literal["grid"] | None = Field(None, description="of images, with PNG: all in one")

    def check(self) -> None:
        """What is wrong whatever the model. Raises ValidationFailed."""
        if self.partial_rows is not None:
            names = (
                "labels",
                "count",
                "conditions",
                "balance_labels",
                "exclude_training_rows",
                "include",
            )
            more = ("interpolation", "min_label_confidence")
            if conflicts := [name for name in (*names, *more) if getattr(self, name)]:
                faults = [
                    FieldError(f"/{name}", "conflict", "goes without it") for name in conflicts
                ]
                raise ValidationFailed(
                    "`partial_rows` says which rows and how many", field_errors=faults
                )
            return
        if self.interpolation is None:
            check_selection(self)
            return
        others = {
            "labels",
            "count",
            "conditions",
            "balance_labels",
            "offset",
            "layout",
            "include",
            "seed",
        }
        others.add("min_label_confidence")
        if strange := sorted(others & self.model_fields_set - self._empty()):
            faults = [FieldError(f"/{name}", "conflict", "goes without it") for name in strange]
            raise ValidationFailed(
                "`interpolation` names its two items itself", field_errors=faults
            )

    def _empty(self) -> set[str]:
        return {name for name in self.model_fields_set if not getattr(self, name)}


def check_selection(request: SampleSelection) -> None:
    """What is wrong whatever the model."""
    given = request.count is not None or request.conditions is not None
    if (request.labels is None) != given:
        raise ValidationFailed("give either `labels` or `count`, or `conditions`")
    if request.balance_labels and (request.labels is not None or request.conditions is not None):
        fault = FieldError("/balance_labels", "conflict", "drop it, or the others")
        raise ValidationFailed("`balance_labels` goes with `count` alone", field_errors=[fault])
