"""Reading of uploaded images in a sandbox process."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from core.datasets.sandbox import OnWait, run_in_sandbox
from core.datasets.source import SourceFile
from core.limits import Limits
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.summary import ImageSummary

Json = dict[str, Any]


class ImageUpload(BaseModel):
    files: list[SourceFile]
    options: ImageOptions
    limits: Limits
    out: Path


def ingest(files: Sequence[SourceFile], options: Json, out: Path, on_wait: OnWait) -> Json:
    """Read the files with the options of a request; see modalities.base.Datasets.ingest."""
    from core.settings import get_settings  # slow to import, and the sandbox does not need it

    settings = get_settings()
    size = options.get("size")
    summary = read_images_in_sandbox(
        files,
        ImageOptions(**options | {"size": (size[0], size[1]) if size else None}),
        settings.limits,
        out,
        settings.ingest_timeout_seconds,
        on_wait,
    )
    return summarize(summary, out)


def read_images_in_sandbox(
    files: Sequence[SourceFile],
    options: ImageOptions,
    limits: Limits,
    out: Path,
    timeout_s: float,
    on_wait: Callable[[], None] | None = None,
) -> ImageSummary:
    """Run `read` in a sandbox process.

    Calls `on_wait` about once a second; an exception that it raises kills the process.
    """
    files = [SourceFile(file.path.resolve(), file.name) for file in files]
    upload = ImageUpload(files=files, options=options, limits=limits, out=out.resolve())
    answer = run_in_sandbox("modalities.image.sandboxed:read", upload, timeout_s, on_wait)
    return ImageSummary.from_dict(answer)


def summarize(summary: ImageSummary, out: Path) -> Json:
    """Return `Dataset.summary`, with the profile. `out` holds x.npy and y.npy."""
    from modalities.image.upload.profile import profile_images  # numpy is slow to import

    labels = [label.name for label in summary.labels]
    digest = hashlib.sha256(json.dumps([summary.x_sha256, summary.y_sha256, labels]).encode())
    return summary.to_dict() | {
        "sha256": digest.hexdigest(),
        "profile": profile_images(out / "x.npy", out / "y.npy", labels, summary.n_train),
    }
