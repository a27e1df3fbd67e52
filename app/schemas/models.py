"""Request and response bodies of models."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.schemas.jobs import JobProblem
from core.evaluation import LatestEvaluations
from core.request_fields import RequestModel, Tags
from core.tables import Job, JobState, Model
from job_kinds.results import EvaluationResult, MainScore
from job_kinds.training.request import TrainingConfig
from modalities import registry

NO_EVALUATIONS = LatestEvaluations()
EvaluationState = Literal["not_evaluated", "evaluating", "evaluated", "failed", "cancelled"]


class EvaluationView(BaseModel):
    """One evaluation of a model."""

    job: str = Field(description="Id of the evaluation job.")
    state: EvaluationState = Field(description="State of the evaluation.")
    created_at: datetime = Field(description="Time at which it was requested.")
    finished_at: datetime | None = Field(description="Time at which it ended.")
    samples: int | None = Field(description="Number of samples that it generates.")
    seed: int | None = Field(description="Random seed.")
    result: EvaluationResult | None = Field(description="Verdict and main scores.")
    error: JobProblem | None = Field(description="Reason why it failed.")

    @classmethod
    def of(cls, job: Job) -> "EvaluationView":
        return cls(
            job=job.id,
            state=evaluation_state(job),
            created_at=job.created_at,
            finished_at=job.finished_at,
            samples=job.resolved.get("samples"),
            seed=job.resolved.get("seed"),
            result=None if job.result is None else EvaluationResult.model_validate(job.result),
            error=None if job.error is None else JobProblem.model_validate(job.error),
        )


def evaluation_state(job: Job | None) -> EvaluationState:
    if job is None:
        return "not_evaluated"
    ended: dict[JobState, EvaluationState] = {
        JobState.SUCCEEDED: "evaluated",
        JobState.FAILED: "failed",
        JobState.CANCELLED: "cancelled",
    }
    return ended.get(job.state, "evaluating")


class ModelQualityView(BaseModel):
    """Evaluation of a model: the state of the newest one, the result of the newest success."""

    state: EvaluationState = Field(description="State of the newest evaluation.")
    job: str | None = Field(description="Id of the evaluation job of the result.")
    evaluated_at: datetime | None = Field(description="Time at which that job succeeded.")
    verdict: str | None = Field(description="`good`, `poor`, `collapsed` or `memorized`.")
    scores: dict[str, MainScore] = Field(description="Main scores by name.")
    failed_criteria: list[str] = Field(
        description="Criteria of the training job's `quality_gate` that the model fails."
    )

    @classmethod
    def of(cls, evaluations: LatestEvaluations) -> "ModelQualityView":
        job = evaluations.succeeded
        result = None
        if job is not None and job.result is not None:
            result = EvaluationResult.model_validate(job.result)
        return cls(
            state=evaluation_state(evaluations.newest),
            job=None if job is None else job.id,
            evaluated_at=None if job is None else job.finished_at,
            verdict=None if result is None else result.verdict,
            scores={} if result is None else result.scores,
            failed_criteria=[] if result is None else result.failed_criteria,
        )


@registry.extend("model_view")
class ModelView(BaseModel):
    # A response has every field, so that those with a default are required in its schema.
    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str = Field(description="Model id (`mdl_…`).")
    name: str = Field(description="Name, which all versions share.")
    version: int = Field(description="Version, from 1 for each name.")
    reference: str = Field(description="`name:version` of the model.")
    modality: str = Field(description="`image` or `tabular`.")
    aliases: list[str] = Field(description="Aliases: `name@alias` refers to this version.")
    description: str | None = Field(description="Description that the client wrote.")
    job: str | None = Field(description="Id of the training job; null for an imported model.")
    dataset: str | None = Field(
        description="Id of the training dataset; null if it was deleted or the model was imported."
    )
    step: int = Field(description="Training step of the weights.")
    conditional: bool = Field(description="Whether the model was trained with labels.")
    labels: list[str] | None = Field(description="Labels; null for a model without labels.")
    parameters: int = Field(description="Number of parameters of the model.")
    bytes: int = Field(description="Size of the weights in bytes.")
    sha256: str = Field(description="SHA-256 of the weights in hexadecimal.")
    training: TrainingConfig = Field(
        description="Resolved configuration of the training, as in the job's `resolved`."
    )
    tags: dict[str, str] = Field(description="Keys and values that the client chose.")
    quality: ModelQualityView = Field(description="Verdict and main scores.")
    loaded: bool = Field(description="Whether the responding process has the model in memory.")
    created_at: datetime = Field(description="Time of creation.")
    links: dict[str, str] = Field(description="Paths of related resources.")

    @classmethod
    def of(
        cls,
        model: Model,
        aliases: Sequence[str] = (),
        *,
        loaded: bool = False,
        evaluations: LatestEvaluations = NO_EVALUATIONS,
    ) -> "ModelView":
        manifest, path = model.manifest, f"/v1/models/{model.id}"
        modality = registry.installed().get(model.modality)
        parts = (
            "samples",
            "sampling-options",
            "card",
            "report",
            "evaluations",
            "architecture",
            "export",
        )
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
            conditional=manifest["training"].get("conditional", bool(manifest["labels"])),
            labels=[label["name"] for label in manifest["labels"]] or None,
            parameters=manifest["parameters"],
            bytes=model.weights["bytes"],
            sha256=model.weights["sha256"],
            training=manifest["training"],
            tags=model.tags,
            loaded=loaded,
            quality=ModelQualityView.of(evaluations),
            created_at=model.created_at,
            links=links,
            **({} if modality is None else modality.describe_model(manifest)),
        )


class ModelEvaluations(BaseModel):
    data: list[EvaluationView] = Field(description="Evaluations, newest first.")


class ModelPatch(RequestModel):
    description: Annotated[str, StringConstraints(max_length=4_096)] | None = Field(
        None, description="New description; null removes it. If omitted, it stays unchanged."
    )
    tags: Tags | None = Field(None, description="New tags; replaces all. Default: unchanged.")


class LayerView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str = Field(description="Dotted path of the layer in its network.")
    kind: str = Field(description="Class of the layer.")
    weights: dict[str, list[int]] = Field(
        description="Shapes of the layer's parameters by name, without those of sublayers."
    )
    parameters: int = Field(
        description="Number of the layer's parameters, without those of sublayers."
    )
    output: list[int] | None = Field(
        description="Output shape for one batch; null if it varies between calls."
    )


class NetworkView(BaseModel):
    """One network of a model."""

    name: str = Field(description="Role of the network, such as `generator`.")
    parameters: int = Field(description="Number of parameters.")
    layers: list[LayerView] = Field(description="Layers that have parameters.")


class Architecture(BaseModel):
    model: str = Field(description="Model id (`mdl_…`).")
    parameters: int = Field(description="Number of parameters of all networks.")
    networks: list[NetworkView] = Field(description="Networks of the model.")

    @classmethod
    def of(cls, model: Model, networks: Sequence[object]) -> "Architecture":
        """Build the view; `networks` has a models.architecture.NetworkSummary of each."""
        views = [NetworkView.model_validate(network, from_attributes=True) for network in networks]
        return cls(model=model.id, parameters=sum(v.parameters for v in views), networks=views)


class LabelOption(BaseModel):
    name: str = Field(description="Label.")
    fraction: float | None = Field(
        description="Fraction of the training items with this label; null if differential privacy "
        "hides it."
    )


@registry.extend("conditions_view")
class SamplingOptions(BaseModel):
    """Labels, columns and ranges that a samples request may use."""

    labels: list[LabelOption] = Field(description="Labels that can be requested.")
    seed: dict[str, int] = Field(description="Range of `seed`: `min` and `max`.")
    count: dict[str, int] = Field(description="Range of `count` in one request: `min` and `max`.")
