"""`/v1/models/{reference}/samples`: labelled samples out."""

import difflib
import secrets
import unicodedata
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from app import json, negotiation, problems
from app.authentication import Caller
from app.authentication import Sampler as SamplerCaller
from app.sampling import formats
from app.sampling.order import Order, by_count, by_label
from app.schemas.samples import SamplesRequest
from app.strict import StrictRoute
from core import registry
from core.database import read
from core.errors import Fault, Invalid, UnknownLabel
from core.settings import get_settings
from core.tables import Model
from models.images.pictures import png, sheet

router = APIRouter(prefix="/v1/models", tags=["samples"], route_class=StrictRoute)

Accept = Annotated[str | None, Header()]
Format = Annotated[
    Literal["png", "zip", "npz", "json"] | None, Query(description="overrides `Accept`")
]
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the samples",
        "content": {media: {} for media in formats.MEDIA_TYPES.values()},
    }
}


@router.post("/{reference}/samples", response_class=Response, responses=RESPONSES)
def create_samples(
    reference: str,
    wanted: SamplesRequest,
    caller: SamplerCaller,
    format: Format = None,
    accept: Accept = None,
) -> Response:
    """Draw samples by label and count.

    What is asked for is delivered, label by label. The same model version, seed and request give
    the same items, however they are paged. `Accept` chooses PNG (one image, or `layout: grid`), a
    zip of PNGs with labels.csv, npz (`x`, `y`, `labels`) or JSON.
    """
    return _answer(reference, wanted, caller, format, accept)


@router.get("/{reference}/samples", response_class=Response, responses=RESPONSES)
def read_samples(
    reference: str,
    caller: SamplerCaller,
    label: Annotated[str | None, Query(description="one label; with `count`")] = None,
    labels: Annotated[str | None, Query(description="JSON, as in the POST body")] = None,
    count: Annotated[int | None, Query()] = None,
    balance: Annotated[bool, Query()] = False,
    seed: Annotated[int | None, Query()] = None,
    offset: Annotated[int, Query()] = 0,
    layout: Annotated[Literal["grid"] | None, Query()] = None,
    format: Format = None,
    accept: Accept = None,
) -> Response:
    """The same by query, for `<img src>` and curl: `?label=sneaker&count=4&seed=7`."""
    body: dict[str, Any] = {
        "count": count,
        "balance": balance,
        "seed": seed,
        "offset": offset,
        "layout": layout,
    }
    if labels is not None:
        body["labels"] = json.loads(labels.encode())
    if label is not None:
        if labels is not None:
            raise Invalid("give either `label` or `labels`")
        body |= {"labels": {label: 1 if count is None else count}, "count": None}
    elif labels is None and count is None:
        body["count"] = 1
    try:
        wanted = SamplesRequest.model_validate(body)
    except ValidationError as error:
        raise problems.parse_error(error, body) from error
    return _answer(reference, wanted, caller, format, accept)


def _answer(
    reference: str, wanted: SamplesRequest, caller: Caller, format: str | None, accept: str | None
) -> Response:
    with read() as session:
        model = registry.get(session, caller.tenant_id, reference)
    order = _order(model, wanted)
    single = order.count == 1 or wanted.layout == "grid"
    chosen = negotiation.choose(
        formats.MEDIA_TYPES, format=format, accept=accept, default="png" if single else "zip"
    )
    if chosen == "png" and not single:
        raise Invalid(
            "a PNG holds one image: ask for `layout: grid`, or for zip, npz or json",
            faults=[Fault("/layout", "missing", "must be grid for several images in one PNG")],
        )
    _check_size(order, wanted, chosen)

    from app.sampling.sampler import get_sampler  # torch, which may still be loading

    batches = get_sampler().draw(model, order)
    first = next(batches)  # errors of loading are answered with their own status
    body = _encode(chosen, chain([first], batches), model, order, wanted)
    headers = {
        "Semblance-Model": model.id,
        "Semblance-Seed": str(order.seed),
        "Semblance-Count": str(order.count),
        "Vary": "Accept",
    }
    media_type = formats.MEDIA_TYPES[chosen]
    if isinstance(body, bytes):
        return Response(body, headers=headers, media_type=media_type)
    headers["Content-Disposition"] = f'attachment; filename="samples.{chosen}"'
    return StreamingResponse(body, headers=headers, media_type=media_type)


def _order(model: Model, wanted: SamplesRequest) -> Order:
    if (wanted.labels is None) == (wanted.count is None):
        raise Invalid("give either `labels` or `count`")
    seed = secrets.randbits(63) if wanted.seed is None else wanted.seed
    learned = model.manifest["labels"]
    shares = tuple(float(label["count"]) for label in learned)
    if wanted.labels is None:
        assert wanted.count is not None  # noqa: S101 - one of the two is given
        return by_count(
            wanted.count, seed=seed, offset=wanted.offset, shares=shares, balance=wanted.balance
        )
    if wanted.balance:
        raise Invalid("`balance` goes with `count`", faults=[Fault("/balance", "conflict", "drop")])
    index = {label["name"]: i for i, label in enumerate(learned)}
    asked: dict[str, int] = {}
    for written, n in wanted.labels.items():
        name = unicodedata.normalize("NFC", written)  # as datasets keep their labels
        asked[name] = asked.get(name, 0) + n
    _check_labels(model, asked, list(index))
    counts = {index[name]: n for name, n in asked.items()}
    return by_label(counts, seed=seed, offset=wanted.offset, shares=shares)


def _check_labels(model: Model, asked: dict[str, int], known: list[str]) -> None:
    unknown = [name for name in asked if name not in known]
    if not unknown:
        return
    if not known:
        raise UnknownLabel(f"{model.name}:{model.version} was trained without labels; use `count`")
    faults = []
    for name in unknown[:20]:
        near = difflib.get_close_matches(name, known, 3, 0.6) or known[:20]
        pointer = "/labels/" + name.replace("~", "~0").replace("/", "~1")
        faults.append(Fault(pointer, "unknown_label", "not a label of this model", tuple(near)))
    raise UnknownLabel(
        f"{model.name}:{model.version} has no label {unknown[0]!r}; `conditions` lists them",
        faults=faults,
    )


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
    chosen: str, batches: formats.Batches, model: Model, order: Order, wanted: SamplesRequest
) -> bytes | Iterator[bytes]:
    labels = [label["name"] for label in model.manifest["labels"]]
    if chosen == "png":
        images = np.concatenate([images for _, images in batches])
        if wanted.layout != "grid":
            return png(images[0])
        return png(sheet(images, _columns(order)))
    if chosen == "zip":
        return formats.zip_of_pngs(batches, labels)
    if chosen == "npz":
        image = model.manifest["image"]
        colour = (3,) if image["channels"] == 3 else ()
        shape = (image["height"], image["width"], *colour)
        return formats.npz(batches, labels, order.count, shape)
    head: dict[str, object] = {
        "model": model.id,
        "seed": order.seed,
        "offset": wanted.offset,
        "count": order.count,
    }
    return formats.json_items(batches, labels, head)


def _columns(order: Order) -> int:
    """A row for each label when all ask for the same number, else nearly a square."""
    lengths = {run.stop - run.start for run in order.runs}
    if len(order.runs) > 1 and len(lengths) == 1 and (length := lengths.pop()) <= 64:
        return length
    return int(np.ceil(np.sqrt(order.count)))
