"""What a client may choose about the reading of its images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from core.datasets.errors import unreadable_error
from core.settings import Limits

ResizeMode = Literal["crop", "pad", "stretch"]
RESIZE_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)


@dataclass(frozen=True)
class ImageOptions:
    """`resize` makes one size out of several.

    crop: scaled until it covers the size, the middle kept; pad: scaled until it fits, the rest in
    the median colour of its border; stretch: both sides by themselves. `size` is (height, width);
    without it, the most common size if a quarter of the images have it, else the median height and
    width; then scaled into the limits. `class_names` maps the labels that the files use: a list by
    index, or a mapping.
    """

    resize: ResizeMode | None = None
    size: tuple[int, int] | None = None
    class_names: Mapping[str, str] | Sequence[str] | None = None

    def check(self, limits: Limits) -> None:
        if self.resize is not None and self.resize not in RESIZE_MODES:
            message = f"resize must be one of {', '.join(RESIZE_MODES)}"
            raise unreadable_error("resize_unknown", message, pointer="/meta/resize")
        if self.size is None:
            return
        least, most = limits.image_size_min, limits.image_size_max
        sides = [side for side in self.size if isinstance(side, int) and least <= side <= most]
        if len(self.size) != 2 or len(sides) != 2:
            message = f"size must be [height, width], each from {least} to {most} pixels"
            raise unreadable_error("size_out_of_range", message, pointer="/meta/size")
        if self.resize is None:
            message = f"size needs resize: one of {', '.join(RESIZE_MODES)}"
            raise unreadable_error("resize_needed", message, pointer="/meta/resize")
