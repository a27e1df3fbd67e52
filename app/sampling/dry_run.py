"""Dry run of a generation job.

It generates the first samples to validate the request and to estimate time and size.
"""

import time
from collections.abc import Iterator

from app.sampling import request_parser
from app.sampling.service import ScoresUnavailable, get_sampling_service
from app.schemas.jobs import GenerationEstimate, GenerationRequest
from app.schemas.samples import SampleSelection
from core.generation import GenerationSpec
from core.tables import Model
from modalities.image import encode as image_formats
from modalities.tabular import encode as row_formats
from models.errors import AcceptanceRateTooLow
from models.images import batched_sampling as image_batches
from models.load import AnySampler
from models.tabular import batched_sampling as row_batches
from models.tabular.conditions import InvalidCondition
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import RowSamplingPlan

DRY_RUN_ITEMS = 512


def validate_request(model: Model, request: GenerationRequest, seed: int) -> None:
    """Check by sampling that conditions and `min_label_confidence` can be met.

    The labels are already checked at this point, because the request has been planned.

    Raises:
        ValidationFailed: A condition is invalid, too few candidates are accepted, or the model
            has no classifier.
    """
    service = get_sampling_service()
    try:
        if request.min_label_confidence is not None:
            first = request_parser.parse_image_request(model, request, seed).slice(0, 1)
            with service.stream_images(
                model, first, min_confidence=request.min_label_confidence
            ) as images_stream:
                next(images_stream)
        if request.conditions is None:
            return
        for index_range in request_parser.parse_row_request(model, request, seed).ranges:
            first_row = RowSamplingPlan((index_range,), seed).slice(0, 1)
            with service.stream_rows(model, first_row) as rows_stream:
                next(rows_stream)
    except InvalidCondition as error:
        raise request_parser.condition_error(request, error) from error
    except AcceptanceRateTooLow as error:
        raise request_parser.acceptance_error(error) from error
    except ScoresUnavailable as error:
        raise request_parser.scores_unavailable_error("/min_label_confidence") from error


def estimate(
    model: Model, request: GenerationRequest, spec: GenerationSpec, seed: int
) -> GenerationEstimate:
    items = min(DRY_RUN_ITEMS, spec.count)
    with get_sampling_service().cache.lease(model) as sampler:
        started = time.thread_time()
        chunks = _encode_first_items(model, sampler, request, seed, items, spec.format)
        size = sum(len(chunk) for chunk in chunks)
        seconds = time.thread_time() - started
    return GenerationEstimate(
        items=spec.count,
        shards=spec.shards,
        bytes=round(spec.count / items * size),
        seconds=round(spec.count / items * seconds, 2),
        basis=f"Measured on the first {items} items, generated and encoded by the API.",
    )


def _encode_first_items(
    model: Model, sampler: AnySampler, request: SampleSelection, seed: int, items: int, format: str
) -> Iterator[bytes]:
    """Generate and encode the first items in the calling thread, whose CPU time is measured."""
    if isinstance(sampler, TableSampler):
        chunks = row_batches.iter_chunks(
            request_parser.parse_row_request(model, request, seed).slice(0, items)
        )
        batches = (row_batches.generate_batch(sampler, seed, *chunk).rows for chunk in chunks)
        return row_formats.encode(
            format, batches, row_formats.parse_sample_columns(model.manifest), {}
        )
    names = [label["name"] for label in model.manifest["labels"]]
    plan = request_parser.parse_image_request(model, request, seed).slice(0, items)
    sample_batches = image_batches.iter_batches(sampler, plan, request.min_label_confidence)
    return image_formats.encode(
        format, sample_batches, names, count=items, image=model.manifest["image"]
    )
