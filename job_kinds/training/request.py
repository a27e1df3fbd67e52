"""Request for a training job, and the response to `validate_only`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from core.request_fields import ModelName
from core.training import Budget, CheckpointPolicy, QualityGate
from job_kinds.request import JobRequest, WarningView
from modalities import registry
from modalities.training import Preset

# The modality of the dataset decides which model applies, so the body may have any object here.
Hyperparameters = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "anyOf": [
                modality.hyperparameters.model_json_schema()
                for modality in registry.installed().values()
            ]
        }
    ),
]


TrainingConfig = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "anyOf": [
                modality.training_spec.model_json_schema()
                for modality in registry.installed().values()
            ]
        }
    ),
]


@registry.extend("training_options")
class TrainingRequest(JobRequest):
    """Train a model. `preset` sets everything; any other value is explicit or `"auto"`."""

    kind: Literal["training"] = Field(description="Kind of the job.")
    dataset: str = Field(description="Id of the training dataset (`ds_…`).")
    name: ModelName | None = Field(
        None, description="Name of the model. Default: the dataset's name."
    )
    conditional: bool | None = Field(
        None,
        description="Whether samples can be requested by label. Default: true if the dataset has "
        "labels or, for a table, a target column. `false` trains without labels.",
    )
    preset: Preset = Field(
        "balanced",
        description="Trade-off between speed and quality. Default: balanced. With "
        "`device: gpu`, networks are larger and the budget is GPU time.",
    )
    hyperparameters: Hyperparameters = Field(
        {},
        description="Hyperparameters of the dataset's modality. Default: each is `auto`, chosen "
        "from the preset and the dataset.",
    )
    budget: Budget | None = Field(
        None, description="When training stops. Default: given by the preset."
    )
    checkpoint: CheckpointPolicy = Field(
        CheckpointPolicy(), description="When checkpoints are saved, and how many are kept."
    )
    holdout_fraction: Annotated[float, Field(ge=0, le=0.5)] | Literal["auto"] = Field(
        "auto",
        description="Fraction of the items that is held out for evaluation and never trained on. "
        "Default `auto`: 0.1, but at most 1,000 images or 10,000 rows; 0 with "
        "`differential_privacy`.",
    )
    evaluate: bool | None = Field(
        None,
        description="Create an evaluation job after training. Default: true, unless the operator "
        "has set `auto_evaluate` to false. Not allowed with `differential_privacy`.",
    )
    quality_gate: QualityGate | None = Field(
        None,
        description="Criteria that the evaluation must meet. Until it does, samples of the model "
        "require `ignore_quality_gate`. Implies `evaluate`. Default: none.",
    )


class TrainingEstimate(BaseModel):
    steps: int = Field(description="Number of training steps.")
    minutes: float = Field(
        description="Training time in minutes from the first step on, as in `budget`. Loading the "
        "data before and saving the model after it take a few seconds more."
    )
    evaluation_minutes: float | None = Field(
        description="Time in minutes of the evaluation that follows, as the newest evaluations of "
        "this kind of data took; null if there was none yet."
    )
    memory_bytes: int = Field(description="Peak memory in bytes.")
    basis: str = Field(description="Measurement from which the time is extrapolated.")


class TrainingPlan(BaseModel):
    """The response to `validate_only`."""

    valid: Literal[True] = Field(
        True, description="The request can be sent without `validate_only`."
    )
    resolved: TrainingConfig = Field(description="The request with all defaults filled in.")
    estimate: TrainingEstimate = Field(description="Expected effort.")
    warnings: list[WarningView] = Field(
        description="Warnings about the dataset and the configuration."
    )
