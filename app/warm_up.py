"""Imports what is slow on the side, once the port is open, so that nobody waits for it later."""

import importlib
import threading

_loaded = threading.Event()


def begin() -> None:
    threading.Thread(target=_load, name="torch", daemon=True).start()


def _load() -> None:
    importlib.import_module("celery")  # for the first hint
    importlib.import_module("app.sampling.sampler")
    _loaded.set()


def is_loaded() -> bool:
    return _loaded.is_set()
