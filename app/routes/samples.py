"""`/v1/models/{reference}/samples`: synchronous sampling."""

import secrets
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError

from app import strict_json
from app.authentication import Caller, SampleScope, check_scope
from app.content_negotiation import AcceptHeader
from app.fairness.route import FairRoute
from app.http_methods import is_match
from app.openapi_responses import responses
from app.sampling.concurrency_limit import SamplingPlace, sampling_threads
from app.sampling.model_cache import first_readable
from app.schemas.samples import SamplesRequest, SamplesView
from core import evaluation, model_registry, validation_errors
from core.database import read
from core.errors import ValidationFailed
from modalities import registry

router = APIRouter(prefix="/v1/models", tags=["samples"], route_class=FairRoute)

Format = Annotated[
    registry.SampleFormat | None, Query(description="File format; overrides `Accept`.")
]
MEDIA_TYPES = {
    media: None
    for modality in registry.installed().values()
    for media in modality.sample_formats.values()
    if media != "application/json"
}
HEADERS = (
    "Semblance-Model",
    "Semblance-Step",
    "Semblance-Seed",
    "Semblance-Count",
    "Semblance-Quality",
    "Semblance-Quality-Gate",
    "Semblance-Acceptance-Rate",
    "Content-Disposition",
    "Vary",
)


@router.post(
    "/{reference}/samples",
    response_class=Response,
    responses=responses(
        *MEDIA_TYPES, headers=HEADERS, description="The samples.", model=SamplesView
    ),
)
async def create_samples(
    reference: str,
    request: SamplesRequest,
    caller: SampleScope,
    _place: SamplingPlace,
    format: Format = None,
    accept: AcceptHeader = None,
) -> Response:
    """Generate samples by label and count.

    The requested number of samples of each label is returned exactly, label by label. The same
    model version, seed and request give the same samples, however they are paged.

    `Accept` selects the format. Images: PNG (one image, or `layout: grid`), a zip of PNGs with
    labels.csv, a tar of PNGs (WebDataset), npz (`x`, `y`, `labels`) or JSON. Rows: CSV, JSON,
    NDJSON, Parquet or Arrow.

    Rows can also be requested by `conditions`. Conditions on the label alone are met directly,
    other conditions by rejection sampling; the header `Semblance-Acceptance-Rate` is the fraction
    of accepted candidates. `partial_rows` are returned with the missing values generated.

    For larger sets of samples, create a job of the kind `generation`.
    """
    return await sampling_threads.run(
        caller.tenant_id, _respond, reference, request, caller, format, accept
    )


@router.get(
    "/{reference}/samples",
    response_class=Response,
    responses=responses(
        *MEDIA_TYPES, headers=(*HEADERS, "ETag"), description="The samples.", model=SamplesView
    ),
)
async def read_samples(
    http_request: Request,
    reference: str,
    caller: SampleScope,
    _place: SamplingPlace,
    label: Annotated[str | None, Query(description="One label. `count` defaults to 1.")] = None,
    labels: Annotated[
        str | None, Query(description="Number of samples by label: JSON, as in the POST body.")
    ] = None,
    count: Annotated[
        int | None, Query(description="Number of samples. Default: 1 without `labels`.")
    ] = None,
    balance_labels: Annotated[
        bool, Query(description="Generate the same number of samples of each label.")
    ] = False,
    seed: Annotated[int | None, Query(description="Random seed. Default: a random one.")] = None,
    offset: Annotated[int, Query(description="Index of the first sample.")] = 0,
    layout: Annotated[
        Literal["grid"] | None,
        Query(description="`grid` puts all images into one PNG, with names of labels."),
    ] = None,
    checkpoint: Annotated[
        str | None, Query(description="`best`, `latest` or a step. Default: the model's weights.")
    ] = None,
    truncation: Annotated[
        float, Query(description="Factor for the latent noise of images, from 0 to 1.")
    ] = 1.0,
    interpolation: Annotated[
        str | None, Query(description="Path between two images: JSON, as in the POST body.")
    ] = None,
    ignore_quality_gate: Annotated[
        bool, Query(description="Use the model even if it fails its quality gate.")
    ] = False,
    format: Format = None,
    accept: AcceptHeader = None,
) -> Response:
    """Generate samples by query parameters, for `<img src>` and curl.

    Example: `?label=sneaker&count=4&seed=7`. With a seed, the response has an `ETag`, by which a
    browser finds that its stored samples are still those of the model.
    """
    step: int | str | None = checkpoint
    if checkpoint and checkpoint.isdecimal() and len(checkpoint) <= 18:
        step = int(checkpoint)  # Python refuses to convert texts of more than 4,300 digits
    body: dict[str, Any] = {
        "count": count,
        "balance_labels": balance_labels,
        "seed": seed,
        "offset": offset,
        "layout": layout,
        "image": {"truncation": truncation},
        "ignore_quality_gate": ignore_quality_gate,
        "checkpoint": step,
    }
    if interpolation is not None:
        body["interpolation"] = strict_json.loads(
            interpolation.encode(), "The parameter `interpolation`"
        )
    if labels is not None:
        body["labels"] = strict_json.loads(labels.encode(), "The parameter `labels`")
    if label is not None:
        if labels is not None:
            raise ValidationFailed("Send either `label` or `labels`, not both.")
        body |= {"labels": {label: 1 if count is None else count}, "count": None}
    elif labels is None and count is None and interpolation is None:
        body["count"] = 1
    try:
        request = SamplesRequest.model_validate(body)
    except ValidationError as error:
        raise validation_errors.body_validation_failed(error, SamplesRequest, body) from error
    is_cached = None
    if seed is not None:
        is_cached = partial(is_match, http_request.headers.get("if-none-match"))
    return await sampling_threads.run(
        caller.tenant_id, _respond, reference, request, caller, format, accept, is_cached
    )


def _respond(
    reference: str,
    request: SamplesRequest,
    caller: Caller,
    format: str | None,
    accept: str | None,
    is_cached: Callable[[str], bool] | None = None,
) -> Response:
    with read() as session:
        models = model_registry.resolve_sampling_sources(
            session, caller.tenant_id, reference, request.checkpoint
        )
        quality = evaluation.require_quality_gate(
            session, models[0], ignore_quality_gate=request.ignore_quality_gate
        )
    for name in registry.get(models[0].modality).training_data_options:
        if getattr(request, name):
            check_scope(caller, "data:read")
    seed = secrets.randbits(63) if request.seed is None else request.seed
    from app.sampling.response import build_response  # torch and numpy are slow to load

    model = first_readable(models)
    response = build_response(
        model, request, seed, caller, format=format, accept=accept, is_cached=is_cached
    )
    response.headers["Semblance-Model"] = model.id
    response.headers["Semblance-Quality"] = quality.quality
    if quality.gate_passed is not None:
        response.headers["Semblance-Quality-Gate"] = "passed" if quality.gate_passed else "failed"
    response.headers["Semblance-Step"] = str(model.step)
    response.headers["Semblance-Seed"] = str(seed)
    response.headers["Vary"] = "Accept"
    return response
