"""Response to a samples request for images."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from fastapi import Response

from app import content_negotiation
from app.sampling import labels, provenance, request_parser
from app.sampling.service import FilteredImageStream, ScoresUnavailable, get_sampling_service
from app.sampling.streaming_response import SampleStreamingResponse
from app.schemas.samples import Interpolation, LatentPoint, SamplesRequest
from core.datasets.media_types import IMAGE_MEDIA_TYPES, STRIP_MEDIA_TYPES
from core.errors import FieldError, ValidationFailed
from core.settings import get_settings
from core.tables import Model
from modalities.image import encode
from models.errors import AcceptanceRateTooLow
from models.images.animation import encode_gif
from models.images.contact_sheet import Section, draw_grid, draw_sheet, enlarge
from models.images.interpolation import LatentEndpoint
from models.images.sampling import ImageSampler
from models.images.sampling_plan import ImageSamplingPlan

FRAME_SIDE = 256  # pixels; smaller images are enlarged for the frames of a GIF
MAX_STRIP_COLUMNS = 16  # a longer interpolation has several rows


def build_response(
    model: Model, request: SamplesRequest, seed: int, *, format: str | None, accept: str | None
) -> Response:
    """Generate the first images and return a response that streams all of them.

    Raises:
        NotAcceptable: No requested format is available.
        ValidationFailed: The request does not fit the model, or too few candidates are accepted.
        Unavailable: The model cannot be loaded.
    """
    if request.interpolation is not None:
        return _interpolation_response(
            model, request, request.interpolation, format=format, accept=accept
        )
    for name in ("partial_rows", "exclude_training_rows"):
        if getattr(request, name):
            error = FieldError(f"/{name}", "not_allowed", "Applies only to table rows.")
            raise ValidationFailed(f"`{name}` applies only to table rows.", field_errors=[error])
    plan = request_parser.parse_image_request(model, request, seed)
    single = plan.count == 1 or request.layout == "grid"
    output_format = content_negotiation.negotiate(
        IMAGE_MEDIA_TYPES, format=format, accept=accept, default="png" if single else "zip"
    )
    if output_format == "png" and not single:
        raise ValidationFailed(
            "A PNG holds one image. Use `layout: grid`, or the format zip, tar, npz or json.",
            field_errors=[
                FieldError("/layout", "missing", "Must be `grid` for several images in one PNG.")
            ],
        )
    _check_size(plan, request, output_format)
    _check_include(request, output_format)
    try:
        stream = get_sampling_service().stream_images(
            model, plan, request.image.truncation, min_confidence=request.min_label_confidence
        )
    except ScoresUnavailable as error:
        raise request_parser.scores_unavailable_error("/min_label_confidence") from error
    headers = {"Semblance-Count": str(plan.count)}
    try:
        # Before the headers are sent, an error can still be reported with its HTTP status.
        first = next(stream)
        if isinstance(stream, FilteredImageStream):
            # The rate of the first images: later ones are generated after the headers are sent.
            headers["Semblance-Acceptance-Rate"] = f"{stream.acceptance_rate:.4f}"
        body = _encode(output_format, chain([first], stream), model, plan, request, stream.sampler)
    except AcceptanceRateTooLow as error:
        stream.close()
        raise request_parser.acceptance_error(error) from error
    except BaseException:
        stream.close()
        raise
    media_type = IMAGE_MEDIA_TYPES[output_format]
    if isinstance(body, bytes):
        return Response(body, headers=headers, media_type=media_type)
    headers["Content-Disposition"] = f'attachment; filename="samples.{output_format}"'
    return SampleStreamingResponse(body, stream.close, headers=headers, media_type=media_type)


def _interpolation_response(
    model: Model,
    request: SamplesRequest,
    interpolation: Interpolation,
    *,
    format: str | None,
    accept: str | None,
) -> Response:
    """Return the images between two images, as a PNG strip or an animated GIF."""
    output_format = content_negotiation.negotiate(
        STRIP_MEDIA_TYPES, format=format, accept=accept, default="png"
    )
    ends = _endpoint(model, interpolation.start), _endpoint(model, interpolation.end)
    images = get_sampling_service().interpolate(
        model, ends, interpolation.steps, request.image.truncation
    )
    if output_format == "gif":
        frames = [enlarge(image, FRAME_SIDE) for image in images]
        body = encode_gif([encode.encode_png(frame) for frame in frames])
    else:
        labels = interpolation.start.label, interpolation.end.label
        strip = Section(" → ".join(name for name in dict.fromkeys(labels) if name), images)
        body = encode.encode_png(draw_sheet([strip], min(len(images), MAX_STRIP_COLUMNS)))
    return Response(
        body,
        headers={"Semblance-Count": str(interpolation.steps)},
        media_type=STRIP_MEDIA_TYPES[output_format],
    )


def _endpoint(model: Model, point: LatentPoint) -> LatentEndpoint:
    model_labels = [label["name"] for label in model.manifest["labels"]]
    if point.label is None:
        if model_labels:
            error = FieldError(
                "/interpolation", "missing", "Needs a `label`.", tuple(model_labels[:20])
            )
            raise ValidationFailed(
                "Each end of an interpolation needs a `label`.", field_errors=[error]
            )
        return LatentEndpoint(point.seed, 0, point.index)
    (name,) = labels.count_labels(model, {point.label: 1})
    return LatentEndpoint(point.seed, model_labels.index(name), point.index)


def _check_include(request: SamplesRequest, output_format: str) -> None:
    if request.include and output_format != "json":
        error = FieldError("/include", "not_allowed", "Requires the format JSON.")
        raise ValidationFailed("`include` requires the format JSON.", field_errors=[error])


def _check_size(plan: ImageSamplingPlan, request: SamplesRequest, output_format: str) -> None:
    limits = get_settings().limits
    limit = limits.samples
    if output_format == "json":
        limit = limits.json_samples
    elif request.layout == "grid":
        limit = limits.grid_samples
    if plan.count > limit:
        raise ValidationFailed(
            f"{plan.count} images exceed the limit of {limit} for one {output_format} response. "
            "Create a job of the kind `generation` for a larger set.",
            code="too_many_samples",
            limit=limit,
        )


def _encode(
    output_format: str,
    batches: encode.Batches,
    model: Model,
    plan: ImageSamplingPlan,
    request: SamplesRequest,
    sampler: ImageSampler,
) -> bytes | Iterator[bytes]:
    names = [label["name"] for label in model.manifest["labels"]]
    if output_format == "png":
        labels, images = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        picture = draw_grid(images, labels, names) if request.layout == "grid" else images[0]
        return encode.encode_png(picture)
    if output_format != "json":
        image = model.manifest["image"]
        return encode.encode(output_format, batches, names, count=plan.count, image=image)
    head: dict[str, object] = {
        "model": model.id,
        "seed": plan.seed,
        "offset": request.offset,
        "count": plan.count,
    }
    if "provenance" in request.include:
        head["provenance"] = list(provenance.image_provenance(model, plan, request))
    if "scores" in request.include:
        all_batches = list(batches)  # fits in memory: JSON has a low limit
        labels, pixels = (np.concatenate(parts) for parts in zip(*all_batches, strict=True))
        head["scores"] = get_sampling_service().scores(sampler, pixels, labels)
        if not head["scores"]:
            raise request_parser.scores_unavailable_error("/include")
        batches = iter(all_batches)
    return encode.encode_json(batches, names, head)
