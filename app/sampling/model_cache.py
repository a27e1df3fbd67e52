"""Models in memory, by bytes: loaded once however many ask, forgotten when others need the room.

Free of torch, so that routes can tell what is loaded; it is imported to load something.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ResourceInUse, Unavailable
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, get_storage
from core.tables import Model

if TYPE_CHECKING:
    from models.load import AnySampler

log = logging.getLogger(__name__)

EVICTION_TIMEOUT_S = 1.0  # for room

ReadSampler = Callable[[Path], "AnySampler"]  # raises ValueError when the file is no model


@dataclass
class CachedModel:
    sampler: "AnySampler"
    bytes: int
    streams: int = 0  # answers that are being drawn


class ModelCache:
    def __init__(self, storage: Storage, capacity: int, read: ReadSampler) -> None:
        self._storage, self._capacity, self._read = storage, capacity, read
        self._residents: OrderedDict[str, CachedModel] = OrderedDict()  # used last: at the end
        self._arriving: dict[str, int] = {}
        self._loading: dict[str, threading.Lock] = {}
        self._lock = threading.Condition()
        self.loads = 0  # from storage, ever

    def load(self, model: Model) -> "AnySampler":
        """Raises Unavailable when the weights cannot be read, or models that are being drawn from
        leave no room."""
        with self.lease(model) as generator:
            return generator

    @contextmanager
    def lease(self, model: Model) -> Iterator["AnySampler"]:
        """The model stays where it is until the block ends."""
        resident = self._enter(StoredObject.from_dict(model.weights))
        try:
            yield resident.sampler
        finally:
            with self._lock:
                resident.streams -= 1
                self._lock.notify_all()

    def unload(self, model: Model) -> None:
        """Raises ResourceInUse while an answer is being drawn from it."""
        sha256 = model.weights["sha256"]
        with self._lock:
            resident = self._residents.get(sha256)
            if resident is not None and resident.streams:
                raise ResourceInUse(
                    f"{model.name}:{model.version} is being drawn from for "
                    f"{resident.streams} answers",
                    streams=resident.streams,
                )
            self._residents.pop(sha256, None)

    def is_loaded(self, model: Model) -> bool:
        with self._lock:
            return model.weights["sha256"] in self._residents

    @property
    def bytes(self) -> int:
        with self._lock:
            return self._used()

    def _enter(self, stored: StoredObject) -> CachedModel:
        with self._lock:
            if (ready := self._found(stored.sha256)) is not None:
                return ready
            loading = self._loading.setdefault(stored.sha256, threading.Lock())
        with loading:
            with self._lock:
                if (ready := self._found(stored.sha256)) is not None:
                    return ready
                self._make_room(stored.bytes)
                self._arriving[stored.sha256] = stored.bytes
            resident = None
            try:
                generator = self._open(stored)
                resident = CachedModel(generator, generator.bytes, streams=1)
            finally:
                with self._lock:  # at one moment, so that nobody takes its room in between
                    del self._arriving[stored.sha256]
                    self._loading.pop(stored.sha256, None)
                    if resident is not None:
                        self.loads += 1
                        self._residents[stored.sha256] = resident
                    self._lock.notify_all()
            return resident

    def _found(self, sha256: str) -> CachedModel | None:
        resident = self._residents.get(sha256)
        if resident is not None:
            self._residents.move_to_end(sha256)
            resident.streams += 1
        return resident

    def _open(self, stored: StoredObject) -> "AnySampler":
        try:
            with self._storage.open(stored) as path:
                return self._read(path)
        except (ObjectCorrupted, ValueError) as error:
            raise Unavailable(
                "the model's weights cannot be read", code="model_unavailable"
            ) from error

    def _make_room(self, wanted: int) -> None:
        """Waits a while for models that are being drawn from."""
        if not self._lock.wait_for(lambda: self._has_room(wanted), EVICTION_TIMEOUT_S):
            raise Unavailable(
                "the models that are being drawn from leave no room for this one",
                code="model_cache_full",
                headers={"Retry-After": "2"},
                limit=self._capacity,
            )

    def _has_room(self, wanted: int) -> bool:
        """Forgets the models that nobody draws from, the one not used for longest first. A model
        that is larger than all the room may have it alone."""
        for sha256, resident in list(self._residents.items()):
            if self._used() + wanted <= self._capacity:
                break
            if not resident.streams:
                del self._residents[sha256]
        return not self._used() or self._used() + wanted <= self._capacity

    def _used(self) -> int:
        here = sum(resident.bytes for resident in self._residents.values())
        return here + sum(self._arriving.values())


@lru_cache
def get_model_cache() -> ModelCache:
    return ModelCache(get_storage(), get_settings().model_cache_bytes, _read)


def _read(path: Path) -> "AnySampler":
    from models.load import load_sampler  # torch: it may still be loading

    return load_sampler(path)


def first_readable(models: Sequence[Model]) -> Model:
    """The first of them whose weights can be read. Raises Unavailable when there is none."""
    for model in models[:-1]:
        try:
            get_model_cache().load(model)
        except Unavailable as error:
            if error.code != "model_unavailable":
                raise
            log.warning("damaged weights; trying those before", extra={"model": model.id})
        else:
            return model
    return models[-1]
