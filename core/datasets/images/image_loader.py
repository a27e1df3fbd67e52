"""Pictures one by one: decoded, counted, refused or stored."""

import posixpath
from array import array
from collections import Counter

import numpy as np
from PIL import Image

from core.datasets.data_quality import Issue
from core.datasets.errors import ErrorCollector
from core.datasets.images.decode import (
    PIL_FORMATS,
    ImageProblem,
    decode,
    describe_conversion,
    open_image,
    oriented_size,
)
from core.datasets.images.npy_store import ImageStore
from core.datasets.images.options import ImageOptions
from core.datasets.images.resize import Size, choose_size, resize_image
from core.settings import Limits

_DAMAGED_SHARE = 100  # one damaged picture in so many is left out and reported, ...
_DAMAGED_MOST = 100  # ... but no more than this
_ENDINGS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".jpe": "jpeg", ".webp": "webp"}


class ImageLoader:
    """Takes `expected` pictures. With `resize` in the options, `target` is their size.

    Without, the first picture sets the size. From the first one of another size on, or the first
    that cannot be used, only headers are read, so that the refusal can say all there is to say.
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
        self._faults = ErrorCollector()
        self._damaged = ErrorCollector()
        self._damaged_most = min(_DAMAGED_MOST, expected // _DAMAGED_SHARE)
        self._damaged_names: list[str] = []
        self._conversions: Counter[str] = Counter()
        self.loaded_indices = {
            False: array("L"),
            True: array("L"),
        }  # places, by whether they are held out

    @property
    def should_abort(self) -> bool:
        """Nothing more is worth saying."""
        return self._faults.is_full or (self._damaged.is_full and self._too_damaged)

    @property
    def _too_damaged(self) -> bool:
        return self._damaged.count > self._damaged_most

    def add(self, index: int, name: str, content: bytes, *, is_test: bool) -> None:
        try:
            image = open_image(content, self._limits)
            if self._only_headers:
                self._sizes[oriented_size(image)] += 1
                return
            picture = decode(image)
        except ImageProblem as problem:
            damaged = problem.code == "image_unreadable"
            (self._damaged if damaged else self._faults).add(name, problem.code, problem.message)
            if damaged:
                self._damaged_names = [*self._damaged_names, name][:5]
            return
        self._sizes[picture.height, picture.width] += 1
        self._count_conversions(image, name)
        if not self._only_headers:
            self._keep(index, picture, is_test)

    @property
    def _only_headers(self) -> bool:
        if self._faults or self._too_damaged:
            return True
        if self._target is not None:
            return False
        return len(self._sizes) > 1 or any(
            max(size) > self._limits.image_size_max for size in self._sizes
        )

    def _keep(self, place: int, picture: Image.Image, held_out: bool) -> None:
        if self._target is not None and self._options.resize is not None:
            picture = resize_image(picture, self._target, self._options.resize)
        self._store.append(np.asarray(picture)[None], is_test=held_out)
        self.loaded_indices[held_out].append(place)

    def finish(self) -> None:
        """Raises DatasetUnreadable unless all pictures could be stored, but for a few damaged."""
        if self._faults:
            raise self._faults.to_error("images cannot be used")
        if self._too_damaged:
            raise self._damaged.to_error("images cannot be read")
        if self._target is None:
            choose_size(self._sizes, self._options, self._limits)

    def issues(self) -> list[Issue]:
        if not self._damaged:
            return []
        hint = "Left out. Export these images again and make the dataset anew to have them."
        names = tuple(self._damaged_names)
        return [Issue("unreadable_image", "warning", self._damaged.count, names, hint)]

    def notes(self) -> list[str]:
        return [f"{count:,} images were {how}." for how, count in self._conversions.most_common()]

    def _count_conversions(self, image: Image.Image, name: str) -> None:
        if conversion := describe_conversion(image):
            self._conversions[conversion] += 1
        ending = posixpath.splitext(name)[1].lower()
        if PIL_FORMATS.get(_ENDINGS.get(ending, "")) not in {image.format, None}:
            self._conversions["read by their content, which is not what their names say"] += 1
