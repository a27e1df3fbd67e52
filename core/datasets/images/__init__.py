"""From files that a client sent to one set of labelled images of one size on disk.

Whoever serves others calls `read_images_in_child`: decoders have bugs, and a child has limits.
"""

from core.datasets.images.options import ImageOptions
from core.datasets.images.parent import read_images_in_child
from core.datasets.images.reading import read_images
from core.datasets.images.summary import ImageSummary, Label

__all__ = [
    "ImageOptions",
    "ImageSummary",
    "Label",
    "read_images",
    "read_images_in_child",
]
