"""Models, as they cross HTTP."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.request_body import RequestModel
from app.schemas.types import Tags
from core.tables import Model


class ModelView(BaseModel):
    id: str
    name: str
    version: int
    reference: str = Field(description="`name:version`")
    modality: str
    aliases: list[str] = Field(description="`name@alias` means this version")
    description: str | None
    job: str | None = Field(description="null for an imported model")
    dataset: str | None
    step: int
    labels: list[str] | None = Field(description="null for a model without labels")
    image: dict[str, int] | None
    target_column: str | None = Field(
        description="of a table: the column that the labels are values of"
    )
    columns: list[str] | None = Field(description="of a table")
    parameters: int
    bytes: int
    sha256: str
    training: dict[str, Any]
    tags: dict[str, str]
    loaded: bool = Field(description="in the memory of the process that answers")
    created_at: datetime
    links: dict[str, str]

    @classmethod
    def of(cls, model: Model, aliases: Sequence[str] = (), *, loaded: bool = False) -> "ModelView":
        manifest, path = model.manifest, f"/v1/models/{model.id}"
        parts = ("samples", "sampling-options", "card", "report", "architecture", "export")
        links = {"self": path, **{part: f"{path}/{part}" for part in parts}}
        if model.job_id is not None:
            links["job"] = f"/v1/jobs/{model.job_id}"
        return cls(
            id=model.id,
            name=model.name,
            version=model.version,
            reference=f"{model.name}:{model.version}",
            modality=model.modality,
            aliases=list(aliases),
            description=model.description,
            job=model.job_id,
            dataset=model.dataset_id,
            step=model.step,
            labels=[label["name"] for label in manifest["labels"]] or None,
            image=manifest.get("image"),
            target_column=manifest.get("target_column"),
            columns=[column["name"] for column in manifest["columns"]]
            if "columns" in manifest
            else None,
            parameters=manifest["parameters"],
            bytes=model.weights["bytes"],
            sha256=model.weights["sha256"],
            training=manifest["training"],
            tags=model.tags,
            loaded=loaded,
            created_at=model.created_at,
            links=links,
        )


class ModelPatch(RequestModel):
    description: Annotated[str, StringConstraints(max_length=4_096)] | None = None
    tags: Tags | None = None


class LayerView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str
    kind: str
    weights: dict[str, list[int]] = Field(description="shapes of its own parameters")
    parameters: int = Field(description="of its own")
    output: list[int] | None = Field(description="shape, of one batch; null where it differs")


class NetworkView(BaseModel):
    """One network."""

    name: str
    parameters: int
    layers: list[LayerView]


class Architecture(BaseModel):
    model: str
    parameters: int
    networks: list[NetworkView]

    @classmethod
    def of(cls, model: Model, networks: Sequence[object]) -> "Architecture":
        """`parts` as models.architecture has them."""
        views = [NetworkView.model_validate(part, from_attributes=True) for part in networks]
        return cls(model=model.id, parameters=sum(v.parameters for v in views), networks=views)


class LabelOption(BaseModel):
    name: str
    fraction: float | None = Field(
        description="of the items that were learned from; null where privacy keeps it"
    )


class ColumnOption(BaseModel):
    """A column of a table, and what a condition on it can be made of."""

    name: str
    type: str
    nullable: bool
    values: list[str] | None = Field(None, description="the commonest first, at most 100")
    min: float | str | None = None
    max: float | str | None = None


class SamplingOptions(BaseModel):
    """What samples of a model may be asked for."""

    labels: list[LabelOption]
    columns: list[ColumnOption] | None = Field(None, description="of a table")
    constraints: list[dict[str, Any]] | None = Field(
        None, description="of a table: all rows keep to them"
    )
    detected_constraints: list[dict[str, Any]] | None = Field(
        None,
        description="of a table: what all rows that were learned from keep to. Samples do, too, if "
        "a job declares it in `hyperparameters.constraints`",
    )
    seed: dict[str, int] = Field(description="range of `seed`")
    count: dict[str, int] = Field(description="range of `count` in one request")
