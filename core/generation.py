"""Resolved specification of a generation job: built by the API, executed by workers."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class GenerationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        description="Id of the model: a version added later does not change the job."
    )
    reference: str = Field(description="The model as `name:version`.")
    modality: str
    format: str
    seed: int
    offset: int
    count: int
    shard_size: int
    shards: int
    output_uri: str | None = None
    plan: dict[str, Any] = Field(description="Items by index, in the form of the modality.")

    def shard_name(self, number: int) -> str:
        return f"shard-{number:05}.{self.format}"
