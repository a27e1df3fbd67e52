"""Data quality checks of image datasets."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.datasets.data_quality import Issue, Severity
from modalities.image.upload.arrays.npy_store import StoredImages
from modalities.image.upload.labels.labels import UNLABELED
from modalities.image.upload.near_duplicates import find_near_duplicates
from modalities.image.upload.summary import Label

MIN_CLASS_IMAGES = 20
MAX_IMBALANCE_RATIO = 20  # training images of the largest label / the smallest
DUPLICATE_WARNING_FRACTION = 0.01  # more duplicates than this are a warning, fewer are info
MIN_PIXEL_RANGE = 32  # between the darkest and the brightest pixel of a set, of 255
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
    digests, constant, (lowest, highest) = _fingerprints(images)
    copies = _find_copies(digests, n_train)
    issues = [
        _duplicates(copies, len(images), name_of),
        _leaked_duplicates(digests, n_train, name_of),
        _near_duplicates(images, digests, name_of),
        _conflicting_labels(digests, y, name_of),
        _tiny_range(lowest, highest, len(images)),
        _mojibake([label.name for label in labels]),
        *_label_issues(labels),
        _constant_labels(y[:n_train], digests[:n_train], constant[:n_train], labels),
    ]
    return [issue for issue in issues if issue is not None]


def _fingerprints(
    images: StoredImages,
) -> tuple[NDArray[np.uint64], NDArray[np.bool_], tuple[int, int]]:
    """Return a digest of the pixels of each image, a mask of images of one color, and the range."""
    digests, constant = [], []
    lowest, highest = 255, 0
    for block in images.iter_blocks():
        flat = block.reshape(len(block), -1)
        joined = b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in flat)
        digests.append(np.frombuffer(joined, np.uint64))
        pixels = block.reshape(len(block), -1, block.shape[3] if block.ndim == 4 else 1)
        constant.append((pixels == pixels[:, :1]).all(axis=(1, 2)))
        lowest, highest = min(lowest, int(block.min())), max(highest, int(block.max()))
    return np.concatenate(digests), np.concatenate(constant), (lowest, highest)


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


def _conflicting_labels(
    digests: NDArray[np.uint64], y: NDArray[np.int32], name_of: NameOf
) -> Issue | None:
    """Report equal images with different labels."""
    labeled = np.flatnonzero(y != UNLABELED)
    order = labeled[np.lexsort((y[labeled], digests[labeled]))]
    same_image = digests[order[1:]] == digests[order[:-1]]
    groups = np.concatenate([[0], np.cumsum(~same_image)]) if len(order) else np.zeros(0, int)
    conflicting = np.unique(groups[1:][same_image & (y[order[1:]] != y[order[:-1]])])
    indices = np.sort(order[np.isin(groups, conflicting)])
    hint = "The same picture has different labels. Remove the wrong ones, or merge the labels."
    return _images_issue("conflicting_labels", "warning", indices, name_of=name_of, hint=hint)


def _tiny_range(lowest: int, highest: int, total: int) -> Issue | None:
    if highest - lowest >= MIN_PIXEL_RANGE:
        return None
    hint = (
        f"All pixels are between {lowest} and {highest}, of 0 to 255, so that the images look "
        "almost uniform. Scale the values to 0 to 255 and upload the images again."
    )
    return Issue("tiny_range", "warning", total, (), hint)


def _mojibake(names: Sequence[str]) -> Issue | None:
    hint = (
        "Labels that look like text in a wrong encoding. Create the archive with UTF-8 names, set "
        "`name_encoding`, or name the labels with `class_names`."
    )
    return _labels_issue(
        "garbled_label", "warning", [name for name in names if _is_mojibake(name)], hint
    )


def _is_mojibake(name: str) -> bool:
    """Return True for UTF-8 that was decoded as CP1252 or CP437, and for lost characters."""
    if any("\u2500" <= char <= "\u259f" or char == "\ufffd" for char in name):
        return True
    for encoding in ("cp1252", "latin-1", "cp437"):
        try:
            if not name.isascii() and name.encode(encoding).decode() != name:
                return True
        except UnicodeError:
            continue
    return False


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
        "They contain nothing to learn. For white drawings on a transparent background, set "
        "`background` to black."
    )
    return _labels_issue("constant_images", "warning", names, hint)
