"""Transforms of an augmentation request for images. Free of torch, because the API uses it."""

import math

from core.errors import ValidationFailed
from core.settings import get_settings
from modalities.augmentation import AugmentationRules, Json
from modalities.image.options import ImageAugmentationOptions, TransformRequest
from models.augmentation.transform_ranges import (
    COLOR_TRANSFORMS,
    RANGES,
    Transform,
    default_transforms,
)

MAX_LIFT_BYTES = 1024 * 1024 * 1024  # pixels in memory while the lift is measured


def augmentation_rules(summary: Json, options: ImageAugmentationOptions) -> AugmentationRules:
    """Return the rules of a dataset with this summary; see modalities.base.Augmentation."""
    channels: int = summary["channels"]
    if options.transforms == "auto":
        transforms = list(default_transforms(channels))
    else:
        transforms = [
            _transform(i, transform, channels) for i, transform in enumerate(options.transforms)
        ]
    limits = get_settings().limits
    image_bytes = math.prod(summary[side] for side in ("height", "width", "channels"))
    return AugmentationRules(
        transforms=[transform.to_dict() for transform in transforms],
        item_limits=(limits.images_min, limits.images_max),
        max_lift_items=MAX_LIFT_BYTES // image_bytes,
    )


def _transform(index: int, request: TransformRequest, channels: int) -> Transform:
    bounds = RANGES[request.name]
    if channels == 1 and request.name in COLOR_TRANSFORMS:
        message = f"`{request.name}` needs color images, but the dataset is grayscale."
        raise ValidationFailed.of_field(f"/transforms/{index}/name", "not_allowed", message)
    if request.max_magnitude is not None and request.max_magnitude > bounds.limit:
        message = (
            f"`max_magnitude` of `{request.name}` must be at most {bounds.limit:g} ({bounds.unit})."
        )
        raise ValidationFailed.of_field(
            f"/transforms/{index}/max_magnitude", "out_of_range", message
        )
    return Transform(
        request.name, bounds.default if request.max_magnitude is None else request.max_magnitude
    )
