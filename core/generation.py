"""What a generation job is to draw, every value resolved: made by the API, obeyed by workers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ImageRange(BaseModel):
    """Images `start` to `stop` (exclusive) of one label by its index, or of labels by number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: int | None
    start: int
    stop: int


class RowRange(BaseModel):
    """Rows `start` to `stop` (exclusive); number k meets `conditions[k mod len(conditions)]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    conditions: list[dict[str, Any]]
    start: int
    stop: int


class GenerationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="its id, so that a newer version changes nothing")
    reference: str = Field(description="`name:version`")
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
