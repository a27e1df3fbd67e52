"""Models in memory, and items drawn from them in batches of one fixed shape.

A batch is always filled up to the model's own size, so that an item does not depend on how many
others were asked for with it.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from app.sampling.order import Order
from core.errors import Unavailable
from core.settings import get_settings
from core.storage import DamagedObject, Storage, Stored, get_storage
from core.tables import Model
from models import noise
from models.checkpoint import UnreadableCheckpoint, unpack
from models.images.sampling import ImageSampler

Pixels = NDArray[np.uint8]


class Sampler:
    def __init__(self, storage: Storage, capacity: int) -> None:
        self._storage = storage
        self._capacity = capacity
        self._loaded: OrderedDict[str, ImageSampler] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        # One batch at a time: torch spreads each over the threads it was given.
        self._computing = threading.Lock()

    def draw(self, model: Model, order: Order) -> Iterator[tuple[NDArray[np.int64], Pixels]]:
        """Batches of label indices (B,) and images (B, H, W) or (B, H, W, 3), in order.

        Loads the model before the first batch is asked for. Raises Unavailable if it cannot.
        """
        generator = self.load(model)
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

    def load(self, model: Model) -> ImageSampler:
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

    def _read(self, stored: Stored) -> ImageSampler:
        try:
            with self._storage.open(stored) as path:
                return ImageSampler.load(*unpack(path))
        except (DamagedObject, UnreadableCheckpoint) as error:
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
