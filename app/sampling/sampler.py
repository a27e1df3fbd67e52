"""Models in memory, and items drawn from them in batches of one fixed shape."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import Unavailable
from core.settings import get_settings
from core.storage import DamagedObject, Storage, Stored, get_storage
from core.tables import Model
from models.checkpoint import UnreadableCheckpoint, unpack
from models.images import drawing as images
from models.images.order import Order
from models.images.sampling import ImageSampler
from models.tables import drawing as rows
from models.tables.known import Known
from models.tables.order import RowOrder
from models.tables.sampling import Drawn, RowSampler

Pixels = NDArray[np.uint8]
Generator = ImageSampler | RowSampler
KINDS: dict[str, Callable[..., Generator]] = {
    "images": ImageSampler.load,
    "rows": RowSampler.load,
}


class Sampler:
    def __init__(self, storage: Storage, capacity: int) -> None:
        self._storage = storage
        self._capacity = capacity
        self._loaded: OrderedDict[str, Generator] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        # One batch at a time: torch spreads each over the threads it was given.
        self._computing = threading.Lock()

    def draw(self, model: Model, order: Order) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        """Batches of label indices (B,) and images (B, H, W) or (B, H, W, 3), in order.

        Loads the model before the first batch is asked for. Raises Unavailable if it cannot.
        """
        generator = self.load(model)
        assert isinstance(generator, ImageSampler)  # noqa: S101 - the model's kind says so
        return self._draw(generator, order)

    def _draw(
        self, generator: ImageSampler, order: Order
    ) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        for labels, numbers in order.batches(generator.batch):
            with self._computing:
                pixels = images.drawn(generator, order.seed, labels, numbers)
            yield labels, pixels

    def rows(self, model: Model, order: RowOrder) -> Iterator[Drawn]:
        """Rows in order, some thousand at a time, each with the share of candidates that was kept.

        Loads the model before the first rows are asked for. Raises Unavailable if it cannot, and,
        as rows are drawn, InvalidCondition and TooRare (models.tables.conditions).
        """
        generator = self.load(model)
        assert isinstance(generator, RowSampler)  # noqa: S101 - the model's kind says so
        return self._rows(generator, order)

    def _rows(self, generator: RowSampler, order: RowOrder) -> Iterator[Drawn]:
        seen: set[Any] = set()
        for numbers, wheres in rows.chunks(order):
            with self._computing:
                drawn = rows.drawn(
                    generator,
                    order.seed,
                    numbers,
                    wheres,
                    seen,
                    refuse_copies=order.refuse_copies,
                )
            yield drawn

    def completed(
        self, model: Model, seed: int, offset: int, known: Sequence[Mapping[str, Any]]
    ) -> Iterator[Drawn]:
        """The rows of `known`, completed, in order.

        Raises Unavailable, CannotComplete, and InvalidKnown (models.tables.known).
        """
        generator = self.load(model)
        assert isinstance(generator, RowSampler)  # noqa: S101 - the model's kind says so
        return self._completed(generator, seed, offset, Known.parse(generator.encoding, known))

    def _completed(
        self, generator: RowSampler, seed: int, offset: int, known: Known
    ) -> Iterator[Drawn]:
        for numbers in rows.completions(known):
            with self._computing:
                drawn = generator.complete(seed, numbers + offset, known.part(numbers))
            yield drawn

    def load(self, model: Model) -> Generator:
        """The model's generator, loaded once however many ask at the same time."""
        stored = Stored.from_dict(model.weights)
        with self._lock:
            if (ready := self._loaded.get(stored.sha256)) is not None:
                self._loaded.move_to_end(stored.sha256)
                return ready
            loading = self._loading.setdefault(stored.sha256, threading.Lock())
        with loading:
            with self._lock:
                if (ready := self._loaded.get(stored.sha256)) is not None:
                    return ready
            generator = self._read(stored)
            with self._lock:
                self._loaded[stored.sha256] = generator
                self._loading.pop(stored.sha256, None)
                self._make_room()
            return generator

    def _read(self, stored: Stored) -> Generator:
        try:
            with self._storage.open(stored) as path:
                tensors, header = unpack(path)
                return KINDS[header["kind"]](tensors, header)
        except (DamagedObject, UnreadableCheckpoint, KeyError) as error:
            raise Unavailable(
                "the model's weights cannot be read", code="model_unavailable"
            ) from error

    def _make_room(self) -> None:
        """Forget the models that were not used for longest; the newest stays, however large."""
        while len(self._loaded) > 1 and (
            sum(model.bytes for model in self._loaded.values()) > self._capacity
        ):
            self._loaded.popitem(last=False)


@lru_cache
def get_sampler() -> Sampler:
    settings = get_settings()
    torch.set_num_threads(settings.sampler_threads)
    return Sampler(get_storage(), settings.sampler_bytes)
