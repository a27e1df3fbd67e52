"""The first items of what a generation job would make: whether they can be made, how long they take
and how large they are."""

import time
from collections.abc import Iterator

from app.sampling import asked
from app.sampling.sampler import get_sampler
from app.schemas.jobs import GenerationEstimate, GenerationRequest
from app.schemas.samples import Asked
from core.datasets.images import writing as images
from core.datasets.rows import writing as rows
from core.generation import GenerationSpec
from core.tables import Model
from models.generator import Generator
from models.images import drawing as image_drawing
from models.tables import drawing as row_drawing
from models.tables.conditions import InvalidCondition, TooRare
from models.tables.order import RowOrder
from models.tables.sampling import RowSampler

ITEMS = 512


def check(model: Model, wanted: GenerationRequest, seed: int) -> None:
    """Raises Invalid when a condition cannot be met. Labels were checked before."""
    if wanted.conditions is None:
        return
    sampler = get_sampler()
    try:
        for part in asked.rows(model, wanted, seed).parts:
            with sampler.rows(model, RowOrder((part,), seed).slice(0, 1)) as drawing:
                next(drawing)
    except InvalidCondition as error:
        raise asked.invalid(wanted, error) from error
    except TooRare as error:
        raise asked.too_rare(error) from error


def estimate(
    model: Model, wanted: GenerationRequest, spec: GenerationSpec, seed: int
) -> GenerationEstimate:
    items = min(ITEMS, spec.count)
    with get_sampler().memory.using(model) as generator:
        started = time.thread_time()
        pieces = _first(model, generator, wanted, seed, items, spec.format)
        size = sum(len(piece) for piece in pieces)
        seconds = time.thread_time() - started
    return GenerationEstimate(
        items=spec.count,
        shards=spec.shards,
        bytes=round(spec.count / items * size),
        seconds=round(spec.count / items * seconds, 2),
        basis=f"the first {items} items, drawn and encoded here",
    )


def _first(
    model: Model, generator: Generator, wanted: Asked, seed: int, items: int, format: str
) -> Iterator[bytes]:
    """In this thread alone, whose time is measured."""
    if isinstance(generator, RowSampler):
        chunks = row_drawing.chunks(asked.rows(model, wanted, seed).slice(0, items))
        drawn = (row_drawing.drawn(generator, seed, *chunk).rows for chunk in chunks)
        return rows.encode(format, drawn, rows.columns_of(model.manifest), {})
    names = [label["name"] for label in model.manifest["labels"]]
    order = asked.images(model, wanted, seed).slice(0, items)
    batches = (
        (labels, image_drawing.drawn(generator, seed, labels, numbers))
        for labels, numbers in order.batches(generator.batch)
    )
    return images.encode(format, batches, names, count=items, image=model.manifest["image"])
