"""What is answered when images are asked for."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from fastapi import Response

from app import negotiation
from app.sampling import asked, labels, recipes
from app.sampling.sampler import ChosenDrawing, NoScores, get_sampler
from app.sampling.streamed import Streamed
from app.schemas.samples import Interpolation, SamplesRequest, Spot
from core.datasets.images import writing
from core.datasets.media_types import MEDIA_TYPES, STRIP
from core.errors import Fault, Invalid
from core.settings import get_settings
from core.tables import Model
from models.images.interpolation import Item
from models.images.order import Order
from models.images.pictures import gif, sheet
from models.images.sampling import ImageSampler
from models.rarity import TooRare


def answer(
    model: Model, wanted: SamplesRequest, seed: int, *, format: str | None, accept: str | None
) -> Response:
    """Raises Invalid and NotAcceptable before anything is drawn."""
    if wanted.interpolation is not None:
        return _strip(model, wanted, wanted.interpolation, format=format, accept=accept)
    for name in ("known", "refuse_copies"):
        if getattr(wanted, name):
            fault = Fault(f"/{name}", "not_allowed", "images are asked for by label")
            raise Invalid(f"`{name}` is for table rows", faults=[fault])
    order = asked.images(model, wanted, seed)
    single = order.count == 1 or wanted.layout == "grid"
    chosen = negotiation.choose(
        MEDIA_TYPES, format=format, accept=accept, default="png" if single else "zip"
    )
    if chosen == "png" and not single:
        raise Invalid(
            "a PNG holds one image: ask for `layout: grid`, or for zip, npz or json",
            faults=[Fault("/layout", "missing", "must be grid for several images in one PNG")],
        )
    _check_size(order, wanted, chosen)
    _check_include(wanted, chosen)
    try:
        drawing = get_sampler().draw(
            model, order, wanted.image.truncation, least=wanted.min_label_score
        )
    except NoScores as error:
        raise asked.unscored("/min_label_score") from error
    headers = {"Semblance-Count": str(order.count)}
    try:
        first = next(drawing)  # what goes wrong at once is answered with a status of its own
        if isinstance(drawing, ChosenDrawing):
            headers["Semblance-Acceptance"] = f"{drawing.acceptance:.4f}"  # of the first images
        body = _encode(chosen, chain([first], drawing), model, order, wanted, drawing.generator)
    except TooRare as error:
        drawing.close()
        raise asked.too_rare(error) from error
    except BaseException:
        drawing.close()
        raise
    media_type = MEDIA_TYPES[chosen]
    if isinstance(body, bytes):
        return Response(body, headers=headers, media_type=media_type)
    headers["Content-Disposition"] = f'attachment; filename="samples.{chosen}"'
    return Streamed(body, drawing.close, headers=headers, media_type=media_type)


def _strip(
    model: Model,
    wanted: SamplesRequest,
    way: Interpolation,
    *,
    format: str | None,
    accept: str | None,
) -> Response:
    """The images between two, in a row or one after the other."""
    chosen = negotiation.choose(STRIP, format=format, accept=accept, default="png")
    ends = _item(model, way.start), _item(model, way.end)
    images = get_sampler().between(model, ends, way.steps, wanted.image.truncation)
    if chosen == "gif":
        body = gif([writing.png(image) for image in images])
    else:
        body = writing.png(sheet(images, way.steps))
    return Response(body, headers={"Semblance-Count": str(way.steps)}, media_type=STRIP[chosen])


def _item(model: Model, spot: Spot) -> Item:
    known = [label["name"] for label in model.manifest["labels"]]
    if spot.label is None:
        if known:
            fault = Fault("/interpolation", "missing", "needs a `label`", tuple(known[:20]))
            raise Invalid("each end of an interpolation needs a `label`", faults=[fault])
        return Item(spot.seed, 0, spot.number)
    (name,) = labels.counted(model, {spot.label: 1})
    return Item(spot.seed, known.index(name), spot.number)


def _check_include(wanted: SamplesRequest, chosen: str) -> None:
    if wanted.include and chosen != "json":
        fault = Fault("/include", "not_allowed", "goes with JSON")
        raise Invalid("`include` goes with JSON", faults=[fault])


def _check_size(order: Order, wanted: SamplesRequest, chosen: str) -> None:
    limits = get_settings().limits
    limit = limits.samples
    if chosen == "json":
        limit = limits.json_samples
    elif wanted.layout == "grid":
        limit = limits.grid_samples
    if order.count > limit:
        raise Invalid(
            f"{order.count} items are more than the {limit} that one {chosen} answer may hold; "
            "a job of the kind `generation` makes a set of any size",
            code="too_many_samples",
            limit=limit,
        )


def _encode(
    chosen: str,
    batches: writing.Batches,
    model: Model,
    order: Order,
    wanted: SamplesRequest,
    generator: ImageSampler,
) -> bytes | Iterator[bytes]:
    names = [label["name"] for label in model.manifest["labels"]]
    if chosen == "png":
        images = np.concatenate([images for _, images in batches])
        if wanted.layout != "grid":
            return writing.png(images[0])
        return writing.png(sheet(images, _columns(order)))
    if chosen != "json":
        image = model.manifest["image"]
        return writing.encode(chosen, batches, names, count=order.count, image=image)
    head: dict[str, object] = {
        "model": model.id,
        "seed": order.seed,
        "offset": wanted.offset,
        "count": order.count,
    }
    if "recipe" in wanted.include:
        head["recipes"] = list(recipes.of_images(model, order, wanted))
    if "scores" in wanted.include:
        drawn = list(batches)  # not many, as they go into JSON
        labels, pixels = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        head["scores"] = get_sampler().scores(generator, pixels, labels)
        if not head["scores"]:
            raise asked.unscored("/include")
        batches = iter(drawn)
    return writing.json_items(batches, names, head)


def _columns(order: Order) -> int:
    """A row for each label when all ask for the same number, else nearly a square."""
    lengths = {run.stop - run.start for run in order.runs}
    if len(order.runs) > 1 and len(lengths) == 1 and (length := lengths.pop()) <= 64:
        return length
    return int(np.ceil(np.sqrt(order.count)))
