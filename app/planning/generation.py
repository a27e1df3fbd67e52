"""From a request for many items and a model to the shards of a generation job."""

from app.sampling import request_parser
from app.schemas.jobs import GenerationRequest
from app.schemas.samples import check_selection
from core import output_destinations
from core.datasets.media_types import STREAMABLE_FORMATS
from core.errors import FieldError, ValidationFailed
from core.generation import GenerationSpec, ImageRange, RowRange
from core.settings import get_settings
from core.tables import Model

SHARD_BYTES = 64 * 1024 * 1024  # of pixels
SHARD_ROWS = 100_000
SHARD_IMAGES_RANGE = (1_000, 50_000)


def plan(model: Model, request: GenerationRequest, seed: int) -> GenerationSpec:
    """Raises ValidationFailed when the model has not what is asked for."""
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
            "rows that a rule wants unique come in one answer",
            code="unique_constraint_not_shardable",
        )
    count = images.count if images is not None else rows.count if rows is not None else 0
    limit = get_settings().limits.job_samples
    if count > limit:
        raise ValidationFailed(
            f"{count} items are more than the {limit} of one job",
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
            ImageRange(label=run.label, start=run.start, stop=run.stop)
            for run in (images.ranges if images is not None else ())
        ],
        row_ranges=[
            RowRange(
                conditions=[dict(where) for where in part.conditions],
                start=part.start,
                stop=part.stop,
            )
            for part in (rows.ranges if rows is not None else ())
        ],
    )


def _has_unique_constraint(model: Model) -> bool:
    """Its shards, made apart, would not know of each other's rows."""
    rules = model.manifest["training"]["hyperparameters"].get("constraints", ())
    ids = {column["name"] for column in model.manifest["columns"] if column["type"] == "id"}
    return any(rule["kind"] == "unique" and not ids & set(rule["columns"]) for rule in rules)


def _format(model: Model, wanted: str | None) -> str:
    allowed = STREAMABLE_FORMATS[model.modality]
    if wanted is None:
        return allowed[0]
    if wanted not in allowed:
        fault = FieldError("/format", "not_allowed", f"not a format of {model.modality}", allowed)
        raise ValidationFailed(
            f"{model.modality} are stored as {', '.join(allowed)}", field_errors=[fault]
        )
    return wanted


def _shard_size(model: Model, wanted: GenerationRequest, count: int) -> int:
    limits = get_settings().limits
    least = -(-count // limits.job_shards)
    if wanted.shard_size == "auto":
        return max(least, SHARD_ROWS if model.modality == "tabular" else _images_of_a_shard(model))
    if not least <= wanted.shard_size <= limits.samples:
        message = f"from {least} to {limits.samples}: at most {limits.job_shards} shards"
        fault = FieldError("/shard_size", "out_of_range", message)
        raise ValidationFailed(f"`shard_size` may be {message}", field_errors=[fault])
    return wanted.shard_size


def _images_of_a_shard(model: Model) -> int:
    image = model.manifest["image"]
    fit: int = SHARD_BYTES // (image["height"] * image["width"] * image["channels"])
    return min(max(fit, SHARD_IMAGES_RANGE[0]), SHARD_IMAGES_RANGE[1])
