"""Resolved specification of a generation job: built by the API, executed by workers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ImageRange(BaseModel):
    """Images `start` to `stop` (exclusive) of one label index.

    If `label` is None, each image's index determines its label.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: int | None
    start: int
    stop: int


class RowRange(BaseModel):
    """Rows `start` to `stop` (exclusive); row k meets `conditions[k % len(conditions)]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    conditions: list[dict[str, Any]]
    start: int
    stop: int


class GenerationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(
        description="Id of the model: a version added later does not change the job."
    )
    reference: str = Field(description="The model as `name:version`.")
    modality: Literal["image", "tabular"]
    format: str
    seed: int
    offset: int
    count: int
    shard_size: int
    shards: int
    balance_labels: bool = False
    min_label_confidence: float | None = None
    output_uri: str | None = None
    image_ranges: list[ImageRange] = []
    row_ranges: list[RowRange] = []

    def shard_name(self, number: int) -> str:
        return f"shard-{number:05}.{self.format}"
