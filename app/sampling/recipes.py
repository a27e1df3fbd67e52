"""How each item of an answer can be drawn again."""

from collections.abc import Iterator
from typing import Any

from app.schemas.samples import SamplesRequest
from core.tables import Model
from models.images.order import Order
from models.tables.order import RowOrder

Recipe = dict[str, Any]


def of_images(model: Model, order: Order, wanted: SamplesRequest) -> Iterator[Recipe]:
    """In the order of the items: `label` and `number` of a seed are one image of a model."""
    names = [label["name"] for label in model.manifest["labels"]]
    about = _about(model, order.seed)
    if wanted.image.truncation != 1:
        about["truncation"] = wanted.image.truncation
    if wanted.min_label_score is not None:  # `number` is then the first candidate that will do
        about["min_label_score"] = wanted.min_label_score
    for labels, numbers in order.batches(1_024):
        for label, number in zip(labels.tolist(), numbers.tolist(), strict=True):
            yield {**about, "label": names[label] if names else None, "number": number}


def of_rows(model: Model, order: RowOrder) -> Iterator[Recipe]:
    """`where` is what the row had to meet: `number` counts for each such condition alone."""
    about = _about(model, order.seed)
    for part in order.parts:
        for number in range(part.start, part.stop):
            yield {**about, "where": part.wheres[number % len(part.wheres)], "number": number}


def _about(model: Model, seed: int) -> Recipe:
    weights = model.weights["sha256"]
    return {"model": model.id, "sha256": weights, "step": model.step, "seed": seed}
