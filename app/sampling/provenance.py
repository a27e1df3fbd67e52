"""How each item of an answer can be drawn again."""

from collections.abc import Iterator
from typing import Any

from app.schemas.samples import SamplesRequest
from core.tables import Model
from models.images.sampling_plan import ImageSamplingPlan
from models.tabular.sampling_plan import RowSamplingPlan

Provenance = dict[str, Any]


def image_provenance(
    model: Model, order: ImageSamplingPlan, request: SamplesRequest
) -> Iterator[Provenance]:
    """In the order of the items: `label` and `index` of a seed are one image of a model."""
    names = [label["name"] for label in model.manifest["labels"]]
    about = _about(model, order.seed)
    if request.image.truncation != 1:
        about["truncation"] = request.image.truncation
    if request.min_label_confidence is not None:  # `index` is then the first candidate that will do
        about["min_label_confidence"] = request.min_label_confidence
    for labels, numbers in order.batches(1_024):
        for label, number in zip(labels.tolist(), numbers.tolist(), strict=True):
            yield {**about, "label": names[label] if names else None, "index": number}


def row_provenance(model: Model, order: RowSamplingPlan) -> Iterator[Provenance]:
    """`where` is what the row had to meet: `index` counts for each such condition alone."""
    about = _about(model, order.seed)
    for part in order.ranges:
        for number in range(part.start, part.stop):
            yield {
                **about,
                "where": part.conditions[number % len(part.conditions)],
                "index": number,
            }


def _about(model: Model, seed: int) -> Provenance:
    weights = model.weights["sha256"]
    return {"model": model.id, "sha256": weights, "step": model.step, "seed": seed}
