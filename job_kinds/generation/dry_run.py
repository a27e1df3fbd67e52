"""Dry run of a generation job.

It generates the first samples to validate the request and to estimate time and size.
"""

import time

from core.generation import GenerationSpec
from core.tables import Model
from job_kinds.base import OpenStream
from job_kinds.generation.request import GenerationEstimate
from modalities.sampling import SelectionPlan
from modalities.turns import Unshared

DRY_RUN_ITEMS = 512


def check_plan(model: Model, plan: SelectionPlan, open_stream: OpenStream) -> None:
    """Check by sampling that the model can meet each condition of a plan.

    Raises:
        ValidationFailed: It cannot.
    """
    for probe in plan.probes():
        with open_stream(model, probe) as stream:
            next(stream)


def estimate(
    model: Model, plan: SelectionPlan, spec: GenerationSpec, open_stream: OpenStream
) -> GenerationEstimate:
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
