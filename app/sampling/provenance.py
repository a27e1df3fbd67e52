"""Provenance of samples: the inputs from which each of them can be generated again."""

from collections.abc import Iterator
from typing import Any

from app.schemas.samples import SamplesRequest
from core.tables import Model
from models.images.sampling_plan import ImageSamplingPlan
from models.tabular.sampling_plan import RowSamplingPlan

Provenance = dict[str, Any]


def image_provenance(
    model: Model, plan: ImageSamplingPlan, request: SamplesRequest
) -> Iterator[Provenance]:
    """Yield the record of each image, in order. Seed, `label` and `index` identify it."""
    names = [label["name"] for label in model.manifest["labels"]]
    common = _common_fields(model, plan.seed)
    if request.image.truncation != 1:
        common["truncation"] = request.image.truncation
    if request.min_label_confidence is not None:  # `index` is then the first accepted candidate
        common["min_label_confidence"] = request.min_label_confidence
    for labels, indices in plan.batches(1_024):
        for label, index in zip(labels.tolist(), indices.tolist(), strict=True):
            yield {**common, "label": names[label] if names else None, "index": index}


def row_provenance(model: Model, plan: RowSamplingPlan) -> Iterator[Provenance]:
    """Yield the record of each row, in order.

    `where` is the condition of the row; `index` counts the rows of that condition.
    """
    common = _common_fields(model, plan.seed)
    for index_range in plan.ranges:
        conditions = index_range.conditions
        for index in range(index_range.start, index_range.stop):
            yield {**common, "where": conditions[index % len(conditions)], "index": index}


def _common_fields(model: Model, seed: int) -> Provenance:
    weights = model.weights["sha256"]
    return {"model": model.id, "sha256": weights, "step": model.step, "seed": seed}
