"""Reading of uploaded image files into one array of labeled images of equal size.

Servers must call `read_images_in_sandbox`: it decodes untrusted files in a resource-limited
subprocess. Nothing imported here imports numpy or Pillow, which are slow to load.
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
