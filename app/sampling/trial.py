"""The first items of what a generation job would make: whether they can be made, how long they take
and how large they are."""

import time
from collections.abc import Iterator

from app.sampling import asked
from app.sampling.sampler import get_sampler
from app.schemas.jobs import GenerationEstimate, GenerationRequest
from core.datasets.images import writing as images
from core.datasets.rows import writing as rows
from core.generation import GenerationSpec
from core.tables import Model
from models.tables.conditions import InvalidCondition, TooRare
from models.tables.order import RowOrder

ITEMS = 512


def check(model: Model, wanted: GenerationRequest, seed: int) -> None:
    """Raises Invalid when a condition cannot be met. Labels were checked before."""
    if wanted.conditions is None:
        return
    sampler = get_sampler()
    try:
        for part in asked.rows(model, wanted, seed).parts:
            list(sampler.rows(model, RowOrder((part,), seed).slice(0, 1)))
    except InvalidCondition as error:
        raise asked.invalid(wanted, error) from error
    except TooRare as error:
        raise asked.too_rare(error) from error


def estimate(
    model: Model, wanted: GenerationRequest, spec: GenerationSpec, seed: int
) -> GenerationEstimate:
    items = min(ITEMS, spec.count)
    get_sampler().load(model)
    started = time.thread_time()
    size = sum(len(piece) for piece in _first(model, wanted, seed, items, spec.format))
    seconds = time.thread_time() - started
    return GenerationEstimate(
        items=spec.count,
        shards=spec.shards,
        bytes=round(spec.count / items * size),
        seconds=round(spec.count / items * seconds, 2),
        basis=f"the first {items} items, drawn and encoded here",
    )


def _first(
    model: Model, wanted: GenerationRequest, seed: int, items: int, format: str
) -> Iterator[bytes]:
    if model.kind == "rows":
        order = asked.rows(model, wanted, seed).slice(0, items)
        drawn = (part.rows for part in get_sampler().rows(model, order))
        return rows.encode(format, drawn, rows.columns_of(model.manifest), {})
    names = [label["name"] for label in model.manifest["labels"]]
    batches = get_sampler().draw(model, asked.images(model, wanted, seed).slice(0, items))
    about = {"count": items, "image": model.manifest["image"]}
    return images.encode(format, batches, names, **about)
