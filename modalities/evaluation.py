"""Data that an evaluation job and a modality exchange."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.storage import Storage
from core.tables import Dataset, Model
from modalities import stored_samplers
from modalities.selection import Selection
from modalities.turns import Unshared

if TYPE_CHECKING:
    from modalities.base import Modality
    from models.metrics.scores import Score


@dataclass(frozen=True)
class EvaluationInput:
    """A model, the dataset that it was trained on, and the samples to evaluate."""

    job_id: str
    modality: "Modality"
    model: Model
    dataset: Dataset
    samples: int
    seed: int
    storage: Storage
    device: str  # of the networks: `cpu` or `cuda:N`
    check_stop: Callable[[], None]  # raises if the job must stop; called at least once a second

    @property
    def training_spec(self) -> Any:
        """The `training_spec` of the model's training job."""
        return self.modality.training_spec.model_validate(self.model.manifest["training"])

    def generate(self) -> Iterator[Any]:
        """Yield the samples in batches, which are those of the modality's sampler.

        Raises:
            JobError: The model cannot be read.
        """
        modality = self.modality
        sampler = stored_samplers.load(
            self.model, self.storage, lambda path: modality.load_sampler(path, self.device)
        )
        selection, options = Selection(count=self.samples), modality.selection_options()
        plan = modality.plan_selection(self.model.manifest, selection, options, self.seed)
        for batch in sampler.draw(plan, Unshared()):
            self.check_stop()
            yield batch


@dataclass(frozen=True)
class Picture:
    name: str  # of the artifact
    title: str
    png: bytes


@dataclass(frozen=True)
class EvaluationOutput:
    scores: "Sequence[Score]"
    holdout_items: int  # real items that the samples were compared with
    sections: dict[str, Any]  # further content of the report, by name
    pictures: Sequence[Picture] = ()
