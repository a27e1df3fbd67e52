"""Data quality checks of image datasets."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.datasets.data_quality import Issue, Severity
from modalities.image.upload.labels import UNLABELED
from modalities.image.upload.near_duplicates import find_near_duplicates
from modalities.image.upload.npy_store import StoredImages
from modalities.image.upload.summary import Label

MIN_CLASS_IMAGES = 20
MAX_IMBALANCE_RATIO = 20  # training images of the largest label / the smallest
DUPLICATE_WARNING_FRACTION = 0.01  # more duplicates than this are a warning, fewer are info
MAX_EXAMPLES = 5

NameOf = Callable[[int], str]


def find_issues(
    images: StoredImages,
    y: NDArray[np.int32],
    *,
    n_train: int,
    labels: Sequence[Label],
    name_of: NameOf,
) -> list[Issue]:
    """Return the issues of a dataset. `name_of` maps an index in x.npy to the client's name."""
    digests, constant = _fingerprints(images)
    copies = _find_copies(digests, n_train)
    issues = [
        _duplicates(copies, len(images), name_of),
        _leaked_duplicates(digests, n_train, name_of),
        _near_duplicates(images, digests, name_of),
        *_label_issues(labels),
        _constant_labels(y[:n_train], digests[:n_train], constant[:n_train], labels),
    ]
    return [issue for issue in issues if issue is not None]


def _fingerprints(images: StoredImages) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return, per image, a digest of its pixels and a flag: True if all pixels are equal."""
    digests, constant = [], []
    for block in images.iter_blocks():
        flat = block.reshape(len(block), -1)
        joined = b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in flat)
        digests.append(np.frombuffer(joined, np.uint64))
        pixels = block.reshape(len(block), -1, block.shape[3] if block.ndim == 4 else 1)
        constant.append((pixels == pixels[:, :1]).all(axis=(1, 2)))
    return np.concatenate(digests), np.concatenate(constant)


def _find_copies(digests: NDArray[np.uint64], n_train: int) -> NDArray[np.int64]:
    """Return the sorted indices of images that equal an earlier image of the same split."""
    copies = np.ones(len(digests), bool)
    for start, end in ((0, n_train), (n_train, len(digests))):
        copies[start + np.unique(digests[start:end], return_index=True)[1]] = False
    return np.flatnonzero(copies)


def _duplicates(copies: NDArray[np.int64], total: int, name_of: NameOf) -> Issue | None:
    severity: Severity = "warning" if len(copies) > DUPLICATE_WARNING_FRACTION * total else "info"
    hint = "Images with the same pixels. Remove the copies unless they are intended as weights."
    return _images_issue("duplicate", severity, copies, name_of=name_of, hint=hint)


def _leaked_duplicates(digests: NDArray[np.uint64], n_train: int, name_of: NameOf) -> Issue | None:
    leaked = n_train + np.flatnonzero(np.isin(digests[n_train:], digests[:n_train]))
    hint = "Test images that are also training images inflate every score. Remove them."
    return _images_issue("leaked_duplicate", "warning", leaked, name_of=name_of, hint=hint)


def _near_duplicates(
    images: StoredImages, digests: NDArray[np.uint64], name_of: NameOf
) -> Issue | None:
    near, n_compared = find_near_duplicates(images, digests)
    hint = "Nearly identical images. Check whether they are copies."
    if n_compared < len(images):
        hint += f" Only {n_compared:,} images, chosen at random, were compared."
    return _images_issue("near_duplicate", "info", near, name_of=name_of, hint=hint)


def _images_issue(
    code: str, severity: Severity, indices: NDArray[np.int64], *, name_of: NameOf, hint: str
) -> Issue | None:
    if not len(indices):
        return None
    examples = tuple(name_of(int(index)) for index in indices[:MAX_EXAMPLES])
    return Issue(code, severity, len(indices), examples, hint)


def _label_issues(labels: Sequence[Label]) -> list[Issue | None]:
    trained = [label for label in labels if label.count]
    tiny = [label.name for label in trained if label.count < MIN_CLASS_IMAGES]
    absent = [label.name for label in labels if not label.count]
    return [
        _labels_issue(
            "tiny_class",
            "warning",
            tiny,
            f"Labels with fewer than {MIN_CLASS_IMAGES} training images. Add images or merge "
            "labels.",
        ),
        _labels_issue(
            "absent_class",
            "warning",
            absent,
            "Labels that occur only in the test split cannot be learned. Add training images.",
        ),
        _labels_issue(
            "similar_labels",
            "warning",
            _names_differing_in_case([label.name for label in labels]),
            "Labels that differ only in case. Merge them if they mean the same.",
        ),
        _imbalance(trained),
        _labels_issue(
            "one_class",
            "info",
            [label.name for label in labels] if len(labels) == 1 else [],
            "The dataset has only one label. All samples will have this label.",
        ),
    ]


def _names_differing_in_case(names: Sequence[str]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.casefold(), []).append(name)
    return [name for group in groups.values() if len(group) > 1 for name in group]


def _imbalance(trained: Sequence[Label]) -> Issue | None:
    if not trained:
        return None
    smallest = min(trained, key=lambda label: label.count)
    largest = max(trained, key=lambda label: label.count)
    if largest.count <= MAX_IMBALANCE_RATIO * smallest.count:
        return None
    hint = (
        f"The largest label has {largest.count:,} images, the smallest {smallest.count:,}. Request "
        "balanced samples, or add images of the small labels."
    )
    return _labels_issue("imbalance", "warning", [largest.name, smallest.name], hint)


def _labels_issue(code: str, severity: Severity, names: Sequence[str], hint: str) -> Issue | None:
    return Issue(code, severity, len(names), tuple(names[:MAX_EXAMPLES]), hint) if names else None


def _constant_labels(
    y: NDArray[np.int32],
    digests: NDArray[np.uint64],
    constant: NDArray[np.bool_],
    labels: Sequence[Label],
) -> Issue | None:
    """Report labels whose images are all identical or all of a single color."""
    order = np.argsort(y, kind="stable")
    starts = np.flatnonzero(np.diff(y[order], prepend=UNLABELED - 1))
    names = []
    for members in np.split(order, starts[1:]):
        identical = len(members) > 1 and (digests[members] == digests[members[0]]).all()
        if identical or constant[members].all():
            code = int(y[members[0]])
            names.append("all images without a label" if code == UNLABELED else labels[code].name)
    hint = (
        "All images of these labels are identical, or each has a single color. "
        "They contain nothing to learn."
    )
    return _labels_issue("constant_images", "warning", names, hint)
