"""Labels in file names, such as `cat.0.jpg` or `0001_dog.png`. They are offered, never assumed."""

import posixpath
import re
from collections import Counter
from collections.abc import Sequence

from core.limits import Limits
from modalities.image.upload.archive_index import IMAGE_SUFFIX

_SEPARATORS = r"[ ._()\[\]-]+"
_PATTERNS = (
    re.compile(rf"(?P<label>.*[^\W\d_])(?:{_SEPARATORS}|(?<=[^\W\d_]))\d[\w.()-]*"),  # cat.0, cat12
    re.compile(rf"[\w.-]*?\d(?:{_SEPARATORS})(?P<label>[^\W\d_].*)"),  # 0001_dog
    re.compile(rf"(?P<label>\d+){_SEPARATORS}\d[\w.()-]*"),  # 7_00042
    re.compile(rf"\d[\d.()-]*{_SEPARATORS}(?P<label>\d+)"),  # 00042_7
)
_MIN_SHARE = 0.9  # of the images must fit the pattern
_MIN_IMAGES = 2  # per label, on average


def labels_in_file_names(names: Sequence[str], limits: Limits) -> list[str | None]:
    """Return a label for each image, None for names without one; all are None without a pattern.

    The first pattern that fits nearly all names with at least two labels applies.
    """
    stems = [_stem(name.rpartition("/")[2]) for name in names]
    for pattern in _PATTERNS:
        matches = [pattern.fullmatch(stem) for stem in stems]
        labels = [match["label"].strip(" ._-([") if match else None for match in matches]
        counts = Counter(label for label in labels if label)
        minimum = max(_MIN_SHARE * len(names), _MIN_IMAGES * len(counts))
        if counts.total() >= minimum and 2 <= len(counts) <= limits.classes_max:
            return [label or None for label in labels]
    return [None] * len(names)


def have_own_names(names: Sequence[str]) -> bool:
    """Return True if nearly all files are named by words, without digits, as `adidas.png`."""
    words = sum(not any(map(str.isdigit, _stem(name.rpartition("/")[2]))) for name in names)
    return words >= _MIN_SHARE * len(names)


def _stem(name: str) -> str:
    """Return the name without its suffix. The end of `subject01.happy` is not a suffix."""
    stem, suffix = posixpath.splitext(name)
    return stem if IMAGE_SUFFIX.fullmatch(suffix) else name


def describe_labels(labels: Sequence[str | None]) -> str:
    counts = Counter(label for label in labels if label)
    return ", ".join(f"{label} ({count:,})" for label, count in counts.most_common(5))
