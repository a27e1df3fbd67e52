"""Import of torch, pyarrow and Celery in a background thread after startup."""

import gc
import importlib
import threading

import modalities

_loaded = threading.Event()


def start() -> None:
    threading.Thread(target=_load, name="preload", daemon=True).start()


def _load() -> None:
    importlib.import_module("celery")  # the first job notification needs it
    importlib.import_module("app.sampling.response")
    for modality in modalities.installed().values():
        modality.preload()
    if not _loaded.is_set():
        # Without `freeze`, each full garbage collection visits all imported objects, which blocks
        # requests for 0.1 s.
        gc.collect()
        gc.freeze()
    _loaded.set()


def is_loaded() -> bool:
    return _loaded.is_set()
