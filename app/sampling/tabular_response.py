"""Response to a samples request for table rows."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from fastapi import Response

from app import content_negotiation
from app.sampling import provenance, request_parser
from app.sampling.service import get_sampling_service
from app.sampling.streaming_response import SampleStreamingResponse
from app.schemas.samples import SamplesRequest
from core.datasets.media_types import TABULAR_MEDIA_TYPES
from core.errors import FieldError, ValidationFailed
from core.settings import get_settings
from core.tables import Model
from modalities.tabular import encode
from modalities.tabular.request_values import plain_row
from models.errors import AcceptanceRateTooLow
from models.tabular.conditions import (
    CompletionUnsupported,
    InvalidCondition,
    InvalidPartialRow,
)
from models.tabular.sample_scorer import realness
from models.tabular.sampling import RowHashesMissing, SampleBatch, TableSampler
from models.tabular.sampling_plan import RowSamplingPlan, plan_partial_rows


def build_response(
    model: Model, request: SamplesRequest, seed: int, *, format: str | None, accept: str | None
) -> Response:
    """Generate the first rows and return a response that streams all of them.

    Raises:
        NotAcceptable: No requested format is available.
        ValidationFailed: The request does not fit the model, or too few candidates of the first
            rows meet a condition.
        Unavailable: The model cannot be loaded.
    """
    _reject_image_options(request)
    plan = _plan(model, request, seed)
    output_format = content_negotiation.negotiate(
        TABULAR_MEDIA_TYPES, format=format, accept=accept, default="csv"
    )
    _check_size(plan, output_format)
    if request.include and output_format != "json":
        error = FieldError("/include", "not_allowed", "Requires the format JSON.")
        raise ValidationFailed("`include` requires the format JSON.", field_errors=[error])
    stream = get_sampling_service().stream_rows(model, plan)
    try:
        batches = [next(stream)]
        if request.include:
            batches += stream  # fits in memory: JSON has a low limit
        included = _included(model, request, plan, stream.sampler, batches)
    except (InvalidPartialRow, CompletionUnsupported, RowHashesMissing) as exception:
        stream.close()
        raise _validation_error(exception) from exception
    except InvalidCondition as exception:
        stream.close()
        raise request_parser.condition_error(request, exception) from exception
    except AcceptanceRateTooLow as exception:
        stream.close()
        raise request_parser.acceptance_error(exception) from exception
    except BaseException:
        stream.close()
        raise
    columns = encode.parse_sample_columns(model.manifest)
    head = {"model": model.id, "seed": seed, "offset": request.offset, "count": plan.count}
    record_batches = (batch.rows for batch in chain(batches, stream))
    return SampleStreamingResponse(
        encode.encode(output_format, record_batches, columns, head | included),
        stream.close,
        headers={
            "Semblance-Count": str(plan.count),
            # The rate of the first rows: later ones are generated after the headers are sent.
            "Semblance-Acceptance-Rate": f"{batches[0].acceptance_rate:.4f}",
            "Content-Disposition": f'attachment; filename="samples.{output_format}"',
        },
        media_type=TABULAR_MEDIA_TYPES[output_format],
    )


def _plan(model: Model, request: SamplesRequest, seed: int) -> RowSamplingPlan:
    if request.partial_rows is not None:
        columns = encode.parse_sample_columns(model.manifest)
        rows = [plain_row(columns, row) for row in request.partial_rows]
        return plan_partial_rows(rows, seed=seed, offset=request.offset)
    return replace(
        request_parser.parse_row_request(model, request, seed),
        exclude_training_rows=request.exclude_training_rows,
    )


def _validation_error(
    error: InvalidPartialRow | CompletionUnsupported | RowHashesMissing,
) -> ValidationFailed:
    if isinstance(error, InvalidPartialRow):
        return request_parser.partial_row_error(error)
    if isinstance(error, RowHashesMissing):
        field_error = FieldError(
            "/exclude_training_rows", "not_supported", "The model has no hashes of training rows."
        )
        return ValidationFailed(
            "`exclude_training_rows` requires a model that was trained with `store_row_hashes`.",
            field_errors=[field_error],
        )
    field_error = FieldError(
        "/partial_rows", "not_supported", "The model generates all columns of a row at once."
    )
    return ValidationFailed(
        "`partial_rows` requires a model of the architecture `autoregressive`.",
        field_errors=[field_error],
    )


def _reject_image_options(request: SamplesRequest) -> None:
    for name in ("layout", "interpolation"):
        if getattr(request, name) is not None:
            error = FieldError(f"/{name}", "not_allowed", "Applies only to images.")
            raise ValidationFailed(f"`{name}` applies only to images.", field_errors=[error])
    if request.image.truncation != 1:
        error = FieldError("/image/truncation", "not_allowed", "Applies only to images.")
        raise ValidationFailed("`truncation` applies only to images.", field_errors=[error])


def _included(
    model: Model,
    request: SamplesRequest,
    plan: RowSamplingPlan,
    sampler: TableSampler,
    batches: Sequence[SampleBatch],
) -> dict[str, Any]:
    """Return the requested lists. They are separate from the rows, whose keys are column names."""
    included: dict[str, Any] = {}
    if "provenance" in request.include:
        included["provenance"] = list(provenance.row_provenance(model, plan))
    if "scores" in request.include:
        if sampler.critic is None:
            error = FieldError(
                "/include", "not_available", "The model has no critic (discriminator)."
            )
            raise ValidationFailed(error.message, code="scores_unavailable", field_errors=[error])
        included["scores"] = [
            {"real": round(probability, 4)}
            for batch in batches
            for probability in realness(sampler, batch.rows).tolist()
        ]
    return included


def _check_size(plan: RowSamplingPlan, output_format: str) -> None:
    limits = get_settings().limits
    limit = limits.json_samples if output_format == "json" else limits.samples
    if plan.count > limit:
        raise ValidationFailed(
            f"{plan.count} rows exceed the limit of {limit} for one {output_format} response. "
            "Create a job of the kind `generation` for a larger set.",
            code="too_many_samples",
            limit=limit,
        )
