"""Slots of the processes that read untrusted files: all on a machine stay under one budget.

Each such process may use up to 4 GiB (core.datasets.sandbox_child), so only a few may run at a
time, in whatever process they are started.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core import file_lock
from core.errors import Unavailable
from core.settings import get_settings

REQUEST_WAIT_S = 30.0  # of requests, which hold a thread meanwhile
_POLL_S = 0.1


@contextmanager
def reader_slot(
    wait_s: float = REQUEST_WAIT_S, on_wait: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold a slot while the block runs; call `on_wait` while waiting for one.

    Raises:
        Unavailable: No slot became free within `wait_s`.
    """
    settings, deadline = get_settings(), time.monotonic() + wait_s
    while True:
        for number in range(settings.concurrent_readers):
            with file_lock.try_lock(settings.scratch / f"reader-{number}.lock") as acquired:
                if acquired:
                    yield
                    return
        if time.monotonic() > deadline:
            raise Unavailable(
                "Too many files are being read. Retry later.",
                code="readers_busy",
                headers={"Retry-After": "30"},
            )
        on_wait()
        time.sleep(_POLL_S)
