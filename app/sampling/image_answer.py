"""What is answered when images are asked for."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from fastapi import Response
from fastapi.responses import StreamingResponse

from app import negotiation
from app.sampling import labels
from app.sampling.sampler import get_sampler
from app.schemas.samples import SamplesRequest
from core.datasets.images import writing
from core.datasets.media_types import MEDIA_TYPES
from core.errors import Fault, Invalid
from core.settings import get_settings
from core.tables import Model
from models.images.order import Order, by_count, by_label
from models.images.pictures import sheet


def answer(
    model: Model, wanted: SamplesRequest, seed: int, *, format: str | None, accept: str | None
) -> Response:
    """Raises Invalid and NotAcceptable before anything is drawn."""
    order = _order(model, wanted, seed)
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
    batches = get_sampler().draw(model, order)
    first = next(batches)  # errors of loading are answered with their own status
    body = _encode(chosen, chain([first], batches), model, order, wanted)
    headers = {"Semblance-Count": str(order.count)}
    media_type = MEDIA_TYPES[chosen]
    if isinstance(body, bytes):
        return Response(body, headers=headers, media_type=media_type)
    headers["Content-Disposition"] = f'attachment; filename="samples.{chosen}"'
    return StreamingResponse(body, headers=headers, media_type=media_type)


def _order(model: Model, wanted: SamplesRequest, seed: int) -> Order:
    if wanted.conditions is not None:
        fault = Fault("/conditions", "not_allowed", "images are asked for by label")
        raise Invalid("`conditions` are for table rows; use `labels`", faults=[fault])
    if wanted.known is not None:
        fault = Fault("/known", "not_allowed", "images are asked for by label")
        raise Invalid("`known` is for table rows; use `labels`", faults=[fault])
    if wanted.refuse_copies:
        fault = Fault("/refuse_copies", "not_allowed", "of table rows only")
        raise Invalid("`refuse_copies` is for table rows", faults=[fault])
    learned = model.manifest["labels"]
    shares = tuple(float(label["count"]) for label in learned)
    if wanted.labels is None:
        assert wanted.count is not None  # noqa: S101 - one of the two is given
        return by_count(
            wanted.count, seed=seed, offset=wanted.offset, shares=shares, balance=wanted.balance
        )
    index = {label["name"]: i for i, label in enumerate(learned)}
    counts = {index[name]: n for name, n in labels.counted(model, wanted.labels).items()}
    return by_label(counts, seed=seed, offset=wanted.offset, shares=shares)


def _check_size(order: Order, wanted: SamplesRequest, chosen: str) -> None:
    limits = get_settings().limits
    limit = limits.samples
    if chosen == "json":
        limit = limits.json_samples
    elif wanted.layout == "grid":
        limit = limits.grid_samples
    if order.count > limit:
        raise Invalid(
            f"{order.count} items are more than the {limit} that one {chosen} answer may hold",
            code="too_many_samples",
            limit=limit,
        )


def _encode(
    chosen: str, batches: writing.Batches, model: Model, order: Order, wanted: SamplesRequest
) -> bytes | Iterator[bytes]:
    names = [label["name"] for label in model.manifest["labels"]]
    if chosen == "png":
        images = np.concatenate([images for _, images in batches])
        if wanted.layout != "grid":
            return writing.png(images[0])
        return writing.png(sheet(images, _columns(order)))
    if chosen == "zip":
        return writing.zip_of_pngs(batches, names)
    if chosen == "npz":
        image = model.manifest["image"]
        colour = (3,) if image["channels"] == 3 else ()
        shape = (image["height"], image["width"], *colour)
        return writing.npz(batches, names, order.count, shape)
    head: dict[str, object] = {
        "model": model.id,
        "seed": order.seed,
        "offset": wanted.offset,
        "count": order.count,
    }
    return writing.json_items(batches, names, head)


def _columns(order: Order) -> int:
    """A row for each label when all ask for the same number, else nearly a square."""
    lengths = {run.stop - run.start for run in order.runs}
    if len(order.runs) > 1 and len(lengths) == 1 and (length := lengths.pop()) <= 64:
        return length
    return int(np.ceil(np.sqrt(order.count)))
