"""What a client asks of a model."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.schemas.fields import Seed
from app.strict import Strict
from core.errors import Fault, Invalid

Count = Annotated[int, Field(ge=1)]
AskedLabel = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class ConditionRequest(Strict):
    """What rows have to meet: all of `where`."""

    where: Annotated[dict[AskedLabel, Any], Field(min_length=1, max_length=100)] = Field(
        description="by column: a value, a list of values, or a range: "
        '`{"income": ">50K", "age": {"gte": 65}}`; null is a missing value'
    )
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="of the request's `count`; what all shares leave over is free"
    )
    count: Count | None = Field(None, description="without a `count` of the request")


class Asked(Strict):
    """`labels`, or `count`, or `conditions` with counts of their own or shares of `count`."""

    labels: Annotated[dict[AskedLabel, Count], Field(min_length=1)] | None = Field(
        None, description='how many of each label: `{"sneaker": 300, "bag": 700}`'
    )
    count: Count | None = Field(
        None, description="how many in all, labels in the learned shares or balanced"
    )
    balance: bool = Field(
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
    min_label_score: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="of images with labels: only those to whose label the model's own classifier "
        "gives at least this chance; counts stay exact, and each image is the first of its own "
        "candidates that will do",
    )
    allow_unaccepted: bool = Field(
        False, description="draw from a model that its training job's `accept` does not let pass"
    )


class ImageOptions(Strict):
    truncation: Annotated[float, Field(ge=0, le=1)] = Field(
        1.0, description="how far from the middle noise may lie: less is more typical, less varied"
    )


class Spot(Strict):
    """One image: item `number` of a seed."""

    label: AskedLabel | None = Field(None, description="null for a model without labels")
    seed: Seed
    number: Annotated[int, Field(ge=0, le=2**62)] = 0


class Interpolation(Strict):
    """A way from one image to another, through noise and labels."""

    start: Spot
    end: Spot
    steps: Annotated[int, Field(ge=2, le=64)] = Field(16, description="images, both ends included")


class SamplesRequest(Asked):
    known: Annotated[list[dict[AskedLabel, Any]], Field(min_length=1, max_length=10_000)] | None = (
        Field(
            None,
            description="instead of labels and counts, table rows with some values given: they "
            "come back in this order, with these values as they are and the others drawn: "
            '`[{"age": 65}, {"city": null}]`',
        )
    )
    refuse_copies: bool = Field(
        False,
        description="of table rows: none that the model was learned from, identifiers aside; the "
        "model was trained with `row_hashes`",
    )
    image: ImageOptions = ImageOptions()
    include: Annotated[list[Literal["recipe", "scores"]], Field(max_length=2)] = Field(
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
        """What is wrong whatever the model. Raises Invalid."""
        if self.known is not None:
            names = ("labels", "count", "conditions", "balance", "refuse_copies", "include")
            more = ("interpolation", "min_label_score")
            if conflicts := [name for name in (*names, *more) if getattr(self, name)]:
                faults = [Fault(f"/{name}", "conflict", "goes without it") for name in conflicts]
                raise Invalid("`known` says which rows and how many", faults=faults)
            return
        if self.interpolation is None:
            check(self)
            return
        others = {"labels", "count", "conditions", "balance", "offset", "layout", "include", "seed"}
        others.add("min_label_score")
        if strange := sorted(others & self.model_fields_set - self._empty()):
            faults = [Fault(f"/{name}", "conflict", "goes without it") for name in strange]
            raise Invalid("`interpolation` names its two items itself", faults=faults)

    def _empty(self) -> set[str]:
        return {name for name in self.model_fields_set if not getattr(self, name)}


def check(wanted: Asked) -> None:
    """What is wrong whatever the model."""
    given = wanted.count is not None or wanted.conditions is not None
    if (wanted.labels is None) != given:
        raise Invalid("give either `labels` or `count`, or `conditions`")
    if wanted.balance and (wanted.labels is not None or wanted.conditions is not None):
        fault = Fault("/balance", "conflict", "drop it, or the others")
        raise Invalid("`balance` goes with `count` alone", faults=[fault])
