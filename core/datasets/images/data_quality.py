"""What is wrong with a set that can still be learned from."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.datasets.data_quality import Issue, Severity
from core.datasets.images.labels import UNLABELED
from core.datasets.images.near_duplicates import find_near_duplicates
from core.datasets.images.npy_store import StoredImages
from core.datasets.images.summary import Label

MIN_CLASS_IMAGES = 20  # images
MAX_IMBALANCE_RATIO = 20  # times
DUPLICATE_WARNING_FRACTION = 0.01  # above it, duplicates are worth a warning
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
    digests, constant = _fingerprints(images)
    copies = _copies(digests, n_train)
    found = [
        _duplicates(copies, len(images), name_of),
        _leaks(digests, n_train, name_of),
        _near_duplicates(images, digests, name_of),
        *_of_labels(labels),
        _degenerate(y[:n_train], digests[:n_train], constant[:n_train], labels),
    ]
    return [issue for issue in found if issue is not None]


def _fingerprints(images: StoredImages) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Of each image, a digest of its pixels and whether they are all the same."""
    digests, constant = [], []
    for block in images.iter_blocks():
        flat = block.reshape(len(block), -1)
        joined = b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in flat)
        digests.append(np.frombuffer(joined, np.uint64))
        pixels = block.reshape(len(block), -1, block.shape[3] if block.ndim == 4 else 1)
        constant.append((pixels == pixels[:, :1]).all(axis=(1, 2)))
    return np.concatenate(digests), np.concatenate(constant)


def _copies(digests: NDArray[np.uint64], n_train: int) -> NDArray[np.int64]:
    """The places of images that stand earlier in the same part, in order."""
    copies = np.ones(len(digests), bool)
    for start, end in ((0, n_train), (n_train, len(digests))):
        copies[start + np.unique(digests[start:end], return_index=True)[1]] = False
    return np.flatnonzero(copies)


def _duplicates(copies: NDArray[np.int64], total: int, name_of: NameOf) -> Issue | None:
    severity: Severity = "warning" if len(copies) > DUPLICATE_WARNING_FRACTION * total else "info"
    hint = "The same pixels more than once; remove the copies unless they are meant as weights."
    return _images_issue("duplicate", severity, copies, name_of=name_of, hint=hint)


def _leaks(digests: NDArray[np.uint64], n_train: int, name_of: NameOf) -> Issue | None:
    leaked = n_train + np.flatnonzero(np.isin(digests[n_train:], digests[:n_train]))
    hint = "Held-out images that are also trained on make every score too good; remove them."
    return _images_issue("leaked_duplicate", "warning", leaked, name_of=name_of, hint=hint)


def _near_duplicates(
    images: StoredImages, digests: NDArray[np.uint64], name_of: NameOf
) -> Issue | None:
    near, looked_at = find_near_duplicates(images, digests)
    hint = "Nearly the same image more than once; look whether they are copies."
    if looked_at < len(images):
        hint += f" Looked for among {looked_at:,} images drawn at random."
    return _images_issue("near_duplicate", "info", near, name_of=name_of, hint=hint)


def _images_issue(
    code: str, severity: Severity, places: NDArray[np.int64], *, name_of: NameOf, hint: str
) -> Issue | None:
    if not len(places):
        return None
    examples = tuple(name_of(int(place)) for place in places[:MAX_EXAMPLES])
    return Issue(code, severity, len(places), examples, hint)


def _of_labels(labels: Sequence[Label]) -> list[Issue | None]:
    trained = [label for label in labels if label.count]
    tiny = [label.name for label in trained if label.count < MIN_CLASS_IMAGES]
    absent = [label.name for label in labels if not label.count]
    return [
        _labels_issue(
            "tiny_class",
            "warning",
            tiny,
            f"Fewer than {MIN_CLASS_IMAGES} images to learn from; add some, or join labels.",
        ),
        _labels_issue(
            "absent_class",
            "warning",
            absent,
            "Only among the held-out images, so that it cannot be learned; add training images.",
        ),
        _labels_issue(
            "similar_labels",
            "warning",
            _similar([label.name for label in labels]),
            "These differ in nothing but case; join them if they mean the same.",
        ),
        _imbalance(trained),
        _labels_issue(
            "one_class",
            "info",
            [label.name for label in labels] if len(labels) == 1 else [],
            "With one label there is nothing to choose between; samples are of that label only.",
        ),
    ]


def _similar(names: Sequence[str]) -> list[str]:
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(name.casefold(), []).append(name)
    return [name for group in folded.values() if len(group) > 1 for name in group]


def _imbalance(trained: Sequence[Label]) -> Issue | None:
    if not trained:
        return None
    smallest = min(trained, key=lambda label: label.count)
    largest = max(trained, key=lambda label: label.count)
    if largest.count <= MAX_IMBALANCE_RATIO * smallest.count:
        return None
    hint = (
        f"The largest label has {largest.count:,} images, the smallest {smallest.count:,}; ask for "
        "balanced samples, or add images of the small ones."
    )
    return _labels_issue("imbalance", "warning", [largest.name, smallest.name], hint)


def _labels_issue(code: str, severity: Severity, names: Sequence[str], hint: str) -> Issue | None:
    return Issue(code, severity, len(names), tuple(names[:MAX_EXAMPLES]), hint) if names else None


def _degenerate(
    y: NDArray[np.int32],
    digests: NDArray[np.uint64],
    constant: NDArray[np.bool_],
    labels: Sequence[Label],
) -> Issue | None:
    """Labels whose images are all the same, or each of one colour."""
    order = np.argsort(y, kind="stable")
    starts = np.flatnonzero(np.diff(y[order], prepend=UNLABELED - 1))
    found = []
    for members in np.split(order, starts[1:]):
        same = len(members) > 1 and (digests[members] == digests[members[0]]).all()
        if same or constant[members].all():
            code = int(y[members[0]])
            found.append("all images without a label" if code == UNLABELED else labels[code].name)
    hint = "All images are the same, or each is of one colour; there is nothing to learn in them."
    return _labels_issue("constant_images", "warning", found, hint)
