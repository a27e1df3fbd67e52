"""Loader that decodes image files one by one, checks them and appends them to x.npy."""

import posixpath
from array import array
from collections import Counter

import numpy as np
from PIL import Image

from core.datasets.data_quality import Issue
from core.datasets.errors import ErrorCollector
from core.settings import Limits
from modalities.image.upload.decode import (
    PIL_FORMATS,
    ImageProblem,
    decode,
    describe_conversion,
    open_image,
    oriented_size,
)
from modalities.image.upload.npy_store import ImageStore
from modalities.image.upload.options import ImageOptions
from modalities.image.upload.resize import Size, choose_size, resize_image

# Damaged images are skipped and reported as an issue, up to 1 % of all images and at most 100.
_DAMAGED_DIVISOR = 100
_MAX_DAMAGED = 100
_SUFFIX_TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".jpe": "jpeg", ".webp": "webp"}
_MAX_EXAMPLES = 5


class ImageLoader:
    """Adds `expected` images to `store`. `target` is their size if `options.resize` is set.

    Without `resize`, the first image sets the size. After the first image of another size, or the
    first one that cannot be used, only headers are read, so that the error message can report all
    sizes or all unusable files.
    """

    def __init__(
        self,
        store: ImageStore,
        options: ImageOptions,
        limits: Limits,
        *,
        expected: int,
        target: Size | None,
    ) -> None:
        self._store = store
        self._options = options
        self._limits = limits
        self._target = target
        self._sizes: Counter[Size] = Counter()
        self._errors = ErrorCollector()
        self._damaged = ErrorCollector()
        self._max_damaged = min(_MAX_DAMAGED, expected // _DAMAGED_DIVISOR)
        self._damaged_names: list[str] = []
        self._conversions: Counter[str] = Counter()
        self.loaded_indices = {False: array("L"), True: array("L")}  # by `is_test`

    @property
    def should_abort(self) -> bool:
        """True if further images can add nothing to the error message."""
        return self._errors.is_full or (self._damaged.is_full and self._too_many_damaged)

    @property
    def _too_many_damaged(self) -> bool:
        return self._damaged.count > self._max_damaged

    def add(self, index: int, name: str, content: bytes, *, is_test: bool) -> None:
        try:
            image = open_image(content, self._limits)
            if self._only_headers:
                self._sizes[oriented_size(image)] += 1
                return
            decoded = decode(image)
        except ImageProblem as problem:
            damaged = problem.code == "image_unreadable"
            (self._damaged if damaged else self._errors).add(name, problem.code, problem.message)
            if damaged:
                self._damaged_names = [*self._damaged_names, name][:_MAX_EXAMPLES]
            return
        self._sizes[decoded.height, decoded.width] += 1
        self._count_conversions(image, name)
        if not self._only_headers:
            self._store_image(index, decoded, is_test)

    @property
    def _only_headers(self) -> bool:
        """True if the dataset will be rejected."""
        if self._errors or self._too_many_damaged:
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
        """Raise DatasetUnreadable unless all images, except a few damaged ones, are stored."""
        if self._errors:
            raise self._errors.to_error("images cannot be used")
        if self._too_many_damaged:
            raise self._damaged.to_error("images cannot be read")
        if self._target is None:
            choose_size(self._sizes, self._options, self._limits)

    def issues(self) -> list[Issue]:
        if not self._damaged:
            return []
        hint = "Damaged images were skipped. To include them, export them and upload them again."
        names = tuple(self._damaged_names)
        return [Issue("unreadable_image", "warning", self._damaged.count, names, hint)]

    def notes(self) -> list[str]:
        return [f"{count:,} images were {text}." for text, count in self._conversions.most_common()]

    def _count_conversions(self, image: Image.Image, name: str) -> None:
        if conversion := describe_conversion(image):
            self._conversions[conversion] += 1
        suffix = posixpath.splitext(name)[1].lower()
        if PIL_FORMATS.get(_SUFFIX_TYPES.get(suffix, "")) not in {image.format, None}:
            self._conversions[
                "read by their content, because their suffix names another format"
            ] += 1
