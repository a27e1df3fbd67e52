"""`/v1/models/{reference}/samples`: labelled samples out."""

import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import ValidationError

from app import json, problems
from app.authentication import Caller
from app.authentication import Sampler as SamplerCaller
from app.sampling.admission import AdmittedRoute, in_thread
from app.sampling.memory import first_whole
from app.schemas.samples import SamplesRequest
from core import evaluation, registry
from core.database import read
from core.datasets.media_types import MEDIA_TYPES, ROW_MEDIA_TYPES, STRIP
from core.errors import Invalid

router = APIRouter(prefix="/v1/models", tags=["samples"], route_class=AdmittedRoute)

Accept = Annotated[str | None, Header()]
Format = Annotated[
    Literal["png", "gif", "zip", "npz", "tar", "json", "csv", "ndjson", "parquet", "arrow"] | None,
    Query(description="overrides `Accept`"),
]
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the samples",
        "content": {
            media: {}
            for media in (*MEDIA_TYPES.values(), *STRIP.values(), *ROW_MEDIA_TYPES.values())
        },
    }
}


@router.post(
    "/{reference}/samples",
    response_class=Response,
    responses=RESPONSES,
)
async def create_samples(
    reference: str,
    wanted: SamplesRequest,
    caller: SamplerCaller,
    format: Format = None,
    accept: Accept = None,
) -> Response:
    """Draw samples by label and count.

    What is asked for is delivered, label by label. The same model version, seed and request give
    the same items, however they are paged. `Accept` chooses PNG (one image, or `layout: grid`), a
    zip of PNGs with labels.csv, a tar of PNGs (WebDataset), npz (`x`, `y`, `labels`) or JSON; of
    rows CSV, JSON, NDJSON, Parquet or Arrow. Rows are also asked for by `conditions`: those on the
    label alone are met directly, others by choosing among what is drawn; `Semblance-Acceptance`
    tells the share that was kept. Rows of which some values are `known` come back completed. A set
    of any size is made by a job of the kind `generation`.
    """
    return await in_thread(lambda: _answer(reference, wanted, caller, format, accept))


@router.get(
    "/{reference}/samples",
    response_class=Response,
    responses=RESPONSES,
)
async def read_samples(
    reference: str,
    caller: SamplerCaller,
    label: Annotated[str | None, Query(description="one label; with `count`")] = None,
    labels: Annotated[str | None, Query(description="JSON, as in the POST body")] = None,
    count: Annotated[int | None, Query()] = None,
    balance: Annotated[bool, Query()] = False,
    seed: Annotated[int | None, Query()] = None,
    offset: Annotated[int, Query()] = 0,
    layout: Annotated[Literal["grid"] | None, Query()] = None,
    checkpoint: Annotated[str | None, Query(description="best, latest, or a step")] = None,
    truncation: Annotated[float, Query()] = 1.0,
    interpolation: Annotated[str | None, Query(description="JSON, as in the POST body")] = None,
    allow_unaccepted: Annotated[bool, Query()] = False,
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
        "image": {"truncation": truncation},
        "allow_unaccepted": allow_unaccepted,
        "checkpoint": int(checkpoint) if checkpoint and checkpoint.isdecimal() else checkpoint,
    }
    if interpolation is not None:
        body["interpolation"] = json.loads(interpolation.encode())
    if labels is not None:
        body["labels"] = json.loads(labels.encode())
    if label is not None:
        if labels is not None:
            raise Invalid("give either `label` or `labels`")
        body |= {"labels": {label: 1 if count is None else count}, "count": None}
    elif labels is None and count is None and interpolation is None:
        body["count"] = 1
    try:
        wanted = SamplesRequest.model_validate(body)
    except ValidationError as error:
        raise problems.parse_error(error, body) from error
    return await in_thread(lambda: _answer(reference, wanted, caller, format, accept))


def _answer(
    reference: str, wanted: SamplesRequest, caller: Caller, format: str | None, accept: str | None
) -> Response:
    wanted.check()
    with read() as session:
        models = registry.drawable(session, caller.tenant_id, reference, wanted.checkpoint)
        standing = evaluation.check_accepted(session, models[0], allowed=wanted.allow_unaccepted)
    seed = secrets.randbits(63) if wanted.seed is None else wanted.seed
    # torch, numpy, pyarrow: they may still be loading.
    from app.sampling import image_answer, row_answer

    model = first_whole(models)
    kinds = {"images": image_answer.answer, "rows": row_answer.answer}
    answer = kinds[model.kind](model, wanted, seed, format=format, accept=accept)
    answer.headers["Semblance-Model"] = model.id
    answer.headers["Semblance-Quality"] = standing.quality
    if standing.accepted is not None:
        answer.headers["Semblance-Accepted"] = str(standing.accepted).lower()
    answer.headers["Semblance-Step"] = str(model.step)
    answer.headers["Semblance-Seed"] = str(seed)
    answer.headers["Vary"] = "Accept"
    return answer
