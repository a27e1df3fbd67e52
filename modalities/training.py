"""Interface of training: what a modality does, and what it exchanges with the service."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from sqlalchemy.orm import Session

from core.request_fields import NoOptions, RequestModel
from core.storage import Storage
from core.tables import Checkpoint, Dataset
from core.training import Budget, TrainingSpec
from models.settings import StepCost
from models.training_callbacks import TrainingCallbacks

Json = dict[str, Any]
Preset = Literal["fast", "balanced", "quality"]


@dataclass(frozen=True)
class PresetSummary:
    """Meaning of a preset for one modality; `budget` is None if it depends on the dataset."""

    name: Preset
    description: str
    budget: Budget | None


@dataclass(frozen=True)
class TrainingChoices:
    """Settings of a training request that a modality resolves; None means the default."""

    conditional: bool | None
    preset: Preset
    budget: Budget | None
    hyperparameters: Json = field(default_factory=dict)  # the explicit ones, by name
    device: Literal["cpu", "gpu"] = "cpu"  # "gpu": the job runs on a GPU only


@dataclass(frozen=True)
class ResolvedTraining:
    """Resolved settings of a training job.

    `spec_fields` are the values of the fields that the modality's `training_spec` adds.
    `cost` is called only for an estimate.
    """

    conditional: bool  # whether samples can be requested by label
    budget: Budget
    hyperparameters: Json
    batch_size: int
    holdout_fraction: float = 0.1
    cost: Callable[[], StepCost] = lambda: StepCost(gflop_per_step=0.0, memory_bytes=0)
    spec_fields: Json = field(default_factory=dict)
    min_useful_steps: int = 0  # with fewer steps, a model is of no use
    shorter_steps: str = ""  # what makes steps shorter, such as "use smaller images"


class TrainingRun(TrainingCallbacks, Protocol):
    """A running training job, which also has the callbacks of the training loop."""

    @property
    def spec(self) -> Any:
        """The job's `training_spec`."""

    @property
    def dataset(self) -> Dataset: ...

    @property
    def storage(self) -> Storage: ...

    @property
    def device(self) -> str:
        """Device of the networks: `cpu` or `cuda:N`."""

    @property
    def records_steps(self) -> bool:
        """Return True if steps on a GPU are recorded as CUDA graphs (models.step_graphs)."""

    @property
    def state(self) -> Path | None:
        """State of the checkpoint to resume from; None if the run starts from the beginning."""

    def start(self, manifest: Json, *, identify_dataset: bool = True) -> None:
        """Start the training proper. Call this once, after the dataset is loaded.

        `manifest` describes the samples of the model, at least their `labels`. With
        `identify_dataset`, the hash of the dataset is added to it.
        """

    def has_checkpoints(self) -> bool:
        """Return True if this attempt or an earlier one saved a checkpoint, damaged or not."""

    def select_checkpoint(self) -> Checkpoint:
        """Return the checkpoint that becomes the model. Call this after the training."""


class Training(Protocol):
    """Training jobs, which make models of datasets."""

    training_options: type[RequestModel] = NoOptions
    """Fields of a training request, in addition to those of all training requests."""

    hyperparameters: type[RequestModel] = NoOptions
    """Model of `hyperparameters`, each of which may be "auto" (modalities.hyperparameters)."""

    training_spec: type[TrainingSpec] = TrainingSpec
    """Model of a resolved request."""

    @property
    def architectures(self) -> Sequence[str]:
        """Names of the network architectures."""
        return ()

    @property
    def losses(self) -> Sequence[str]:
        """Names of the losses that a client can choose from."""
        return ()

    def presets(self) -> Sequence[PresetSummary]:
        """Return the presets, from fast to good."""
        return ()

    def plan_training(
        self, session: Session, dataset: Dataset, choices: TrainingChoices, options: Any
    ) -> ResolvedTraining:
        """Resolve the settings of a training job. `options` are `training_options`.

        Raises:
            ValidationFailed: The request does not fit the dataset.
            InvalidSettings: A hyperparameter has a value that is not allowed.
            Unavailable: The server lacks a package that the request needs.
        """

    def train(self, run: TrainingRun) -> None:
        """Train a model: load `run.dataset`, call `run.start`, and save checkpoints with `run`.

        The last step is saved in any case. Raises JobError if the training failed.
        """
