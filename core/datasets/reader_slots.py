"""Slots of the processes that read untrusted files: all on a machine stay under one budget.

Each such process may use up to 4 GiB (core.datasets.sandbox_child), so only a few may run at a
time, in whatever process they are started. Tenants whose files wait in one process take turns, and
one alone does not hold all slots while another has files to read.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from core import file_lock
from core.errors import Unavailable
from core.settings import Settings, get_settings

REQUEST_WAIT_S = 30.0  # of requests, which hold a thread meanwhile
POLL_S = 0.1
# A tenant that has read a file in this time leaves a slot to others: a file may be read for half an
# hour.
RECENT_S = 600.0


class Turns:
    """Order of the threads of this process that wait for a slot."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[object, str]] = []  # ticket and tenant
        self._served_at: dict[str, float] = {}  # by tenant
        self._held: Counter[str] = Counter()

    @contextmanager
    def wait(self, tenant_id: str) -> Iterator[object]:
        """Yield a ticket that waits until the end of the block."""
        ticket = object()
        with self._lock:
            self._waiting.append((ticket, tenant_id))
        try:
            yield ticket
        finally:
            with self._lock:
                self._waiting.remove((ticket, tenant_id))

    @contextmanager
    def hold(self, tenant_id: str) -> Iterator[None]:
        """Count a slot of the tenant until the end of the block."""
        with self._lock:
            self._held[tenant_id] += 1
            self._serve(tenant_id)
        try:
            yield
        finally:
            with self._lock:
                self._held[tenant_id] -= 1
                self._serve(tenant_id)

    def count_waiting(self) -> int:
        return len(self._waiting)

    def is_next(self, ticket: object, slots: int) -> bool:
        """Return True for the first ticket of the tenant that was served longest ago."""
        with self._lock:
            now = time.monotonic()
            self._served_at = {
                tenant: at
                for tenant, at in self._served_at.items()
                if self._held[tenant] or now - at < RECENT_S
            }
            active = self._served_at.keys() | {tenant for _, tenant in self._waiting}
            limit = slots if len(active) == 1 else max(1, slots - 1)
            may_start = [each for each in self._waiting if self._held[each[1]] < limit]
            first = min(may_start, key=lambda each: self._served_at.get(each[1], 0), default=None)
            return first is not None and first[0] is ticket

    def _serve(self, tenant_id: str) -> None:
        self._served_at[tenant_id] = time.monotonic()


turns = Turns()


@contextmanager
def reader_slot(
    tenant_id: str, wait_s: float = REQUEST_WAIT_S, on_wait: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Hold a slot while the block runs; call `on_wait` while waiting for one.

    Raises:
        Unavailable: No slot became free within `wait_s`.
    """
    settings, deadline = get_settings(), time.monotonic() + wait_s
    with ExitStack() as held:
        with turns.wait(tenant_id) as ticket:
            while True:
                is_next = turns.is_next(ticket, settings.concurrent_readers)
                if is_next and (lock := _lock_slot(settings)) is not None:
                    held.enter_context(lock)
                    held.enter_context(turns.hold(tenant_id))
                    break
                if time.monotonic() > deadline:
                    raise Unavailable(
                        "Too many files are being read. Retry later.",
                        code="readers_busy",
                        headers={"Retry-After": "30"},
                    )
                on_wait()
                time.sleep(POLL_S)
        yield


def _lock_slot(settings: Settings) -> ExitStack | None:
    """Return the lock of a slot that was free, or None."""
    for number in range(settings.concurrent_readers):
        with ExitStack() as stack:
            path = settings.scratch / f"reader-{number}.lock"
            if stack.enter_context(file_lock.try_lock(path)):
                return stack.pop_all()
    return None
