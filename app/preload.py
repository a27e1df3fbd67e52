"""Import of torch, pyarrow and Celery in a background thread after startup.

The imported objects are excluded from garbage collection. Otherwise the 99th percentile of /livez
during a burst is about 1.5 times as high (bench/sampling.md).
"""

import gc
import importlib
import threading

from modalities import registry

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
    _loaded.set()


def is_loaded() -> bool:
    return _loaded.is_set()
