"""Reading of uploaded image files into one array of labeled images of equal size.

Servers must call `read_images_in_sandbox`: it decodes untrusted files in a resource-limited
subprocess. Nothing imported here imports numpy or Pillow, which are slow to load.
"""

from modalities.image.ingest import read_images_in_sandbox
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.summary import ImageSummary, Label

__all__ = [
    "ImageOptions",
    "ImageSummary",
    "Label",
    "read_images_in_sandbox",
]
