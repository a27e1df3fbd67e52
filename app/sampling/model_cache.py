"""LRU cache of loaded models, bounded in bytes. Concurrent requests for a model share one load.

This module does not import torch, so that routes can use it early.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from weakref import WeakValueDictionary

from sqlalchemy.exc import SQLAlchemyError

from core import model_registry
from core.database import read
from core.errors import ResourceInUse, Unavailable
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, get_storage
from core.tables import Model
from modalities import registry
from modalities.sampling import Sampler
from models.device import DeviceUnavailable

log = logging.getLogger(__name__)

EVICTION_TIMEOUT_S = 1.0  # longest wait for idle models to evict
DELETION_CHECK_S = 60.0  # another process may have deleted a model

# From the name of the modality and the file; raises ValueError if the file is not a model.
LoadSampler = Callable[[str, Path], Sampler]


@dataclass
class CachedModel:
    sampler: Sampler
    bytes: int
    model_ids: set[str]  # of the models and checkpoints with these weights that were used
    streams: int = 0  # number of responses that are using the model


class ModelCache:
    def __init__(self, storage: Storage, capacity: int, load_sampler: LoadSampler) -> None:
        self._storage, self._capacity, self._load_sampler = storage, capacity, load_sampler
        # By SHA-256 of the weights, least recently used first.
        self._models: OrderedDict[str, CachedModel] = OrderedDict()
        self._reserved: dict[str, int] = {}  # bytes of models that are being loaded
        # A lock lasts as long as a thread loads the model or waits for it.
        self._load_locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._lock = threading.Condition()
        self.loads = 0  # total number of loads from storage

    def load(self, model: Model) -> Sampler:
        """Load the model if necessary and return its sampler.

        Raises:
            Unavailable: The weights cannot be read, or the models in use leave no space.
        """
        with self.lease(model) as sampler:
            return sampler

    @contextmanager
    def lease(self, model: Model) -> Iterator[Sampler]:
        """Return the model's sampler; the model is not evicted until the block ends.

        Raises:
            Unavailable: As for `load`.
        """
        with self._lock:
            cached = self._lookup(model)
        if cached is None:
            cached = self._load(model)
        try:
            yield cached.sampler
        finally:
            with self._lock:
                cached.streams -= 1
                self._lock.notify_all()

    def unload(self, model: Model) -> None:
        """Remove the model from the cache.

        Raises:
            ResourceInUse: Samples are being generated from the model.
        """
        sha256 = model.weights["sha256"]
        with self._lock:
            cached = self._models.get(sha256)
            if cached is not None and cached.streams:
                raise ResourceInUse(
                    f"{model.name}:{model.version} is generating samples for {cached.streams} "
                    "responses. Retry later.",
                    streams=cached.streams,
                )
            self._models.pop(sha256, None)

    def remove_deleted(self) -> None:
        """Remove models that are deleted, except those that samples are being generated from."""
        with self._lock:
            cached_ids = {sha256: set(each.model_ids) for sha256, each in self._models.items()}
        if not cached_ids:
            return
        with read() as session:
            existing = model_registry.existing_ids(session, set().union(*cached_ids.values()))
        with self._lock:
            for sha256, ids in cached_ids.items():
                cached = self._models.get(sha256)
                if cached is None:
                    continue
                cached.model_ids -= ids - existing
                if not cached.model_ids and not cached.streams:
                    del self._models[sha256]

    def is_loaded(self, model: Model) -> bool:
        with self._lock:
            return model.weights["sha256"] in self._models

    @property
    def bytes(self) -> int:
        with self._lock:
            return self._used_bytes()

    def _load(self, model: Model) -> CachedModel:
        """Load the model, or wait until another thread has loaded it."""
        stored = StoredObject.from_dict(model.weights)
        with self._lock:
            load_lock = self._load_locks.setdefault(stored.sha256, threading.Lock())
        with load_lock:
            with self._lock:
                if (cached := self._lookup(model)) is not None:
                    return cached
                self._wait_for_space(stored.bytes)
                self._reserved[stored.sha256] = stored.bytes
            loaded = None
            try:
                sampler = self._open(model.modality, stored)
                loaded = CachedModel(sampler, sampler.bytes, {model.id}, streams=1)
            finally:
                # One critical section, so that no other model takes the reserved space.
                with self._lock:
                    del self._reserved[stored.sha256]
                    if loaded is not None:
                        self.loads += 1
                        self._models[stored.sha256] = loaded
                    self._lock.notify_all()
            return loaded

    def _lookup(self, model: Model) -> CachedModel | None:
        sha256 = model.weights["sha256"]
        cached = self._models.get(sha256)
        if cached is not None:
            cached.model_ids.add(model.id)
            self._models.move_to_end(sha256)
            cached.streams += 1
        return cached

    def _open(self, modality: str, stored: StoredObject) -> Sampler:
        try:
            with self._storage.open(stored) as path:
                return self._load_sampler(modality, path)
        except DeviceUnavailable as error:
            raise Unavailable(
                f"This server cannot sample: {error}", code="device_unavailable"
            ) from error
        except (ObjectCorrupted, ValueError) as error:
            raise Unavailable(
                "The weights of the model cannot be read.", code="model_unavailable"
            ) from error

    def _wait_for_space(self, required_bytes: int) -> None:
        if not self._lock.wait_for(
            lambda: self._evict_until_fits(required_bytes), EVICTION_TIMEOUT_S
        ):
            raise Unavailable(
                "The models in use leave no space in memory for this one. Retry later.",
                code="model_cache_full",
                headers={"Retry-After": "2"},
                limit=self._capacity,
            )

    def _evict_until_fits(self, required_bytes: int) -> bool:
        """Evict idle models, least recently used first. Return True if the new model fits.

        A model that is larger than the whole cache may be loaded alone.
        """
        for sha256, cached in list(self._models.items()):
            if self._used_bytes() + required_bytes <= self._capacity:
                break
            if not cached.streams:
                del self._models[sha256]
        return not self._used_bytes() or self._used_bytes() + required_bytes <= self._capacity

    def _used_bytes(self) -> int:
        loaded = sum(cached.bytes for cached in self._models.values())
        return loaded + sum(self._reserved.values())


@contextmanager
def removing_deleted_models() -> Iterator[None]:
    """Remove deleted models from the cache of this process once a minute, in the block."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(DELETION_CHECK_S):
            try:
                if get_model_cache.cache_info().currsize:  # a request has created it
                    get_model_cache().remove_deleted()
            except SQLAlchemyError as error:
                log.warning("action failed; will retry", extra={"cause": type(error).__name__})

    threading.Thread(target=repeat, name="deleted-models", daemon=True).start()
    try:
        yield
    finally:
        stop.set()


@lru_cache
def get_model_cache() -> ModelCache:
    return ModelCache(get_storage(), get_settings().model_cache_bytes, _load_sampler)


def _load_sampler(modality: str, path: Path) -> Sampler:
    return registry.get(modality).load_sampler(path, get_settings().sampling_device)


def first_readable(models: Sequence[Model]) -> Model:
    """Return the first model whose weights can be read.

    The last model is returned unchecked: loading it raises Unavailable if it cannot be read.
    """
    for model in models[:-1]:
        try:
            get_model_cache().load(model)
        except Unavailable as error:
            if error.code != "model_unavailable":
                raise
            log.warning(
                "The weights of a checkpoint are damaged; trying the previous one.",
                extra={"model": model.id},
            )
        else:
            return model
    return models[-1]
