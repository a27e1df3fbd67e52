"""Recognition of images that accompany another one in the same folder: masks and copies.

Sets of segmentation keep `001.bmp` next to `001.png`, or `001.png` next to `001_mask.png`.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MASK_SUFFIX = re.compile(
    r"(?P<image>.+?)[ _.-]+(mask|seg|segmentation|gt|groundtruth|trimap)s?([ _.-]*\d+)?",
    re.IGNORECASE,
)
_MIN_PAIRED = 0.9  # of the file names of a folder must exist with both suffixes
# Photographs come before the formats in which masks are stored.
_PREFERENCE = (
    *(".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dib", ".ppm", ".pgm", ".webp", ".png"),
    *(".gif", ".svg"),
)


def find_twins(names: Sequence[str]) -> NDArray[np.bool_]:
    """Return True for each image that is a mask or a copy of another one of `names`."""
    stems = [_split_suffix(name) for name in names]
    plain = {stem for stem, _ in stems}
    is_twin = np.zeros(len(names), bool)
    for i, (stem, _) in enumerate(stems):
        match = _MASK_SUFFIX.fullmatch(stem)
        is_twin[i] = match is not None and match["image"] in plain
    preferred = _preferred_suffixes(stems)
    existing = {(stem, suffix.lower()) for stem, suffix in stems}
    for i, (stem, suffix) in enumerate(stems):
        kept = preferred.get(stem.rpartition("/")[0], suffix.lower())
        is_twin[i] |= suffix.lower() != kept and (stem, kept) in existing
    return is_twin


def _preferred_suffixes(stems: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the suffix of the images for each folder whose files come in pairs."""
    folders: dict[str, Counter[str]] = {}
    suffixes: dict[str, set[str]] = {}
    for stem, suffix in stems:
        suffixes.setdefault(stem, set()).add(suffix.lower())
    for stem, each in suffixes.items():
        counts = folders.setdefault(stem.rpartition("/")[0], Counter())
        counts["names"] += 1
        if len(each) == 2:
            counts["|".join(sorted(each))] += 1
    preferred = {}
    for folder, counts in folders.items():
        total = counts.pop("names")
        if counts and (pair := counts.most_common(1)[0])[1] >= max(2, _MIN_PAIRED * total):
            preferred[folder] = min(pair[0].split("|"), key=_rank)
    return preferred


def _rank(suffix: str) -> int:
    return _PREFERENCE.index(suffix) if suffix else len(_PREFERENCE)


def _split_suffix(name: str) -> tuple[str, str]:
    """Split off the suffix of an image. The end of `subject01.happy` is not a suffix."""
    stem, suffix = posixpath.splitext(name)
    return (stem, suffix) if suffix.lower() in _PREFERENCE else (name, "")
