"""What a client asks of a model."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.schemas.fields import Seed
from app.strict import Strict

Count = Annotated[int, Field(ge=1)]
AskedLabel = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class SamplesRequest(Strict):
    """Either `labels` or `count`."""

    labels: Annotated[dict[AskedLabel, Count], Field(min_length=1)] | None = Field(
        None, description='how many of each label: `{"sneaker": 300, "bag": 700}`'
    )
    count: Count | None = Field(
        None, description="how many in all, labels in the learned shares or balanced"
    )
    balance: bool = Field(False, description="with `count`: the same number of each label")
    seed: Seed | None = Field(None, description="default: a random one, told in the answer")
    offset: Annotated[int, Field(ge=0, le=2**62)] = Field(
        0, description="where in the endless set of a seed to begin"
    )
    layout: Literal["grid"] | None = Field(None, description="with PNG: all images in one")
