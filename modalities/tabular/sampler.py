"""Sampler of table rows."""

from collections.abc import Iterator
from pathlib import Path

from core.errors import FieldError, ValidationFailed, json_pointer
from modalities.sampling import Sampler, scores_unavailable
from modalities.tabular.encode import parse_sample_columns
from modalities.tabular.request import TablePlan
from modalities.tabular.request_values import describe_invalid
from modalities.turns import Turns
from models.checkpoint import unpack
from models.device import resolve_device
from models.errors import AcceptanceRateTooLow, IdentifiersExhausted
from models.tabular import batched_sampling
from models.tabular.conditions.condition import (
    CompletionUnsupported,
    InvalidCondition,
    InvalidPartialRow,
    NoMatchingValue,
)
from models.tabular.sampling import RowHashesMissing, SampleBatch, TableSampler


class TablePlanSampler(Sampler):
    """Sampler of TablePlan; each batch takes one turn."""

    def __init__(self, sampler: TableSampler) -> None:
        self._sampler = sampler

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> "TablePlanSampler":
        """Load a model file to a device.

        Raises:
            UnreadableCheckpoint: The file is not a tabular model.
        """
        return cls(TableSampler.load(*unpack(path), resolve_device(device)))

    @property
    def bytes(self) -> int:
        return self._sampler.bytes

    def draw(self, plan: TablePlan, turns: Turns) -> Iterator[SampleBatch]:
        batches = batched_sampling.iter_batches(self._sampler, plan.indices)
        try:
            while True:
                with turns.take():
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch
        except AcceptanceRateTooLow as error:
            error.pointer = plan.pointer_to_rejection(error)
            raise
        except IdentifiersExhausted as error:
            message = "There are no identifiers for rows of so large an index."
            raise ValidationFailed(
                f"`offset`: {message}",
                field_errors=[FieldError("/offset", "identifiers_exhausted", message)],
            ) from error
        except InvalidCondition as error:
            raise _condition_error(plan, error) from error
        except InvalidPartialRow as error:
            raise _partial_row_error(plan, error) from error
        except CompletionUnsupported as error:
            message = "The model generates all columns of a row at once."
            raise ValidationFailed(
                "`partial_rows` requires a model of the architecture `autoregressive`.",
                field_errors=[FieldError("/partial_rows", "not_supported", message)],
            ) from error
        except RowHashesMissing as error:
            message = "The model has no hashes of training rows."
            raise ValidationFailed(
                "`exclude_training_rows` requires a model that was trained with "
                "`store_row_hashes`.",
                field_errors=[FieldError("/exclude_training_rows", "not_supported", message)],
            ) from error

    def scores(self, batch: SampleBatch) -> list[dict[str, float]]:
        if self._sampler.critic is None:
            raise scores_unavailable("The model has no critic (discriminator).", "/include")
        probabilities = self._sampler.realness(batch.rows).tolist()
        return [{"real": round(probability, 4)} for probability in probabilities]


def _condition_error(plan: TablePlan, error: InvalidCondition) -> ValidationFailed:
    positions = [i for i, where in enumerate(plan.conditions) if error.column in where]
    path = [str(positions[0]), "where"] if positions else []
    pointer = json_pointer("conditions", *path, error.column)
    message = describe_invalid(parse_sample_columns(plan.manifest), error)
    if isinstance(error, NoMatchingValue) and error.alternatives is None:
        message += plan.describe_range(error.column)
    field_error = FieldError(pointer, "invalid_condition", message)
    return ValidationFailed(
        f"Column {error.column!r}: {message}", code="invalid_condition", field_errors=[field_error]
    )


def _partial_row_error(plan: TablePlan, error: InvalidPartialRow) -> ValidationFailed:
    pointer = json_pointer("partial_rows", str(error.row), error.column)
    message = describe_invalid(parse_sample_columns(plan.manifest), error)
    return ValidationFailed(
        f"Column {error.column!r}: {message}",
        code="invalid_partial_row",
        field_errors=[FieldError(pointer, "invalid_value", message)],
    )
