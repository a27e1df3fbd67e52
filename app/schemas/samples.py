"""Request bodies of samples."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from job_kinds.generation.request import SampleSelection
from modalities import registry
from modalities.tabular.options import Row


@registry.extend("sample_options")
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


class SampleItem(BaseModel):
    label: str | None = Field(description="Label; null for a model without labels.")
    png: str = Field(description="Image as a PNG in base64.")


class SampleScores(BaseModel):
    real: float | None = Field(None, description="Probability of being real.")
    label: float | None = Field(None, description="Probability of the label.")


class SampleProvenance(BaseModel):
    """Inputs that generate one sample again."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(description="Id of the model.")
    sha256: str = Field(description="SHA-256 of the weights in hexadecimal.")
    step: int = Field(description="Training step of the weights.")
    seed: int = Field(description="Random seed.")
    label: str | None = Field(None, description="Label; null without one.")
    index: int | None = Field(None, description="Index in the sequence of the seed.")


class SamplesView(BaseModel):
    """Samples as JSON: images in `items`, rows in `rows`."""

    model: str = Field(description="Id of the model (`mdl_…`).")
    seed: int = Field(description="Random seed.")
    offset: int = Field(description="Index of the first sample.")
    count: int = Field(description="Number of samples.")
    items: list[SampleItem] = Field([], description="Images only: the samples.")
    rows: list[Row] = Field([], description="Tables only: values by column name.")
    provenance: list[SampleProvenance] = Field(
        [], description="With `include: provenance`: inputs of each sample."
    )
    scores: list[SampleScores] = Field([], description="With `include: scores`: of each sample.")
