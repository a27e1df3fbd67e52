"""From files that a client sent to one set of labelled images of one size on disk.

Whoever serves others calls `read_images_in_sandbox`: decoders have bugs, and a child has limits. What
is named here is free of numpy and Pillow, which take time to load.
"""

from core.datasets.images.options import ImageOptions
from core.datasets.images.sandbox import read_images_in_sandbox
from core.datasets.images.summary import ImageSummary, Label

__all__ = [
    "ImageOptions",
    "ImageSummary",
    "Label",
    "read_images_in_sandbox",
]
