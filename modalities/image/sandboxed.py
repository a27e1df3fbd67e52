"""Function that the sandbox processes of images call (core.datasets.sandbox).

The fork server of these processes imports this module, so it must not load torch.
"""

from typing import Any

from modalities.image.ingest import ImageUpload
from modalities.image.upload.reading import read_images


def read(upload: ImageUpload) -> dict[str, Any]:
    """Read the files; see `read_images`."""
    return read_images(upload.files, upload.options, upload.limits, upload.out).to_dict()
