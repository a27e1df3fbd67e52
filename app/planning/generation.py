"""Planning of generation jobs: from a request and a model to shards."""

import modalities
from app.schemas.jobs import GenerationRequest
from core import output_destinations
from core.errors import FieldError, ValidationFailed
from core.generation import GenerationSpec
from core.settings import get_settings
from core.tables import Model
from modalities.base import Modality
from modalities.sampling import SelectionPlan


def plan(
    model: Model, request: GenerationRequest, seed: int
) -> tuple[GenerationSpec, SelectionPlan]:
    """Resolve every setting of a generation job, and plan its items.

    Raises:
        ValidationFailed: The model cannot generate the requested items, or there are too many.
    """
    if request.output_uri is not None:
        output_destinations.check_output_uri(request.output_uri, pointer="/output_uri")
    modality = modalities.get(model.modality)
    options = modalities.own_options(request, modality, "selection_options")
    items = modality.plan_selection(model.manifest, request, options, seed)
    items.check_shards()
    limit = get_settings().limits.job_samples
    if items.count > limit:
        raise ValidationFailed(
            f"A job can generate at most {limit} samples, but {items.count} are requested.",
            code="too_many_samples",
            limit=limit,
        )
    size = _shard_size(request, items.count, modality.shard_size(model.manifest))
    spec = GenerationSpec(
        model=model.id,
        reference=f"{model.name}:{model.version}",
        modality=modality.name,
        format=_format(modality, request.format),
        seed=seed,
        offset=request.offset,
        count=items.count,
        shard_size=size,
        shards=-(-items.count // size),
        output_uri=request.output_uri,
        plan=items.to_dict(),
    )
    return spec, items


def _format(modality: Modality, requested: str | None) -> str:
    allowed = tuple(modality.file_formats)
    if requested is None:
        return allowed[0]
    if requested not in allowed:
        message = f"`format` must be one of {', '.join(allowed)} for {modality.items}."
        field_error = FieldError("/format", "not_allowed", message, allowed)
        raise ValidationFailed(message, field_errors=[field_error])
    return requested


def _shard_size(request: GenerationRequest, count: int, default: int) -> int:
    limits = get_settings().limits
    minimum = -(-count // limits.job_shards)
    if request.shard_size == "auto":
        return max(minimum, default)
    if not minimum <= request.shard_size <= limits.samples:
        message = (
            f"`shard_size` must be from {minimum} to {limits.samples}, because a job has at most "
            f"{limits.job_shards} shards."
        )
        field_error = FieldError("/shard_size", "out_of_range", message)
        raise ValidationFailed(message, field_errors=[field_error])
    return request.shard_size
