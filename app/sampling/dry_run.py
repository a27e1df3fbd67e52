"""Dry run of a generation job.

It generates the first samples to validate the request and to estimate time and size.
"""

import time

from app.sampling.service import SampleStream, get_sampling_service
from app.schemas.jobs import GenerationEstimate
from core.generation import GenerationSpec
from core.tables import Model
from modalities.sampling import SelectionPlan
from modalities.turns import Unshared

DRY_RUN_ITEMS = 512


def check_plan(model: Model, plan: SelectionPlan) -> None:
    """Check by sampling that the model can meet each condition of a plan.

    Raises:
        ValidationFailed: It cannot.
    """
    for probe in plan.probes():
        with SampleStream(get_sampling_service(), model, probe) as stream:
            next(stream)


def estimate(model: Model, plan: SelectionPlan, spec: GenerationSpec) -> GenerationEstimate:
    items = min(DRY_RUN_ITEMS, spec.count)
    with get_sampling_service().cache.lease(model) as sampler:
        started = time.thread_time()
        first_items = plan.slice(0, items)
        # All work is done in this thread, whose CPU time is measured.
        batches = sampler.draw(first_items, Unshared())
        size = sum(len(chunk) for chunk in first_items.encode(spec.format, batches, {}))
        seconds = time.thread_time() - started
    return GenerationEstimate(
        items=spec.count,
        shards=spec.shards,
        bytes=round(spec.count / items * size),
        seconds=round(spec.count / items * seconds, 2),
        basis=f"Measured on the first {items} items, generated and encoded by the API.",
    )
