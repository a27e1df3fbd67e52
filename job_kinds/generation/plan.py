"""Planning of generation jobs: from a request and a model to shards.

The first samples are generated to validate the request and to estimate time and size.
"""

import time

from core import evaluation, model_registry, output_destinations
from core.database import read
from core.errors import ValidationFailed
from core.jobs import NewJob
from core.settings import get_settings
from core.storage import get_storage
from core.tables import JobKind, Model
from job_kinds.base import OpenStream
from job_kinds.generation.request import (
    GenerationEstimate,
    GenerationPlan,
    GenerationRequest,
    GenerationSpec,
)
from job_kinds.request import WarningView
from modalities import registry
from modalities.base import Modality
from modalities.sampling import SelectionPlan
from modalities.turns import Unshared

DRY_RUN_ITEMS = 512


def plan(
    tenant_id: str, request: GenerationRequest, seed: int, open_stream: OpenStream
) -> NewJob | GenerationPlan:
    """Resolve every setting of a generation job.

    Raises:
        NotFound: The model does not exist.
        Conflict: The model fails its quality gate.
        ValidationFailed: The model cannot generate the requested items, or there are too many.
    """
    with read() as session:
        model = model_registry.get(session, tenant_id, request.model)
        evaluation.require_quality_gate(
            session, model, ignore_quality_gate=request.ignore_quality_gate
        )
    spec, items = _resolve(model, request, seed)
    _check_plan(model, items, open_stream)
    resolved = spec.model_dump(mode="json")
    if request.validate_only:
        estimate = _estimate(model, items, spec, open_stream)
        warnings = _storage_warnings(estimate.bytes)
        return GenerationPlan(resolved=resolved, estimate=estimate, warnings=warnings)
    return NewJob(
        JobKind.GENERATION,
        model.name,
        None,
        request.model_dump(mode="json", exclude_unset=True),
        resolved,
        queue="generation",
        model_id=model.id,
        tags=request.tags,
        priority=request.priority,
        device=request.device,
        reserved_bytes=_reserved_bytes(model, spec),
    )


def _reserved_bytes(model: Model, spec: GenerationSpec) -> int:
    """Return about how many bytes the files will have in the storage of the service."""
    if spec.output_uri is not None:
        return 0
    return spec.count * registry.get(model.modality).item_bytes(model.manifest)


def _resolve(
    model: Model, request: GenerationRequest, seed: int
) -> tuple[GenerationSpec, SelectionPlan]:
    if request.output_uri is not None:
        output_destinations.check_output_uri(request.output_uri, pointer="/output_uri")
    modality = registry.get(model.modality)
    options = registry.own_options(request, modality, "selection_options")
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
        raise ValidationFailed.of_field("/format", "not_allowed", message, allowed)
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
        raise ValidationFailed.of_field("/shard_size", "out_of_range", message)
    return request.shard_size


def _storage_warnings(required_bytes: int) -> list[WarningView]:
    free = get_storage().free_bytes()
    if free is None or required_bytes + get_settings().min_free_disk_bytes <= free:
        return []
    message = f"The job will store about {required_bytes} bytes, but only {free} are free."
    return [WarningView(code="insufficient_storage", message=message)]


def _check_plan(model: Model, plan: SelectionPlan, open_stream: OpenStream) -> None:
    """Check by sampling that the model can meet each condition of a plan.

    Raises:
        ValidationFailed: It cannot.
    """
    for probe in plan.probes():
        with open_stream(model, probe) as stream:
            next(stream)


def _estimate(
    model: Model, plan: SelectionPlan, spec: GenerationSpec, open_stream: OpenStream
) -> GenerationEstimate:
    """Generate and encode the first items, and extrapolate their time and size."""
    items = min(DRY_RUN_ITEMS, spec.count)
    first_items = plan.slice(0, items)
    with open_stream(model, first_items) as stream:
        started = time.thread_time()
        # All work is done in this thread, whose CPU time is measured.
        batches = stream.sampler.draw(first_items, Unshared())
        size = sum(len(chunk) for chunk in first_items.encode(spec.format, batches, {}))
        seconds = time.thread_time() - started
    return GenerationEstimate(
        items=spec.count,
        shards=spec.shards,
        bytes=round(spec.count / items * size),
        seconds=round(spec.count / items * seconds, 2),
        basis=f"Measured on the first {items} items, generated and encoded by the API.",
    )
