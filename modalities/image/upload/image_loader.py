"""Loader that decodes image files one by one, checks them and appends them to x.npy."""

import posixpath
from array import array
from collections import Counter

import numpy as np
from PIL import Image

from core.datasets.data_quality import Issue
from core.datasets.errors import ErrorCollector
from core.limits import Limits
from modalities.image.upload.arrays.npy_store import ImageStore
from modalities.image.upload.decode import (
    PIL_FORMATS,
    ImageProblem,
    count_frames,
    decode,
    describe_conversion,
    is_deep,
    open_image,
    oriented_size,
)
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.resize import Size, choose_size, resize_image
from modalities.image.upload.value_range import ValueRange

_SUFFIX_TYPES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".webp": "webp",
    ".gif": "gif",
    ".bmp": "bmp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".ppm": "pnm",
    ".pgm": "pnm",
    ".tga": "tga",
}
_MAX_EXAMPLES = 5


class NeedsValueRange(Exception):
    """The first image with more than 8 bits was reached, and the range of the set is unknown."""


class ImageLoader:
    """Adds `expected` images to `store`. `target` is their size if `options.resize` is set.

    Images that cannot be used are left out, up to the share `options.max_bad_share`. Without
    `resize`, the first image sets the size. After the first image of another size, or one unusable
    image too many, only headers are read, so that the error message can report all sizes or all
    unusable files.

    Raises NeedsValueRange if an image has more than 8 bits and `value_range` is None.
    """

    def __init__(
        self,
        store: ImageStore,
        options: ImageOptions,
        limits: Limits,
        *,
        expected: int,
        target: Size | None,
        value_range: ValueRange | None,
    ) -> None:
        self._store = store
        self._options = options
        self._limits = limits
        self._target = target
        self._sizes: Counter[Size] = Counter()
        self._value_range = value_range
        self._bad = ErrorCollector()
        self._max_bad = options.max_bad(expected)
        self._bad_names: list[str] = []
        self._conversions: Counter[str] = Counter()
        self.loaded_indices = {False: array("L"), True: array("L")}  # by `is_test`

    @property
    def should_abort(self) -> bool:
        """True if further images can add nothing to the error message."""
        return self._bad.is_full and self._has_too_many_bad

    @property
    def _has_too_many_bad(self) -> bool:
        return self._bad.count > self._max_bad

    def add(self, index: int, name: str, content: bytes, *, is_test: bool) -> None:
        try:
            image = open_image(content, self._limits)
            if self._only_headers:
                self._sizes[oriented_size(image)] += 1
                return
            if is_deep(image) and self._value_range is None:
                raise NeedsValueRange
            decoded = decode(image, self._options.background, self._value_range)
        except ImageProblem as problem:
            self._bad.add(name, problem.code, problem.message)
            self._bad_names = [*self._bad_names, name][:_MAX_EXAMPLES]
            return
        self._sizes[decoded.height, decoded.width] += 1
        self._count_conversions(image, name)
        if not self._only_headers:
            self._store_image(index, decoded, is_test)

    @property
    def _only_headers(self) -> bool:
        """True if the dataset will be rejected."""
        if self._has_too_many_bad:
            return True
        if self._target is not None:
            return False
        return len(self._sizes) > 1 or any(
            max(size) > self._limits.image_size_max for size in self._sizes
        )

    def _store_image(self, index: int, image: Image.Image, is_test: bool) -> None:
        if self._target is not None and self._options.resize is not None:
            image = resize_image(image, self._target, self._options.resize)
        self._store.append(np.asarray(image)[None], is_test=is_test)
        self.loaded_indices[is_test].append(index)

    def finish(self) -> None:
        """Raise DatasetUnreadable unless all images, except a few unusable ones, are stored."""
        if self._has_too_many_bad or (self._bad and self._store.n_train < self._limits.images_min):
            raise self._bad.to_error("images cannot be used")
        if self._target is None and self._sizes:
            choose_size(self._sizes, self._options, self._limits)

    def issues(self) -> list[Issue]:
        if not self._bad:
            return []
        hint = (
            f"Images that cannot be used were left out: {self._bad.errors[0].message}"
            " To reject such sets, set `max_bad_share` to 0."
        )
        names = tuple(self._bad_names)
        return [Issue("unreadable_image", "warning", self._bad.count, names, hint)]

    def notes(self) -> list[str]:
        return [f"{count:,} images were {text}." for text, count in self._conversions.most_common()]

    def _count_conversions(self, image: Image.Image, name: str) -> None:
        background, value_range = self._options.background, self._value_range
        if conversion := describe_conversion(image, background, value_range):
            self._conversions[conversion] += 1
        if count_frames(image) > 1:
            self._conversions["read by their first frame or page only"] += 1
        suffix = posixpath.splitext(name)[1].lower()
        if PIL_FORMATS.get(_SUFFIX_TYPES.get(suffix, "")) not in {image.format, None}:
            self._conversions[
                "read by their content, because their suffix names another format"
            ] += 1
