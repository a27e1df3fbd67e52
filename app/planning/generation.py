"""Planning of generation jobs: from a request and a model to shards."""

from app.sampling import request_parser
from app.schemas.jobs import GenerationRequest
from app.schemas.samples import check_selection
from core import output_destinations
from core.datasets.media_types import STREAMABLE_FORMATS
from core.errors import FieldError, ValidationFailed
from core.generation import GenerationSpec, ImageRange, RowRange
from core.settings import get_settings
from core.tables import Model

SHARD_BYTES = 64 * 1024 * 1024  # of uncompressed pixels in a shard of images
SHARD_ROWS = 100_000
SHARD_IMAGES_RANGE = (1_000, 50_000)


def plan(model: Model, request: GenerationRequest, seed: int) -> GenerationSpec:
    """Resolve every setting of a generation job.

    Raises:
        ValidationFailed: The model cannot generate the requested items, or there are too many.
    """
    check_selection(request)
    if request.output_uri is not None:
        output_destinations.check_output_uri(request.output_uri, pointer="/output_uri")
    images = (
        request_parser.parse_image_request(model, request, seed)
        if model.modality == "image"
        else None
    )
    rows = request_parser.parse_row_request(model, request, seed) if images is None else None
    if rows is not None and _has_unique_constraint(model):
        raise ValidationFailed(
            "A generation job cannot satisfy the model's `unique` constraint, because its shards "
            "are independent. Use POST /v1/models/{ref}/samples.",
            code="unique_constraint_not_shardable",
        )
    count = images.count if images is not None else rows.count if rows is not None else 0
    limit = get_settings().limits.job_samples
    if count > limit:
        raise ValidationFailed(
            f"A job can generate at most {limit} samples, but {count} are requested.",
            code="too_many_samples",
            limit=limit,
        )
    size = _shard_size(model, request, count)
    return GenerationSpec(
        model=model.id,
        reference=f"{model.name}:{model.version}",
        modality="image" if images is not None else "tabular",
        format=_format(model, request.format),
        seed=seed,
        offset=request.offset,
        count=count,
        shard_size=size,
        shards=-(-count // size),
        balance_labels=request.balance_labels,
        min_label_confidence=request.min_label_confidence,
        output_uri=request.output_uri,
        image_ranges=[
            ImageRange(label=image_range.label, start=image_range.start, stop=image_range.stop)
            for image_range in (images.ranges if images is not None else ())
        ],
        row_ranges=[
            RowRange(
                conditions=[dict(condition) for condition in row_range.conditions],
                start=row_range.start,
                stop=row_range.stop,
            )
            for row_range in (rows.ranges if rows is not None else ())
        ],
    )


def _has_unique_constraint(model: Model) -> bool:
    """Return True if rows must differ across shards, which are generated independently.

    A constraint with an `id` column always holds, because ids are numbered across shards.
    """
    constraints = model.manifest["training"]["hyperparameters"].get("constraints", ())
    ids = {column["name"] for column in model.manifest["columns"] if column["type"] == "id"}
    return any(
        constraint["kind"] == "unique" and not ids & set(constraint["columns"])
        for constraint in constraints
    )


def _format(model: Model, requested: str | None) -> str:
    allowed = STREAMABLE_FORMATS[model.modality]
    if requested is None:
        return allowed[0]
    if requested not in allowed:
        message = f"`format` must be one of {', '.join(allowed)} for {model.modality} models."
        field_error = FieldError("/format", "not_allowed", message, allowed)
        raise ValidationFailed(message, field_errors=[field_error])
    return requested


def _shard_size(model: Model, request: GenerationRequest, count: int) -> int:
    limits = get_settings().limits
    minimum = -(-count // limits.job_shards)
    if request.shard_size == "auto":
        return max(minimum, SHARD_ROWS if model.modality == "tabular" else _images_per_shard(model))
    if not minimum <= request.shard_size <= limits.samples:
        message = (
            f"`shard_size` must be from {minimum} to {limits.samples}, because a job has at most "
            f"{limits.job_shards} shards."
        )
        field_error = FieldError("/shard_size", "out_of_range", message)
        raise ValidationFailed(message, field_errors=[field_error])
    return request.shard_size


def _images_per_shard(model: Model) -> int:
    image = model.manifest["image"]
    images: int = SHARD_BYTES // (image["height"] * image["width"] * image["channels"])
    return min(max(images, SHARD_IMAGES_RANGE[0]), SHARD_IMAGES_RANGE[1])
