"""`/v1/models/{reference}/samples`: labelled samples out."""

import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import ValidationError

from app import error_handlers, strict_json
from app.authentication import Caller
from app.authentication import SampleScope as SamplerCaller
from app.sampling.concurrency_limit import ConcurrencyLimitedRoute, run_in_sampling_thread
from app.sampling.model_cache import first_readable
from app.schemas.samples import SamplesRequest
from core import evaluation, model_registry
from core.database import read
from core.datasets.media_types import IMAGE_MEDIA_TYPES, STRIP_MEDIA_TYPES, TABULAR_MEDIA_TYPES
from core.errors import ValidationFailed

router = APIRouter(prefix="/v1/models", tags=["samples"], route_class=ConcurrencyLimitedRoute)

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
            for media in (
                *IMAGE_MEDIA_TYPES.values(),
                *STRIP_MEDIA_TYPES.values(),
                *TABULAR_MEDIA_TYPES.values(),
            )
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
    request: SamplesRequest,
    caller: SamplerCaller,
    format: Format = None,
    accept: Accept = None,
) -> Response:
    """Draw samples by label and count.

    What is asked for is delivered, label by label. The same model version, seed and request give
    the same items, however they are paged. `Accept` chooses PNG (one image, or `layout: grid`), a
    zip of PNGs with labels.csv, a tar of PNGs (WebDataset), npz (`x`, `y`, `labels`) or JSON; of
    rows CSV, JSON, NDJSON, Parquet or Arrow. Rows are also asked for by `conditions`: those on the
    label alone are met directly, others by choosing among what is drawn; `Semblance-Acceptance-Rate`
    tells the share that was kept. Rows that are given in part (`partial_rows`) come back completed. A set
    of any size is made by a job of the kind `generation`.
    """
    return await run_in_sampling_thread(lambda: _answer(reference, request, caller, format, accept))


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
    balance_labels: Annotated[bool, Query()] = False,
    seed: Annotated[int | None, Query()] = None,
    offset: Annotated[int, Query()] = 0,
    layout: Annotated[Literal["grid"] | None, Query()] = None,
    checkpoint: Annotated[str | None, Query(description="best, latest, or a step")] = None,
    truncation: Annotated[float, Query()] = 1.0,
    interpolation: Annotated[str | None, Query(description="JSON, as in the POST body")] = None,
    ignore_quality_gate: Annotated[bool, Query()] = False,
    format: Format = None,
    accept: Accept = None,
) -> Response:
    """The same by query, for `<img src>` and curl: `?label=sneaker&count=4&seed=7`."""
    body: dict[str, Any] = {
        "count": count,
        "balance_labels": balance_labels,
        "seed": seed,
        "offset": offset,
        "layout": layout,
        "image": {"truncation": truncation},
        "ignore_quality_gate": ignore_quality_gate,
        "checkpoint": int(checkpoint) if checkpoint and checkpoint.isdecimal() else checkpoint,
    }
    if interpolation is not None:
        body["interpolation"] = strict_json.loads(interpolation.encode())
    if labels is not None:
        body["labels"] = strict_json.loads(labels.encode())
    if label is not None:
        if labels is not None:
            raise ValidationFailed("give either `label` or `labels`")
        body |= {"labels": {label: 1 if count is None else count}, "count": None}
    elif labels is None and count is None and interpolation is None:
        body["count"] = 1
    try:
        wanted = SamplesRequest.model_validate(body)
    except ValidationError as error:
        raise error_handlers.body_validation_failed(error, body) from error
    return await run_in_sampling_thread(lambda: _answer(reference, wanted, caller, format, accept))


def _answer(
    reference: str, wanted: SamplesRequest, caller: Caller, format: str | None, accept: str | None
) -> Response:
    wanted.check()
    with read() as session:
        models = model_registry.resolve_sampling_sources(
            session, caller.tenant_id, reference, wanted.checkpoint
        )
        standing = evaluation.require_quality_gate(
            session, models[0], ignore_quality_gate=wanted.ignore_quality_gate
        )
    seed = secrets.randbits(63) if wanted.seed is None else wanted.seed
    # torch, numpy, pyarrow: they may still be loading.
    from app.sampling import image_response, tabular_response

    model = first_readable(models)
    kinds = {"image": image_response.build_response, "tabular": tabular_response.build_response}
    answer = kinds[model.modality](model, wanted, seed, format=format, accept=accept)
    answer.headers["Semblance-Model"] = model.id
    answer.headers["Semblance-Quality"] = standing.quality
    if standing.gate_passed is not None:
        answer.headers["Semblance-Quality-Gate"] = "passed" if standing.gate_passed else "failed"
    answer.headers["Semblance-Step"] = str(model.step)
    answer.headers["Semblance-Seed"] = str(seed)
    answer.headers["Vary"] = "Accept"
    return answer
