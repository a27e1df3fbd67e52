"""The first items of what a generation job would make: whether they can be made, how long they take
and how large they are."""

import time
from collections.abc import Iterator

from app.sampling import request_parser
from app.sampling.service import ScoresUnavailable, get_sampling_service
from app.schemas.jobs import GenerationEstimate, GenerationRequest
from app.schemas.samples import SampleSelection
from core.datasets.images import writing as images
from core.datasets.tabular import writing as rows
from core.generation import GenerationSpec
from core.tables import Model
from models.errors import AcceptanceRateTooLow
from models.images import batched_sampling as image_batches
from models.load import AnySampler
from models.tabular import batched_sampling as row_batches
from models.tabular.conditions import InvalidCondition
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import RowSamplingPlan

DRY_RUN_ITEMS = 512


def validate_request(model: Model, request: GenerationRequest, seed: int) -> None:
    """Raises ValidationFailed when what is wanted beyond labels, which were checked, cannot be had."""
    sampler = get_sampling_service()
    try:
        if request.min_label_confidence is not None:
            first = request_parser.parse_image_request(model, request, seed).slice(0, 1)
            with sampler.stream_images(
                model, first, min_confidence=request.min_label_confidence
            ) as images_drawn:
                next(images_drawn)
        if request.conditions is None:
            return
        for part in request_parser.parse_row_request(model, request, seed).ranges:
            with sampler.stream_rows(model, RowSamplingPlan((part,), seed).slice(0, 1)) as drawing:
                next(drawing)
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
    with get_sampling_service().cache.lease(model) as generator:
        started = time.thread_time()
        pieces = _first(model, generator, request, seed, items, spec.format)
        size = sum(len(piece) for piece in pieces)
        seconds = time.thread_time() - started
    return GenerationEstimate(
        items=spec.count,
        shards=spec.shards,
        bytes=round(spec.count / items * size),
        seconds=round(spec.count / items * seconds, 2),
        basis=f"the first {items} items, drawn and encoded here",
    )


def _first(
    model: Model, generator: AnySampler, wanted: SampleSelection, seed: int, items: int, format: str
) -> Iterator[bytes]:
    """In this thread alone, whose time is measured."""
    if isinstance(generator, TableSampler):
        chunks = row_batches.iter_chunks(
            request_parser.parse_row_request(model, wanted, seed).slice(0, items)
        )
        drawn = (row_batches.generate_batch(generator, seed, *chunk).rows for chunk in chunks)
        return rows.encode(format, drawn, rows.parse_sample_columns(model.manifest), {})
    names = [label["name"] for label in model.manifest["labels"]]
    order = request_parser.parse_image_request(model, wanted, seed).slice(0, items)
    batches = image_batches.iter_batches(generator, order, wanted.min_label_confidence)
    return images.encode(format, batches, names, count=items, image=model.manifest["image"])
