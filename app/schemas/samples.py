"""Request bodies of samples."""

from typing import Annotated, Literal

from pydantic import Field

import modalities
from job_kinds.generation.request import SampleSelection


@modalities.extend("sample_options")
class SamplesRequest(SampleSelection):
    include: Annotated[list[Literal["provenance", "scores"]], Field(max_length=2)] = Field(
        [],
        description="JSON only. `provenance` adds the inputs that generate each sample again. "
        "`scores` adds the probabilities that the model's own critic (discriminator) assigns to "
        "it being real (`real`) and its classifier to its label (`label`). Default: none.",
    )
    checkpoint: Literal["best", "latest"] | Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Checkpoint of the model's training job: `best`, `latest` or a step. Default: "
        "the weights of the model.",
    )
