"""Interface between the service and a modality's samplers.

A request becomes a plan, which does not depend on the weights: a list of items by index. A sampler
holds the weights and generates the batches of a plan. The plan encodes them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import BaseModel

from core.errors import ValidationFailed
from core.request_fields import RequestModel
from modalities.selection import Selection
from modalities.turns import Turns

Json = dict[str, Any]

IMPORT_TIMEOUT_S = 120.0  # of the check of imported weights


class Batch(Protocol):
    """Generated items."""

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted fraction of the candidates; None if there was no rejection sampling."""

    def __len__(self) -> int: ...


class SamplingPlan(Protocol):
    """Items that a samples request asks for, in order."""

    documents: Collection[str] = ()  # formats that are sent in one piece, and shown by browsers

    @property
    def count(self) -> int: ...

    @property
    def formats(self) -> Mapping[str, str]:
        """Media types by format. The first one is the default."""

    def check_format(self, format: str) -> None:
        """Raise ValidationFailed if the format cannot hold these items."""
        return

    def encode(self, format: str, batches: Iterator[Any], head: Json) -> Iterator[bytes]:
        """Encode the batches of this plan. `head` holds the fields before the items in JSON."""

    def probes(self) -> Sequence["SamplingPlan"]:
        """Return the plans to sample before a response or a job begins.

        They show whether the model meets each condition. Empty: there are no conditions.
        """
        return ()

    def provenance(self) -> Iterator[Json]:
        """Yield the inputs that generate each item again, in addition to the seed.

        Raises:
            ValidationFailed: The items of this plan have no such record.
        """
        message = "`provenance` is not available for these samples."
        raise ValidationFailed.of_field("/include", "not_available", message)


class SelectionPlan(SamplingPlan, Protocol):
    """Items that a generation job can divide into shards."""

    def slice(self, start: int, stop: int) -> Self:
        """Return the plan of the items at positions `start` to `stop` (exclusive)."""

    def to_dict(self) -> Json:
        """Return everything but the seed and the model, as JSON."""

    def check_shards(self) -> None:
        """Raise ValidationFailed if shards cannot be generated independently."""
        return

    def count_labels(self, batch: Any) -> Mapping[str, int]:
        """Return the number of items of a batch by label."""
        return {}


class Sampler(Protocol):
    """A model, ready to sample. Several threads use it at the same time."""

    @property
    def bytes(self) -> int:
        """Size in memory."""

    def draw(self, plan: Any, turns: Turns) -> Iterator[Batch]:
        """Generate the batches of a plan, in order.

        Raises, while batches are generated:
            ValidationFailed: The model cannot meet the request.
            AcceptanceRateTooLow: Rejection sampling accepted too few candidates.
        """

    def scores(self, batch: Any) -> list[dict[str, float]]:
        """Score each item with the model's own networks.

        `label` is the probability that its label is right, and `real` that it is real.

        Raises:
            ValidationFailed: The model has no such network.
        """
        message = "The model has neither a critic (discriminator) nor a label classifier."
        raise scores_unavailable(message, "/include")


def scores_unavailable(message: str, pointer: str) -> ValidationFailed:
    return ValidationFailed.of_field(pointer, "not_available", message, code="scores_unavailable")


def too_many_samples(count: int, limit: int, format: str) -> ValidationFailed:
    return ValidationFailed(
        f"{count} samples exceed the limit of {limit} for one {format} response. "
        "Create a job of the kind `generation` for a larger set.",
        code="too_many_samples",
        limit=limit,
    )


class WeightsFile(BaseModel):
    """Argument of a check in a sandbox process."""

    path: Path


def check_finite(tensors: Mapping[str, Any]) -> None:
    """Raise ValidationFailed unless all numbers of an imported model are finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValidationFailed(f"the tensor `{name[:100]}` has numbers that are not finite.")


class Sampling(Protocol):
    """Samples of a trained model."""

    selection_options: type[RequestModel] = RequestModel
    """Fields that select samples, in addition to those of `Selection`."""

    sample_options: type[RequestModel] = RequestModel
    """Fields of a samples request, those of `selection_options` among them."""

    training_data_options: frozenset[str] = frozenset()
    """Names of `sample_options` with which a request finds out whether an item was trained on."""

    model_view: type[BaseModel] = BaseModel
    """Fields of a model's representation, in addition to those of all models."""

    conditions_view: type[BaseModel] = BaseModel
    """Fields of a model's sampling options, in addition to its labels."""

    @property
    def sample_formats(self) -> Mapping[str, str]:
        """Media types by format, of all plans of samples requests."""

    @property
    def file_formats(self) -> Mapping[str, str]:
        """Media types by format, of the files of generation jobs. The first one is the default.

        They have no size limit, because they are written in pieces.
        """

    def preload(self) -> None:
        """Import the modules that sampling needs and that are slow to load."""
        return

    def plan_samples(
        self, manifest: Json, selection: Selection, options: Any, seed: int
    ) -> SamplingPlan:
        """Return the plan of a samples request. `options` are the `sample_options`.

        Raises:
            ValidationFailed: Fields conflict, or the request does not fit the model.
        """
        return self.plan_selection(manifest, selection, options, seed)

    def plan_selection(
        self, manifest: Json, selection: Selection, options: Any, seed: int
    ) -> SelectionPlan:
        """Return the plan of a generation job. `options` are the `selection_options`.

        modalities.label_plan.LabelSelection has an implementation.

        Raises:
            ValidationFailed: As for `plan_samples`.
        """

    def read_plan(self, manifest: Json, plan: Json, seed: int) -> SelectionPlan:
        """Return the plan of which `plan` is the dictionary."""

    def shard_size(self, manifest: Json) -> int:
        """Return the number of items in one file of a generation job."""
        return 10_000

    def item_bytes(self, manifest: Json) -> int:
        """Return about how many bytes an item has in a file of a generation job."""
        return 64

    def load_sampler(self, path: Path, device: str = "cpu") -> Sampler:
        """Load a model file, to sample on the device `cpu` or `cuda:N`.

        Raises:
            ValueError: The file does not hold a model of this modality.
        """

    def describe_networks(self, path: Path) -> Sequence[object]:
        """Return the networks of a model file: `models.architecture.NetworkSummary` of each.

        Raises:
            ValueError: As for `load_sampler`.
        """
        return ()

    def check_import(self, manifest: Json, weights: Path) -> None:
        """Check, in a sandbox process, that the weights generate what the manifest describes.

        modalities.sandboxed.SandboxedFiles has an implementation.

        Raises:
            DatasetUnreadable: The weights cannot be loaded.
            ValidationFailed: The weights and the manifest describe different models.
            pydantic.ValidationError: The manifest lacks a field, or a value is invalid.
        """

    def describe_model(self, manifest: Json) -> Json:
        """Return the fields of `model_view`."""
        return {}

    def describe_conditions(self, manifest: Json) -> Json:
        """Return the fields of `conditions_view`."""
        return {}
