"""Response to a samples request, whose samples are generated while it is sent."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from itertools import chain
from typing import Any

from fastapi import Response
from starlette.types import Receive

from app import content_negotiation, quotas
from app.authentication import Caller
from app.fairness.streaming import FairStreamingResponse
from app.sampling.batcher import ClientDisconnected
from app.sampling.concurrency_limit import sampling_threads
from app.sampling.service import SampleStream, get_sampling_service
from app.schemas.samples import SamplesRequest
from core.errors import FieldError, ValidationFailed
from core.settings import get_settings
from core.tables import Model
from modalities import registry
from modalities.sampling import Batch, SamplingPlan, too_many_samples

# A name may refer to a newer version later, so a stored response is checked each time.
CACHE_HEADERS = {"Cache-Control": "private, no-cache"}


def build_response(
    model: Model,
    request: SamplesRequest,
    seed: int,
    caller: Caller,
    *,
    format: str | None,
    accept: str | None,
    is_cached: Callable[[str], bool] | None = None,
) -> Response:
    """Generate the first samples and return a response that streams all of them.

    With `is_cached`, the response has an ETag, and is 304 without samples if the client has them.

    Raises:
        NotAcceptable: No requested format is available.
        ValidationFailed: The request does not fit the model, or too few candidates of the first
            samples of a condition are accepted.
        QuotaExceeded: The key or the tenant has requested too many samples in the last minute.
        Unavailable: The model cannot be loaded.
    """
    modality = registry.get(model.modality)
    options = registry.own_options(request, modality, "sample_options")
    plan = modality.plan_samples(model.manifest, request, options, seed)
    output_format = content_negotiation.negotiate(
        plan.formats, format=format, accept=accept, default=next(iter(plan.formats))
    )
    _check_format(plan, request, output_format)
    cache_headers = {}
    if is_cached is not None:
        etag = _etag(model, request, seed, output_format)
        cache_headers = {"ETag": etag} | CACHE_HEADERS
        if is_cached(etag):
            return Response(status_code=304, headers=cache_headers)
    quotas.count_samples(caller, plan.count)
    stream = SampleStream(get_sampling_service(), model, plan)
    try:
        # Before the headers are sent, an error can still be reported with its HTTP status.
        batches = [next(stream)]
        if len(batches[0]) < plan.count:
            for probe in plan.probes()[1:]:
                with SampleStream(get_sampling_service(), model, probe) as samples_of_condition:
                    next(samples_of_condition)
        head: dict[str, Any] = {
            "model": model.id,
            "seed": seed,
            "offset": request.offset,
            "count": plan.count,
        }
        if "provenance" in request.include:
            head["provenance"] = _provenance(model, plan, seed)
        if "scores" in request.include:
            batches += stream  # fits in memory: JSON has a low limit
            head["scores"] = _scores(stream, batches)
        body = plan.encode(output_format, chain(batches, stream), head)
        headers = _headers(plan, batches[0]) | cache_headers
        media_type = plan.formats[output_format]
        if output_format not in plan.documents:
            headers["Content-Disposition"] = f'attachment; filename="samples.{output_format}"'
        # Each chunk of a streamed body is one more wait for a thread.
        if output_format in plan.documents or len(batches[0]) == plan.count:
            return Response(b"".join(body), headers=headers, media_type=media_type)
    except BaseException:
        stream.close()
        raise
    return SampleStreamingResponse(
        model.tenant_id, body, stream.close, headers=headers, media_type=media_type
    )


def _etag(model: Model, request: SamplesRequest, seed: int, output_format: str) -> str:
    """Return a tag of all that the samples depend on.

    It is weak: the samples of another device may differ in their last bits.
    """
    weights, fields = model.weights["sha256"], request.model_dump(mode="json")
    inputs = [model.id, weights, fields, seed, output_format, version("semblance-server")]
    return f'W/"{sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:32]}"'


def _check_format(plan: SamplingPlan, request: SamplesRequest, output_format: str) -> None:
    limits = get_settings().limits
    limit = limits.json_samples if output_format == "json" else limits.samples
    if plan.count > limit:
        raise too_many_samples(plan.count, limit, output_format)
    plan.check_format(output_format)
    if request.include and output_format != "json":
        error = FieldError("/include", "not_allowed", "Requires the format JSON.")
        raise ValidationFailed("`include` requires the format JSON.", field_errors=[error])


def _provenance(model: Model, plan: SamplingPlan, seed: int) -> list[Mapping[str, Any]]:
    """Return the inputs from which each sample can be generated again."""
    weights = model.weights["sha256"]
    common = {"model": model.id, "sha256": weights, "step": model.step, "seed": seed}
    return [{**common, **inputs} for inputs in plan.provenance()]


def _scores(stream: SampleStream, batches: Sequence[Batch]) -> list[Mapping[str, float]]:
    scores: list[Mapping[str, float]] = []
    for batch in batches:
        with stream.take():
            scores += stream.sampler.scores(batch)
    return scores


def _headers(plan: SamplingPlan, first: Batch) -> dict[str, str]:
    headers = {"Semblance-Count": str(plan.count)}
    if first.acceptance_rate is not None:
        # The rate of the first samples: later ones are generated after the headers are sent.
        headers["Semblance-Acceptance-Rate"] = f"{first.acceptance_rate:.4f}"
    return headers


class SampleStreamingResponse(FairStreamingResponse):
    """Response that calls `close` when it is sent, and as soon as the client disconnects.

    A thread that waits for the next chunk then gets ClientDisconnected.
    """

    def __init__(
        self,
        tenant_id: str,
        body: Iterator[bytes],
        close: Callable[[], None],
        *,
        headers: Mapping[str, str],
        media_type: str,
    ) -> None:
        self._close = close
        super().__init__(
            sampling_threads,
            tenant_id,
            _until_disconnected(body),
            headers=headers,
            media_type=media_type,
        )

    async def _end(self) -> None:
        self._close()
        await super()._end()

    async def listen_for_disconnect(self, receive: Receive) -> None:
        await super().listen_for_disconnect(receive)
        self._close()


def _until_disconnected(body: Iterator[bytes]) -> Iterator[bytes]:
    with suppress(ClientDisconnected):
        yield from body
