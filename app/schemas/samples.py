"""What a client asks of a model."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.schemas.fields import Seed
from app.strict import Strict

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


class SamplesRequest(Strict):
    """`labels`, or `count`, or `conditions` with counts of their own or shares of `count`, or
    `known`."""

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
    known: Annotated[list[dict[AskedLabel, Any]], Field(min_length=1, max_length=10_000)] | None = (
        Field(
            None,
            description="table rows with some values given: they come back in this order, with "
            'these values as they are and the others drawn: `[{"age": 65}, {"city": null}]`',
        )
    )
    refuse_copies: bool = Field(
        False,
        description="of table rows: none that the model was learned from, identifiers aside; the "
        "model was trained with `row_hashes`",
    )
    seed: Seed | None = Field(None, description="default: a random one, told in the answer")
    offset: Annotated[int, Field(ge=0, le=2**62)] = Field(
        0, description="where in the endless set of a seed to begin"
    )
    layout: Literal["grid"] | None = Field(None, description="of images, with PNG: all in one")
