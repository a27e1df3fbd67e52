"""Models in memory, and items drawn from them in batches of one fixed shape.

A batch is always filled up to the model's own size, so that an item does not depend on how many
others were asked for with it.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from app.sampling.order import Order
from app.sampling.row_order import RowOrder, Where
from core.errors import Unavailable
from core.settings import get_settings
from core.storage import DamagedObject, Storage, Stored, get_storage
from core.tables import Model
from models import noise
from models.checkpoint import UnreadableCheckpoint, unpack
from models.images.sampling import ImageSampler
from models.tables.sampling import Drawn, RowSampler

Pixels = NDArray[np.uint8]
Generator = ImageSampler | RowSampler
KINDS: dict[str, Callable[..., Generator]] = {
    "images": ImageSampler.load,
    "rows": RowSampler.load,
}


ROWS_AT_ONCE = 16_384


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
            n = len(labels)
            padded = np.zeros(generator.batch, np.int64)
            padded[:n] = labels
            z = np.zeros((generator.batch, generator.noise_size), np.float32)
            z[:n] = noise.normals(order.seed, numbers, generator.noise_size)
            with self._computing:
                pixels = generator.draw(z, padded)
            yield labels, pixels[:n]

    def rows(self, model: Model, order: RowOrder) -> Iterator[Drawn]:
        """Rows in order, some thousand at a time, each with the share of candidates that was kept.

        Loads the model before the first rows are asked for. Raises Unavailable if it cannot, and,
        as rows are drawn, InvalidCondition and TooRare (models.tables.conditions).
        """
        generator = self.load(model)
        assert isinstance(generator, RowSampler)  # noqa: S101 - the model's kind says so
        return self._rows(generator, order)

    def _rows(self, generator: RowSampler, order: RowOrder) -> Iterator[Drawn]:
        for part in order.parts:
            for numbers in part.chunks(ROWS_AT_ONCE):
                with self._computing:
                    yield drawn(generator, order.seed, numbers, part.wheres)

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


def drawn(
    generator: RowSampler, seed: int, numbers: NDArray[np.int64], wheres: tuple[Where, ...]
) -> Drawn:
    """One row for each number; with several conditions, number k meets condition k mod their
    number."""
    if len(wheres) == 1:
        return generator.draw(seed, numbers, wheres[0])
    turn = numbers % len(wheres)
    parts = [
        generator.draw(seed, numbers[turn == i], where)
        for i, where in enumerate(wheres)
        if (turn == i).any()
    ]
    place = np.argsort(np.concatenate([np.flatnonzero(turn == i) for i in range(len(wheres))]))
    rows = pa.concat_batches([part.rows for part in parts]).take(pa.array(place))
    kept = sum(len(part.rows) for part in parts)
    return Drawn(rows, kept / sum(len(part.rows) / part.acceptance for part in parts))


@lru_cache
def get_sampler() -> Sampler:
    settings = get_settings()
    torch.set_num_threads(settings.sampler_threads)
    return Sampler(get_storage(), settings.sampler_bytes)
