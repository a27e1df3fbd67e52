"""Sandbox task of `read_images_in_sandbox`."""

from pathlib import Path
from typing import Any

from core.datasets.source import SourceFile
from core.settings import Limits
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.reading import read_images


def run(spec: dict[str, Any]) -> dict[str, Any]:
    options = dict(spec["options"])
    if options.get("size") is not None:
        options["size"] = tuple(options["size"])
    files = [SourceFile(Path(file["path"]), file["name"]) for file in spec["files"]]
    limits, out = Limits(**spec["limits"]), Path(spec["out"])
    return read_images(files, ImageOptions(**options), limits, out).to_dict()
