"""What is answered when images are asked for."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from fastapi import Response

from app import content_negotiation
from app.sampling import labels, provenance, request_parser
from app.sampling.service import FilteredImageStream, ScoresUnavailable, get_sampling_service
from app.sampling.streaming_response import SampleStreamingResponse
from app.schemas.samples import Interpolation, LatentPoint, SamplesRequest
from core.datasets.images import writing
from core.datasets.media_types import IMAGE_MEDIA_TYPES, STRIP_MEDIA_TYPES
from core.errors import FieldError, ValidationFailed
from core.settings import get_settings
from core.tables import Model
from models.errors import AcceptanceRateTooLow
from models.images.image_grid import encode_gif, make_grid
from models.images.interpolation import LatentEndpoint
from models.images.sampling import ImageSampler
from models.images.sampling_plan import ImageSamplingPlan


def build_response(
    model: Model, request: SamplesRequest, seed: int, *, format: str | None, accept: str | None
) -> Response:
    """Raises ValidationFailed and NotAcceptable before anything is drawn."""
    if request.interpolation is not None:
        return _strip(model, request, request.interpolation, format=format, accept=accept)
    for name in ("partial_rows", "exclude_training_rows"):
        if getattr(request, name):
            fault = FieldError(f"/{name}", "not_allowed", "images are asked for by label")
            raise ValidationFailed(f"`{name}` is for table rows", field_errors=[fault])
    order = request_parser.parse_image_request(model, request, seed)
    single = order.count == 1 or request.layout == "grid"
    chosen = content_negotiation.negotiate(
        IMAGE_MEDIA_TYPES, format=format, accept=accept, default="png" if single else "zip"
    )
    if chosen == "png" and not single:
        raise ValidationFailed(
            "a PNG holds one image: ask for `layout: grid`, or for zip, npz or json",
            field_errors=[
                FieldError("/layout", "missing", "must be grid for several images in one PNG")
            ],
        )
    _check_size(order, request, chosen)
    _check_include(request, chosen)
    try:
        drawing = get_sampling_service().stream_images(
            model, order, request.image.truncation, min_confidence=request.min_label_confidence
        )
    except ScoresUnavailable as error:
        raise request_parser.scores_unavailable_error("/min_label_confidence") from error
    headers = {"Semblance-Count": str(order.count)}
    try:
        first = next(drawing)  # what goes wrong at once is answered with a status of its own
        if isinstance(drawing, FilteredImageStream):
            headers["Semblance-Acceptance-Rate"] = (
                f"{drawing.acceptance:.4f}"  # of the first images
            )
        body = _encode(chosen, chain([first], drawing), model, order, request, drawing.sampler)
    except AcceptanceRateTooLow as error:
        drawing.close()
        raise request_parser.acceptance_error(error) from error
    except BaseException:
        drawing.close()
        raise
    media_type = IMAGE_MEDIA_TYPES[chosen]
    if isinstance(body, bytes):
        return Response(body, headers=headers, media_type=media_type)
    headers["Content-Disposition"] = f'attachment; filename="samples.{chosen}"'
    return SampleStreamingResponse(body, drawing.close, headers=headers, media_type=media_type)


def _strip(
    model: Model,
    wanted: SamplesRequest,
    way: Interpolation,
    *,
    format: str | None,
    accept: str | None,
) -> Response:
    """The images between two, in a row or one after the other."""
    chosen = content_negotiation.negotiate(
        STRIP_MEDIA_TYPES, format=format, accept=accept, default="png"
    )
    ends = _item(model, way.start), _item(model, way.end)
    images = get_sampling_service().interpolate(model, ends, way.steps, wanted.image.truncation)
    if chosen == "gif":
        body = encode_gif([writing.encode_png(image) for image in images])
    else:
        body = writing.encode_png(make_grid(images, way.steps))
    return Response(
        body, headers={"Semblance-Count": str(way.steps)}, media_type=STRIP_MEDIA_TYPES[chosen]
    )


def _item(model: Model, spot: LatentPoint) -> LatentEndpoint:
    known = [label["name"] for label in model.manifest["labels"]]
    if spot.label is None:
        if known:
            fault = FieldError("/interpolation", "missing", "needs a `label`", tuple(known[:20]))
            raise ValidationFailed(
                "each end of an interpolation needs a `label`", field_errors=[fault]
            )
        return LatentEndpoint(spot.seed, 0, spot.index)
    (name,) = labels.count_labels(model, {spot.label: 1})
    return LatentEndpoint(spot.seed, known.index(name), spot.index)


def _check_include(wanted: SamplesRequest, chosen: str) -> None:
    if wanted.include and chosen != "json":
        fault = FieldError("/include", "not_allowed", "goes with JSON")
        raise ValidationFailed("`include` goes with JSON", field_errors=[fault])


def _check_size(order: ImageSamplingPlan, wanted: SamplesRequest, chosen: str) -> None:
    limits = get_settings().limits
    limit = limits.samples
    if chosen == "json":
        limit = limits.json_samples
    elif wanted.layout == "grid":
        limit = limits.grid_samples
    if order.count > limit:
        raise ValidationFailed(
            f"{order.count} items are more than the {limit} that one {chosen} answer may hold; "
            "a job of the kind `generation` makes a set of any size",
            code="too_many_samples",
            limit=limit,
        )


def _encode(
    chosen: str,
    batches: writing.Batches,
    model: Model,
    order: ImageSamplingPlan,
    wanted: SamplesRequest,
    generator: ImageSampler,
) -> bytes | Iterator[bytes]:
    names = [label["name"] for label in model.manifest["labels"]]
    if chosen == "png":
        images = np.concatenate([images for _, images in batches])
        if wanted.layout != "grid":
            return writing.encode_png(images[0])
        return writing.encode_png(make_grid(images, _columns(order)))
    if chosen != "json":
        image = model.manifest["image"]
        return writing.encode(chosen, batches, names, count=order.count, image=image)
    head: dict[str, object] = {
        "model": model.id,
        "seed": order.seed,
        "offset": wanted.offset,
        "count": order.count,
    }
    if "provenance" in wanted.include:
        head["provenance"] = list(provenance.image_provenance(model, order, wanted))
    if "scores" in wanted.include:
        drawn = list(batches)  # not many, as they go into JSON
        labels, pixels = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        head["scores"] = get_sampling_service().scores(generator, pixels, labels)
        if not head["scores"]:
            raise request_parser.scores_unavailable_error("/include")
        batches = iter(drawn)
    return writing.encode_json(batches, names, head)


def _columns(order: ImageSamplingPlan) -> int:
    """A row for each label when all ask for the same number, else nearly a square."""
    lengths = {run.stop - run.start for run in order.ranges}
    if len(order.ranges) > 1 and len(lengths) == 1 and (length := lengths.pop()) <= 64:
        return length
    return int(np.ceil(np.sqrt(order.count)))
