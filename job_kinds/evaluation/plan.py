"""Planning of evaluation jobs."""

from dataclasses import replace

from core import model_registry
from core.database import read
from core.datasets import repository as datasets
from core.errors import Conflict
from core.jobs import NewJob
from job_kinds.base import OpenSampler
from job_kinds.evaluation.request import EvaluationPlan, EvaluationRequest
from modalities import evaluation_jobs


def plan(
    tenant_id: str,
    request: EvaluationRequest,
    seed: int,
    open_sampler: OpenSampler,  # noqa: ARG001 - a part of the interface
) -> NewJob | EvaluationPlan:
    """Resolve every setting of an evaluation job.

    Raises:
        NotFound, NotReady: The model does not exist, or its dataset cannot be used.
        Conflict: The model cannot be evaluated.
    """
    with read() as session:
        model = model_registry.get(session, tenant_id, request.model)
        if model.dataset_id is None:
            raise Conflict(
                f"{model.name}:{model.version} cannot be evaluated: its dataset is not in this "
                "service.",
                code="no_dataset",
            )
        dataset = datasets.get_ready(session, tenant_id, model.dataset_id)
    samples = None if request.samples == "auto" else request.samples
    spec = evaluation_jobs.build_spec(model, dataset, seed, samples)
    if request.validate_only:
        return EvaluationPlan(resolved=spec.model_dump(mode="json"), warnings=[])
    return replace(
        evaluation_jobs.new_job(model, spec),
        request=request.model_dump(mode="json", exclude_unset=True),
        tags=request.tags,
        priority=request.priority,
    )
