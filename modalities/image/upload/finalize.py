"""Last step of reading an upload: labels, issues, preview and summary of the decoded images."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.datasets.data_quality import Issue
from core.datasets.errors import unreadable_error
from core.limits import Limits
from modalities.image.upload.arrays.npy_store import StoredImages, stretch_binary
from modalities.image.upload.data_quality import find_issues
from modalities.image.upload.decoded_dataset import DecodedDataset
from modalities.image.upload.labels.labels import UNLABELED
from modalities.image.upload.preview import draw_preview
from modalities.image.upload.summary import ImageSummary, Label


def finalize(decoded: DecodedDataset, limits: Limits, out: Path) -> ImageSummary:
    """Write y.npy and preview.png next to x.npy in `out` and return the summary."""
    n_train, total = decoded.n_train, len(decoded.y)
    _check_image_count(n_train, total, limits, decoded.issues)
    y, names = _drop_unused_labels(decoded.y, decoded.class_names)
    labels = _count_labels(y, n_train, names)
    np.save(out / "y.npy", y)
    notes = list(decoded.notes)
    if stretch_binary(out / "x.npy"):
        notes.append("All pixels are 0 or 1: they were scaled to 0 and 255.")
    images = StoredImages(out / "x.npy")
    issues = find_issues(images, y, n_train=n_train, labels=labels, name_of=decoded.name_of)
    draw_preview(images, y[:n_train], names, path=out / "preview.png")
    return ImageSummary(
        height=decoded.size[0],
        width=decoded.size[1],
        channels=decoded.channels,
        labels=labels,
        unlabeled=not labels,
        n_train=n_train,
        n_test=total - n_train,
        format=decoded.format,
        issues=(*decoded.issues, *issues),
        notes=tuple(notes),
        layout=decoded.layout,
        x_sha256=_sha256(out / "x.npy"),
        y_sha256=_sha256(out / "y.npy"),
    )


def _check_image_count(n_train: int, total: int, limits: Limits, issues: Sequence[Issue]) -> None:
    """Raise DatasetUnreadable if there are too many or too few images.

    `issues` name the images that were left out.
    """
    if total > limits.images_max:
        message = f"There are {total:,} images; the maximum is {limits.images_max:,} per dataset."
        raise unreadable_error("too_many_images", message)
    if n_train < limits.images_min:
        test = f" and {total - n_train:,} test images" if total > n_train else ""
        message = (
            f"There are {n_train:,} training images{test}; "
            f"at least {limits.images_min:,} training images are needed."
        )
        for issue in issues:
            if issue.code in {"label_missing", "contradictory_label", "unreadable_image"}:
                message += f" {issue.hint} Examples: {', '.join(issue.examples)}."
        raise unreadable_error("too_few_images", message)


def _drop_unused_labels(
    y: NDArray[np.int32], names: Sequence[str]
) -> tuple[NDArray[np.int32], list[str]]:
    """Remove labels without images: all of theirs were damaged and skipped."""
    used = np.unique(y[y != UNLABELED])
    new_indices = np.full(len(names) + 1, UNLABELED, np.int32)  # the last item maps -1 to itself
    new_indices[used] = np.arange(len(used))
    return new_indices[y], [names[code] for code in used]


def _count_labels(y: NDArray[np.int32], n_train: int, names: Sequence[str]) -> tuple[Label, ...]:
    train_counts, test_counts = (
        np.bincount(split[split != UNLABELED], minlength=len(names))
        for split in (y[:n_train], y[n_train:])
    )
    return tuple(
        Label(name, int(train_counts[code]), int(test_counts[code]))
        for code, name in enumerate(names)
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
