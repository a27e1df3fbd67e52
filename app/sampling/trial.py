"""The first items of what a generation job would make: whether they can be made, how long they take
and how large they are."""

import time
from collections.abc import Iterator

from app.sampling import asked
from app.sampling.sampler import NoScores, get_sampler
from app.schemas.jobs import GenerationEstimate, GenerationRequest
from app.schemas.samples import Asked
from core.datasets.images import writing as images
from core.datasets.rows import writing as rows
from core.generation import GenerationSpec
from core.tables import Model
from models.generator import Generator
from models.images import drawing as image_drawing
from models.rarity import TooRare
from models.tables import drawing as row_drawing
from models.tables.conditions import InvalidCondition
from models.tables.order import RowOrder
from models.tables.sampling import RowSampler

ITEMS = 512


def check(model: Model, wanted: GenerationRequest, seed: int) -> None:
    """Raises Invalid when what is wanted beyond labels, which were checked, cannot be had."""
    sampler = get_sampler()
    try:
        if wanted.min_label_score is not None:
            first = asked.images(model, wanted, seed).slice(0, 1)
            with sampler.draw(model, first, least=wanted.min_label_score) as images_drawn:
                next(images_drawn)
        if wanted.conditions is None:
            return
        for part in asked.rows(model, wanted, seed).parts:
            with sampler.rows(model, RowOrder((part,), seed).slice(0, 1)) as drawing:
                next(drawing)
    except InvalidCondition as error:
        raise asked.invalid(wanted, error) from error
    except TooRare as error:
        raise asked.too_rare(error) from error
    except NoScores as error:
        raise asked.unscored("/min_label_score") from error


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
    batches = image_drawing.all_drawn(generator, order, wanted.min_label_score)
    return images.encode(format, batches, names, count=items, image=model.manifest["image"])
