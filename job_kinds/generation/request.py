"""Request for a generation job, its resolved form, and the response to `validate_only`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from job_kinds.request import JobRequest, ModelReference, WarningView
from modalities import registry
from modalities.selection import Selection


@registry.extend("selection_options")
class SampleSelection(Selection):
    """Selection of samples by `labels` or by `count`; of table rows also by `conditions`."""

    ignore_quality_gate: bool = Field(
        False,
        description="Use the model even if it fails the `quality_gate` of its training job. "
        "Default: false.",
    )


class GenerationRequest(SampleSelection, JobRequest):
    """Generate any number of samples, as `/v1/models/{ref}/samples` does, into files."""

    kind: Literal["generation"] = Field(description="Kind of the job.")
    model: ModelReference
    format: registry.FileFormat | None = Field(
        None,
        description="File format. Images: tar (WebDataset, the default), zip or npz. Tables: "
        "parquet (the default), csv, ndjson or arrow.",
    )
    shard_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Number of samples in each file. Default: chosen by the service."
    )
    output_uri: Annotated[str, Field(max_length=1_024)] | None = Field(
        None,
        description="Destination, such as `s3://bucket/folder`, that the operator allows. The "
        "files are copied to a subfolder named after the job's id; manifest.json is written last. "
        "Default: the files are only stored as artifacts of the job.",
    )


class GenerationSpec(BaseModel):
    """The resolved request, which workers execute."""

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


class GenerationEstimate(BaseModel):
    items: int = Field(description="Number of samples.")
    shards: int = Field(description="Number of files.")
    bytes: int = Field(description="Total size of the files in bytes.")
    seconds: float = Field(
        description="Time in seconds for one worker. Several workers share the files."
    )
    basis: str = Field(description="Measurement from which bytes and seconds are extrapolated.")


class GenerationPlan(BaseModel):
    """The response to `validate_only`."""

    valid: Literal[True] = Field(
        True, description="The request can be sent without `validate_only`."
    )
    resolved: Annotated[dict[str, Any], WithJsonSchema(GenerationSpec.model_json_schema())] = Field(
        description="The request with all defaults filled in."
    )
    estimate: GenerationEstimate = Field(description="Expected effort.")
    warnings: list[WarningView] = Field(
        description="Warnings about the job, such as too little storage."
    )
