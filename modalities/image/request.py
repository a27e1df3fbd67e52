"""Plans of requested images: those of a selection, and those between two images.

This module does not import torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from core.errors import FieldError, ValidationFailed
from core.settings import get_settings
from modalities.image import encode
from modalities.image.options import (
    SAMPLE_FORMATS,
    STRIP_FORMATS,
    ImageSampleOptions,
    ImageSelectionOptions,
    Interpolation,
    LatentPoint,
)
from modalities.label_plan import LabelPlan
from modalities.sampling import Json, SamplingPlan, too_many_samples
from modalities.selection import Selection, check_conflicts, count_labels
from models.images.animation import encode_gif
from models.images.contact_sheet import Section, draw_grid, draw_sheet, enlarge

if TYPE_CHECKING:
    from modalities.label_plan import LabeledBatch

FRAME_SIDE = 256  # pixels; smaller images are enlarged for the frames of a GIF
MAX_STRIP_COLUMNS = 16  # a longer interpolation has several rows


@dataclass(frozen=True)
class ImagePlan(LabelPlan):
    """Images by label and index."""

    truncation: float = 1.0
    min_label_confidence: float | None = None
    layout: str | None = None
    first: int = 0  # position of the first image in the whole plan

    documents = ("png",)

    @property
    def formats(self) -> Mapping[str, str]:
        if self._is_one_picture:
            return SAMPLE_FORMATS
        return {"zip": SAMPLE_FORMATS["zip"]} | SAMPLE_FORMATS

    @property
    def _is_one_picture(self) -> bool:
        return self.count == 1 or self.layout == "grid"

    def check_format(self, format: str) -> None:
        if format != "png":
            return
        if not self._is_one_picture:
            message = "Must be `grid` for several images in one PNG."
            raise ValidationFailed(
                "A PNG holds one image. Use `layout: grid`, or the format zip, tar, npz or json.",
                field_errors=[FieldError("/layout", "missing", message)],
            )
        if self.count > (limit := get_settings().limits.grid_samples):
            raise too_many_samples(self.count, limit, format)

    def encode(self, format: str, batches: Iterator["LabeledBatch"], head: Json) -> Iterator[bytes]:
        pairs = ((batch.labels, batch.items) for batch in batches)
        if format == "png":
            labels, images = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
            grid = self.layout == "grid"
            picture = draw_grid(images, labels, self.label_names) if grid else images[0]
            return iter([encode.encode_png(picture)])
        if format == "json":
            return encode.encode_json(pairs, self.label_names, head)
        shape = self.manifest["image"]
        return encode.encode(
            format, pairs, self.label_names, count=self.count, image=shape, first=self.first
        )

    def provenance(self) -> Iterator[Json]:
        """Yield the label and the index of each image; the same request options are required."""
        names, common = self.label_names, {}
        if self.truncation != 1:
            common["truncation"] = self.truncation
        if self.min_label_confidence is not None:  # `index` is then the first accepted candidate
            common["min_label_confidence"] = self.min_label_confidence
        for labels, indices in self.indices.batches(1_024):
            for label, index in zip(labels.tolist(), indices.tolist(), strict=True):
                yield {**common, "label": names[label] if names else None, "index": index}

    def slice(self, start: int, stop: int) -> Self:
        return replace(super().slice(start, stop), first=self.first + start)

    def to_dict(self) -> Json:
        return {**super().to_dict(), "min_label_confidence": self.min_label_confidence}

    def probes(self) -> Sequence[Self]:
        return [self.slice(0, 1)] if self.min_label_confidence is not None else []


@dataclass(frozen=True)
class InterpolationPlan(SamplingPlan):
    """Images between two images: each end is a label index, a seed and an index."""

    start: tuple[int, int, int]
    end: tuple[int, int, int]
    steps: int
    truncation: float
    caption: str

    formats = STRIP_FORMATS
    documents = ("png", "gif")

    @property
    def count(self) -> int:
        return self.steps

    def encode(self, format: str, batches: Iterator["LabeledBatch"], head: Json) -> Iterator[bytes]:
        images = np.concatenate([batch.items for batch in batches])
        if format == "gif":
            frames = [enlarge(image, FRAME_SIDE) for image in images]
            return iter([encode_gif([encode.encode_png(frame) for frame in frames])])
        columns = min(len(images), MAX_STRIP_COLUMNS)
        return iter([encode.encode_png(draw_sheet([Section(self.caption, images)], columns))])


def plan_samples(
    manifest: Json, selection: Selection, options: ImageSampleOptions, seed: int
) -> ImagePlan | InterpolationPlan:
    if options.interpolation is not None:
        fields = {name: getattr(selection, name) for name in Selection.model_fields}
        fields |= {"layout": options.layout, "min_label_confidence": options.min_label_confidence}
        check_conflicts("interpolation", fields)
        return _plan_interpolation(manifest, options.interpolation, options.image.truncation)
    plan = plan_selection(manifest, selection, options, seed)
    return replace(plan, truncation=options.image.truncation, layout=options.layout)


def plan_selection(
    manifest: Json, selection: Selection, options: ImageSelectionOptions, seed: int
) -> ImagePlan:
    plan = ImagePlan.select(manifest, selection, seed)
    return replace(plan, min_label_confidence=options.min_label_confidence)


def read_plan(manifest: Json, plan: Json, seed: int) -> ImagePlan:
    confidence = plan["min_label_confidence"]
    return replace(ImagePlan.read(manifest, plan, seed), min_label_confidence=confidence)


def _plan_interpolation(
    manifest: Json, interpolation: Interpolation, truncation: float
) -> InterpolationPlan:
    start, end = (
        (_label_index(manifest, point), point.seed, point.index)
        for point in (interpolation.start, interpolation.end)
    )
    labels = interpolation.start.label, interpolation.end.label
    caption = " → ".join(name for name in dict.fromkeys(labels) if name)
    return InterpolationPlan(start, end, interpolation.steps, truncation, caption)


def _label_index(manifest: Json, point: LatentPoint) -> int:
    names = [label["name"] for label in manifest["labels"]]
    if point.label is not None:
        (name,) = count_labels(manifest, {point.label: 1})
        return names.index(name)
    if names:
        error = FieldError("/interpolation", "missing", "Needs a `label`.", tuple(names[:20]))
        raise ValidationFailed(
            "Each end of an interpolation needs a `label`.", field_errors=[error]
        )
    return 0
