"""Resolved specification of a generation job: built by the API, executed by workers."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class GenerationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        description="Id of the model: a version added later does not change the job."
    )
    reference: str = Field(description="The model as `name:version`.")
    modality: str = Field(description="Kind of data.")
    format: str = Field(description="Format of the files.")
    seed: int = Field(description="Random seed.")
    offset: int = Field(description="Index of the first sample.")
    count: int = Field(description="Number of samples.")
    shard_size: int = Field(description="Number of samples in each file.")
    shards: int = Field(description="Number of files.")
    output_uri: str | None = Field(None, description="Destination of copies of the files.")
    plan: dict[str, Any] = Field(description="Items by index, in the form of the modality.")

    def shard_name(self, number: int) -> str:
        return f"shard-{number:05}.{self.format}"
