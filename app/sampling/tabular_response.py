"""What is answered when table rows are asked for."""

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
from core.datasets.tabular import writing
from core.errors import FieldError, ValidationFailed
from core.settings import get_settings
from core.tables import Model
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
    """Raises ValidationFailed, also when too few candidates of the first rows meet a condition."""
    _refuse_pictures(request)
    order = _order(model, request, seed)
    chosen = content_negotiation.negotiate(
        TABULAR_MEDIA_TYPES, format=format, accept=accept, default="csv"
    )
    _check_size(order, chosen)
    if request.include and chosen != "json":
        fault = FieldError("/include", "not_allowed", "goes with JSON")
        raise ValidationFailed("`include` goes with JSON", field_errors=[fault])
    drawing = get_sampling_service().stream_rows(model, order)
    try:
        parts = [next(drawing)]
        if request.include:
            parts += drawing  # not many, as they go into JSON
        more = _included(model, request, order, drawing.sampler, parts)
    except (InvalidPartialRow, CompletionUnsupported, RowHashesMissing) as error:
        drawing.close()
        raise _refused(error) from error
    except InvalidCondition as error:
        drawing.close()
        raise request_parser.condition_error(request, error) from error
    except AcceptanceRateTooLow as error:
        drawing.close()
        raise request_parser.acceptance_error(error) from error
    except BaseException:
        drawing.close()
        raise
    columns = writing.parse_sample_columns(model.manifest)
    head = {"model": model.id, "seed": seed, "offset": request.offset, "count": order.count}
    batches = (part.rows for part in chain(parts, drawing))
    return SampleStreamingResponse(
        writing.encode(chosen, batches, columns, head | more),
        drawing.close,
        headers={
            "Semblance-Count": str(order.count),
            # Of the first rows; a condition on the label alone is met directly.
            "Semblance-Acceptance-Rate": f"{parts[0].acceptance_rate:.4f}",
            "Content-Disposition": f'attachment; filename="samples.{chosen}"',
        },
        media_type=TABULAR_MEDIA_TYPES[chosen],
    )


def _order(model: Model, wanted: SamplesRequest, seed: int) -> RowSamplingPlan:
    if wanted.partial_rows is not None:
        return plan_partial_rows(wanted.partial_rows, seed=seed, offset=wanted.offset)
    return replace(
        request_parser.parse_row_request(model, wanted, seed),
        exclude_training_rows=wanted.exclude_training_rows,
    )


def _refused(
    error: InvalidPartialRow | CompletionUnsupported | RowHashesMissing,
) -> ValidationFailed:
    if isinstance(error, InvalidPartialRow):
        return request_parser.partial_row_error(error)
    if isinstance(error, RowHashesMissing):
        fault = FieldError(
            "/exclude_training_rows", "not_supported", "the model keeps no hashes of rows"
        )
        return ValidationFailed(
            "train with `store_row_hashes` to have copies refused", field_errors=[fault]
        )
    fault = FieldError("/partial_rows", "not_supported", "the model makes its rows in one piece")
    return ValidationFailed(
        "this model completes no rows; train one with `autoregressive`", field_errors=[fault]
    )


def _refuse_pictures(wanted: SamplesRequest) -> None:
    for name in ("layout", "interpolation"):
        if getattr(wanted, name) is not None:
            fault = FieldError(f"/{name}", "not_allowed", "rows have no pictures")
            raise ValidationFailed(f"`{name}` is for images", field_errors=[fault])
    if wanted.image.truncation != 1:
        fault = FieldError("/image/truncation", "not_allowed", "rows have no pictures")
        raise ValidationFailed("`truncation` is for images", field_errors=[fault])


def _included(
    model: Model,
    wanted: SamplesRequest,
    order: RowSamplingPlan,
    generator: TableSampler,
    parts: Sequence[SampleBatch],
) -> dict[str, Any]:
    """Lists beside that of the rows, which have no room for names that are not columns."""
    included: dict[str, Any] = {}
    if "provenance" in wanted.include:
        included["provenance"] = list(provenance.row_provenance(model, order))
    if "scores" in wanted.include:
        if generator.critic is None:
            fault = FieldError("/include", "not_available", "this model keeps no critic")
            raise ValidationFailed(fault.message, code="scores_unavailable", field_errors=[fault])
        chances = [realness(generator, part.rows) for part in parts]
        included["scores"] = [
            {"real": round(chance, 4)} for part in chances for chance in part.tolist()
        ]
    return included


def _check_size(order: RowSamplingPlan, chosen: str) -> None:
    limits = get_settings().limits
    limit = limits.json_samples if chosen == "json" else limits.samples
    if order.count > limit:
        raise ValidationFailed(
            f"{order.count} rows are more than the {limit} that one {chosen} answer may hold; "
            "a job of the kind `generation` makes a set of any size",
            code="too_many_samples",
            limit=limit,
        )
