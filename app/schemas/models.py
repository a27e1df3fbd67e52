"""Models, as they cross HTTP."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from core.tables import Model


class ModelView(BaseModel):
    id: str
    name: str
    version: int
    reference: str = Field(description="`name:version`")
    kind: str
    job: str
    dataset: str | None
    step: int
    labels: list[str] | None = Field(description="null for a model without labels")
    image: dict[str, int] | None
    label: str | None = Field(description="of a table: the column that the labels are values of")
    columns: list[str] | None = Field(description="of a table")
    parameters: int
    bytes: int
    sha256: str
    config: dict[str, Any]
    tags: dict[str, str]
    created_at: datetime
    links: dict[str, str]

    @classmethod
    def of(cls, model: Model) -> "ModelView":
        manifest, path = model.manifest, f"/v1/models/{model.id}"
        return cls(
            id=model.id,
            name=model.name,
            version=model.version,
            reference=f"{model.name}:{model.version}",
            kind=model.kind,
            job=model.job_id,
            dataset=model.dataset_id,
            step=model.step,
            labels=[label["name"] for label in manifest["labels"]] or None,
            image=manifest.get("image"),
            label=manifest.get("label"),
            columns=[column["name"] for column in manifest["columns"]]
            if "columns" in manifest
            else None,
            parameters=manifest["parameters"],
            bytes=model.weights["bytes"],
            sha256=model.weights["sha256"],
            config=manifest["config"],
            tags=model.tags,
            created_at=model.created_at,
            links={
                "self": path,
                "samples": f"{path}/samples",
                "conditions": f"{path}/conditions",
                "job": f"/v1/jobs/{model.job_id}",
            },
        )


class LabelCondition(BaseModel):
    name: str
    share: float = Field(description="of the items that were learned from")


class ColumnCondition(BaseModel):
    """A column of a table, and what a condition on it can be made of."""

    name: str
    type: str
    nullable: bool
    values: list[str] | None = Field(None, description="the commonest first, at most 100")
    min: float | str | None = None
    max: float | str | None = None


class Conditions(BaseModel):
    """What samples of a model may be asked for."""

    labels: list[LabelCondition]
    columns: list[ColumnCondition] | None = Field(None, description="of a table")
    rules: list[dict[str, Any]] | None = Field(
        None, description="of a table: all rows keep to them"
    )
    found_rules: list[dict[str, Any]] | None = Field(
        None,
        description="of a table: what all rows that were learned from keep to. Samples do, too, if "
        "a job declares it in `config.rules`",
    )
    seed: dict[str, int] = Field(description="range of `seed`")
    count: dict[str, int] = Field(description="range of `count` in one request")
