"""Imports what is slow on the side, once the port is open, so that nobody waits for it later."""

import gc
import importlib
import threading

_loaded = threading.Event()


def start() -> None:
    threading.Thread(target=_load, name="torch", daemon=True).start()


def _load() -> None:
    importlib.import_module("celery")  # for the first hint
    for name in ("image_response", "tabular_response"):
        importlib.import_module(f"app.sampling.{name}")
    if not _loaded.is_set():
        # A full collection would go through all that was loaded, a tenth of a second in which no
        # request is answered, each time that many requests have come.
        gc.collect()
        gc.freeze()
    _loaded.set()


def is_loaded() -> bool:
    return _loaded.is_set()
