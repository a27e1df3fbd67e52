"""Client of the sandbox task that reads images."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.datasets.sandbox import run_in_sandbox
from core.datasets.source import SourceFile
from core.settings import Limits
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.summary import ImageSummary


def read_images_in_sandbox(
    files: Sequence[SourceFile],
    options: ImageOptions,
    limits: Limits,
    out: Path,
    timeout_s: float,
    on_wait: Callable[[], None] | None = None,
) -> ImageSummary:
    """Run `modalities.image.upload.reading.read_images` in a sandbox process.

    Calls `on_wait` about once a second; an exception that it raises kills the process.
    """
    spec = {
        "files": [{"path": str(file.path.resolve()), "name": file.name} for file in files],
        "options": _options_to_json(options),
        "limits": limits.model_dump(),
        "out": str(out.resolve()),
    }
    return ImageSummary.from_dict(run_in_sandbox("read_images", spec, timeout_s, on_wait))


def _options_to_json(options: ImageOptions) -> dict[str, Any]:
    names = options.class_names
    if names is not None:
        names = dict(names) if isinstance(names, Mapping) else list(names)
    return {"resize": options.resize, "size": options.size, "class_names": names}
