"""Client options for reading images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from core.datasets.errors import unreadable_error
from core.settings import Limits

ResizeMode = Literal["crop", "pad", "stretch"]
RESIZE_MODES: tuple[ResizeMode, ...] = get_args(ResizeMode)


@dataclass(frozen=True)
class ImageOptions:
    """Client options for reading images.

    Attributes:
        resize: how to bring all images to one size; None rejects images of several sizes.
            "crop" scales an image to cover the size and keeps the center, "pad" scales it to fit
            and fills the rest with the median color of its border, "stretch" scales height and
            width independently.
        size: (height, width) of the resized images. By default the most common size, if at least
            a quarter of the images have it, otherwise the median height and width; both are scaled
            down to the maximum size.
        class_names: names for the labels in the files: a mapping, or a list by index.
    """

    resize: ResizeMode | None = None
    size: tuple[int, int] | None = None
    class_names: Mapping[str, str] | Sequence[str] | None = None

    def check(self, limits: Limits) -> None:
        """Raise DatasetUnreadable if an option is invalid."""
        if self.resize is not None and self.resize not in RESIZE_MODES:
            message = f"`resize` must be one of {', '.join(RESIZE_MODES)}."
            raise unreadable_error("resize_unknown", message, pointer="/meta/resize")
        if self.size is None:
            return
        minimum, maximum = limits.image_size_min, limits.image_size_max
        valid = [side for side in self.size if isinstance(side, int) and minimum <= side <= maximum]
        if len(self.size) != 2 or len(valid) != 2:
            message = (
                f"`size` must be [height, width], each between {minimum} and {maximum} pixels."
            )
            raise unreadable_error("size_out_of_range", message, pointer="/meta/size")
        if self.resize is None:
            message = f"`size` requires `resize`: one of {', '.join(RESIZE_MODES)}."
            raise unreadable_error("resize_needed", message, pointer="/meta/resize")
