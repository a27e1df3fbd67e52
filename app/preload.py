"""Import of torch, pyarrow and Celery in a background thread after startup.

The imported objects are excluded from garbage collection. Otherwise the 99th percentile of /livez
during a burst is about 1.5 times as high (bench/sampling.md).
"""

import gc
import importlib
import threading

from modalities import registry

# Containers that are created between two collections. With 700, Python's default, a full collection
# stopped all threads for 60 to 200 ms every six seconds while 256 streams were open.
NEW_OBJECTS = 10_000

_loaded = threading.Event()


def start() -> None:
    threading.Thread(target=_load, name="preload", daemon=True).start()


def _load() -> None:
    importlib.import_module("celery")  # the first job notification needs it
    importlib.import_module("app.sampling.response")
    for modality in registry.installed().values():
        modality.preload()
    if not _loaded.is_set():
        # Without `freeze`, each full garbage collection visits all imported objects, which blocks
        # requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
    _loaded.set()


def is_loaded() -> bool:
    return _loaded.is_set()
