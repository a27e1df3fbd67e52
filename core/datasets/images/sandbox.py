"""Reading images in a child process, so that a decoder's fault is no fault of ours."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.datasets.images.options import ImageOptions
from core.datasets.images.summary import ImageSummary
from core.datasets.sandbox import run_in_sandbox
from core.datasets.source import SourceFile
from core.settings import Limits


def read_images_in_sandbox(
    files: Sequence[SourceFile],
    options: ImageOptions,
    limits: Limits,
    out: Path,
    timeout_s: float,
    on_wait: Callable[[], None] | None = None,
) -> ImageSummary:
    """As read_images. Calls `on_wait` about once a second; what that raises ends the child."""
    spec = {
        "files": [{"path": str(file.path.resolve()), "name": file.name} for file in files],
        "options": _options(options),
        "limits": limits.model_dump(),
        "out": str(out.resolve()),
    }
    return ImageSummary.from_dict(run_in_sandbox("read_images", spec, timeout_s, on_wait))


def _options(options: ImageOptions) -> dict[str, Any]:
    names = options.class_names
    if names is not None:
        names = dict(names) if isinstance(names, Mapping) else list(names)
    return {"resize": options.resize, "size": options.size, "class_names": names}
