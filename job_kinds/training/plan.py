"""Planning of training jobs: from a request and a dataset to a resolved configuration."""

import math

from sqlalchemy.orm import Session

from core import model_registry, workers
from core.database import read
from core.datasets import repository as datasets
from core.datasets.data_quality import describe
from core.devices import DeviceKind, RequestedDevice
from core.errors import Conflict, FieldError, ValidationFailed
from core.jobs import NewJob
from core.jobs.devices import initial_kind
from core.settings import get_settings
from core.tables import Dataset, JobKind
from core.training import Budget, TrainingSpec
from job_kinds.base import OpenStream
from job_kinds.evaluation.plan import check_possible, evaluation_seconds
from job_kinds.request import WarningView
from job_kinds.training import quality_gate
from job_kinds.training.request import TrainingEstimate, TrainingPlan, TrainingRequest
from modalities import registry
from modalities.base import Modality
from modalities.hyperparameters import explicit_values
from modalities.training import ResolvedTraining, TrainingChoices
from models.settings import InvalidSettings, StepCost

# Assumed speed in matrix products until a worker has reported its own: of one core, or of a GPU.
DEFAULT_GFLOPS = {None: 100.0, DeviceKind.CPU: 100.0, DeviceKind.GPU: 10_000.0}


def plan(
    tenant_id: str,
    request: TrainingRequest,
    seed: int,
    open_stream: OpenStream,  # noqa: ARG001 - a part of the interface
) -> NewJob | TrainingPlan:
    """Resolve every setting of a training job.

    Raises:
        NotFound, NotReady: The dataset does not exist or cannot be used yet.
        ValidationFailed: The request does not fit the dataset.
        Conflict: The `quality_gate` cannot be checked because there are too few holdout items.
        Unavailable: The server lacks a package that the request needs.
    """
    with read() as session:
        dataset = datasets.get_ready(session, tenant_id, request.dataset)
        modality = registry.get(dataset.modality)
        device = _device(request)
        training = _plan_training(session, dataset, modality, request, device)
        spec = _build_spec(dataset, modality, request, training, seed)
        warnings = _warnings(session, dataset, training, spec, device)
        estimate = None
        if request.validate_only:
            estimate = estimate_training(session, dataset, training, device)
    resolved = spec.model_dump(mode="json", exclude_none=True)
    if estimate is not None:
        return TrainingPlan(resolved=resolved, estimate=estimate, warnings=warnings)
    return NewJob(
        JobKind.TRAINING,
        request.name or model_registry.sanitize_name(dataset.name),
        dataset.id,
        request.model_dump(mode="json", exclude_unset=True),
        resolved,
        queue="training",
        tags=request.tags,
        priority=request.priority,
        device=device,
        warnings=[warning.model_dump() for warning in warnings],
    )


def _plan_training(
    session: Session,
    dataset: Dataset,
    modality: Modality,
    request: TrainingRequest,
    device: RequestedDevice,
) -> ResolvedTraining:
    options = registry.own_options(request, modality, "training_options")
    choices = TrainingChoices(
        conditional=request.conditional,
        preset=request.preset,
        budget=request.budget,
        hyperparameters=explicit_values(modality.hyperparameters, request.hyperparameters),
        device="gpu" if device == "gpu" else "cpu",
    )
    try:
        return modality.plan_training(session, dataset, choices, options)
    except InvalidSettings as error:
        raise ValidationFailed.of_field(
            f"/hyperparameters/{error.field}", "not_allowed", str(error)
        ) from error


def _build_spec(
    dataset: Dataset,
    modality: Modality,
    request: TrainingRequest,
    training: ResolvedTraining,
    seed: int,
) -> TrainingSpec:
    holdout_fraction = request.holdout_fraction
    if holdout_fraction == "auto":
        holdout_fraction = training.holdout_fraction
    spec = modality.training_spec(
        modality=modality.name,
        conditional=training.conditional,
        preset=request.preset,
        budget=training.budget,
        checkpoint=request.checkpoint,
        holdout_fraction=holdout_fraction,
        seed=seed,
        hyperparameters=training.hyperparameters,
        quality_gate=request.quality_gate,
        **training.spec_fields,
    )
    return spec.model_copy(update={"evaluate": _is_evaluated(dataset, request, spec)})


def _is_evaluated(dataset: Dataset, request: TrainingRequest, spec: TrainingSpec) -> bool:
    """Return whether the model is evaluated after the training.

    Raises ValidationFailed or Conflict if the request asks for an evaluation that is not possible.
    """
    try:
        spec.check_evaluable()
    except Conflict as error:
        if not request.evaluate and request.quality_gate is None:
            return False
        pointer = "/evaluate" if request.evaluate else "/quality_gate"
        field_errors = [FieldError(pointer, "not_allowed", error.detail)]
        raise ValidationFailed(error.detail, field_errors=field_errors) from error
    if request.quality_gate is not None:
        quality_gate.check(dataset, request, spec)
        return True
    return get_settings().auto_evaluate if request.evaluate is None else request.evaluate


def _warnings(
    session: Session,
    dataset: Dataset,
    training: ResolvedTraining,
    spec: TrainingSpec,
    device: RequestedDevice,
) -> list[WarningView]:
    warnings = [
        WarningView(code=issue["code"], message=describe(issue))
        for issue in dataset.summary["issues"]
        if issue["severity"] != "info"
    ]
    steps = spec.budget.steps
    if steps is not None and steps * training.batch_size < dataset.summary["n_train"]:
        warnings.append(
            WarningView(
                code="budget_below_one_epoch",
                message="The budget is too small to use every training item once. Expect poor "
                "samples.",
            )
        )
    if spec.evaluate:
        try:
            check_possible(spec, dataset)
        except Conflict as error:
            warnings.append(WarningView(code="evaluation_skipped", message=error.detail))
    if training.min_useful_steps > (training.budget.steps or 0):
        step_s, _ = _seconds_per_step(session, training.cost(), device)
        warnings += _small_budget_warnings(training, step_s)
    return warnings


def _small_budget_warnings(training: ResolvedTraining, step_s: float) -> list[WarningView]:
    """Warn if the budget is too small for useful samples, and name one that is not."""
    steps, needed = _steps_in(training.budget, step_s), training.min_useful_steps
    if steps >= needed:
        return []
    is_time = training.budget.seconds is not None
    budget = f"{math.ceil(needed * step_s)} seconds" if is_time else f"{needed} steps"
    way_out = f", or {training.shorter_steps}" if is_time and training.shorter_steps else ""
    message = (
        f"The budget is enough for about {steps} steps, but useful samples need at least {needed}. "
        f"Increase the budget to at least {budget}, better to that of a preset{way_out}."
    )
    return [WarningView(code="budget_too_small", message=message)]


def _device(request: TrainingRequest) -> RequestedDevice:
    """Return the device of the job: a GPU if the budget is GPU time.

    Raises:
        ValidationFailed: The budget is GPU time, but the job must run on the CPU.
    """
    if request.budget is None or request.budget.gpu_seconds is None:
        return request.device
    if request.device == "cpu":
        message = "`gpu_seconds` is not possible with `device: cpu`. Use `cpu_seconds`."
        raise ValidationFailed.of_field("/budget/gpu_seconds", "conflict", message)
    return "gpu"


def estimate_training(
    session: Session,
    dataset: Dataset,
    training: ResolvedTraining,
    device: RequestedDevice = "auto",
) -> TrainingEstimate:
    """Estimate the duration on the slowest active worker that accepts the job."""
    cost = training.cost()
    step_s, is_measured = _seconds_per_step(session, cost, device)
    steps = _steps_in(training.budget, step_s)
    seconds = training.budget.seconds or steps * step_s
    evaluation_s = evaluation_seconds(session, dataset)
    return TrainingEstimate(
        steps=steps,
        minutes=round(seconds / 60, 2),
        evaluation_minutes=None if evaluation_s is None else round(evaluation_s / 60, 2),
        memory_bytes=cost.memory_bytes,
        basis=_basis(initial_kind(device), measured=is_measured),
    )


def _seconds_per_step(
    session: Session, cost: StepCost, device: RequestedDevice
) -> tuple[float, bool]:
    """Return the duration of a step on the slowest worker, and whether its speed was measured."""
    kind = initial_kind(device)
    suitable = workers.serving(session, "training", kind)
    speeds = [worker.gflops for worker in suitable if worker.gflops]
    gflops = min(speeds) if speeds else DEFAULT_GFLOPS[kind]
    return cost.gflop_per_step / gflops, bool(speeds)


def _steps_in(budget: Budget, step_s: float) -> int:
    if budget.seconds is None:
        assert budget.steps is not None  # noqa: S101 - a budget has either
        return budget.steps
    return max(1, round(budget.seconds / step_s)) if step_s else 1


def _basis(kind: DeviceKind | None, *, measured: bool) -> str:
    if kind is DeviceKind.GPU:
        speed = "matrix products measured on the slowest GPU" if measured else "a typical GPU"
        return f"Speed of {speed}. Small networks use only a part of it and take longer."
    if measured:
        return "Speed measured on the slowest worker."
    return "Typical speed of one core, because no worker is active."
