"""What a generation job is to draw, every value resolved: made by the API, obeyed by workers."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Images(BaseModel):
    """Images `start` to `stop` (exclusive) of one label by its index, or of labels by number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: int | None
    start: int
    stop: int


class Rows(BaseModel):
    """Rows `start` to `stop` (exclusive); number k meets `wheres[k mod len(wheres)]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wheres: list[dict[str, Any]]
    start: int
    stop: int


class GenerationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="its id, so that a newer version changes nothing")
    reference: str = Field(description="`name:version`")
    kind: Literal["images", "rows"]
    format: str
    seed: int
    offset: int
    count: int
    shard_size: int
    shards: int
    balance: bool = False
    min_label_score: float | None = None
    deliver_to: str | None = None
    images: list[Images] = []
    rows: list[Rows] = []

    def shard_name(self, number: int) -> str:
        return f"shard-{number:05}.{self.format}"
