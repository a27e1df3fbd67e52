"""Shares of the processor: how much of it the requests of each tenant have used lately.

Turns alone do not share it evenly. A tenant with hundreds of requests always has work to do while
another tenant's request is between two steps, and each thread that runs Python delays the others at
the interpreter lock. So the tenant that has used the most rests between two pieces of its work.
"""

import math
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import coroutine
from typing import Any

MEMORY_S = 1.0  # after this time, a third of the used time still counts
# A tenant leaves the others this many times what they have used, so that they can use more. With
# an equal share in any case, a tenant that asks for little would halve the speed of another.
HEADROOM = 4.0
# A piece of work takes about three times its processor time, while threads of others compete.
REST_PER_WORK = 3.0
MAX_REST_S = 1.0
NEGLIGIBLE_S = 0.001


@dataclass
class _Account:
    used_s: float = 0.0  # at the time `at`
    at: float = 0.0
    rest_until: float = 0.0

    def used_at(self, now: float) -> float:
        return self.used_s * math.exp((self.at - now) / MEMORY_S)


class FairShares:
    """Accounts of tenants, which any thread may use."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._lock = now, threading.Lock()
        self._accounts: dict[str, _Account] = {}

    def record(self, tenant_id: str, seconds: float) -> None:
        """Record processor time. A tenant that has used more than each other one has to rest.

        It rests as long as its work took for each of the others, or less if they have used little.
        Others that rest are left out: they need nothing, and both tenants would wait for nobody.
        """
        with self._lock:
            now = self._now()
            account = self._accounts.setdefault(tenant_id, _Account())
            account.used_s, account.at = account.used_at(now) + seconds, now
            others = self._used_by_others(tenant_id, now)
            if others and account.used_s > max(others):
                factor = min(REST_PER_WORK * len(others), HEADROOM * sum(others) / account.used_s)
                rest_until = max(now, account.rest_until) + factor * seconds
                account.rest_until = min(rest_until, now + MAX_REST_S)

    def _used_by_others(self, tenant_id: str, now: float) -> list[float]:
        """Return what others have used that do not rest, and delete the accounts of the idle."""
        used = {tenant: account.used_at(now) for tenant, account in self._accounts.items()}
        used.pop(tenant_id, None)
        for tenant in [tenant for tenant, used_s in used.items() if used_s < NEGLIGIBLE_S]:
            del self._accounts[tenant], used[tenant]
        return [used_s for tenant, used_s in used.items() if not self._rest_s(tenant, now)]

    @contextmanager
    def work(self, tenant_id: str) -> Iterator[None]:
        """Record the processor time of this thread in the block, without the time it waits."""
        started = time.thread_time()
        try:
            yield
        finally:
            self.record(tenant_id, time.thread_time() - started)

    @coroutine
    def charge(self, tenant_id: str, work: Awaitable[None]) -> Generator[Any, Any, None]:
        """Await `work`, and record the processor time of its steps in the event loop."""
        steps, error = work.__await__(), None
        while True:
            with self.work(tenant_id):
                try:
                    waits_for = next(steps) if error is None else steps.throw(error)
                except StopIteration:
                    return
            try:
                error = yield waits_for
            except BaseException as raised:
                error = raised

    def is_heaviest(self, tenant_id: str) -> bool:
        """Return whether the tenant has used more than each of the other active ones."""
        with self._lock:
            now = self._now()
            used = {tenant: account.used_at(now) for tenant, account in self._accounts.items()}
        own = used.pop(tenant_id, 0.0)
        most = max(used.values(), default=0.0)
        return own > most >= NEGLIGIBLE_S

    def rest_s(self, tenant_id: str) -> float:
        """Return how long the tenant still has to rest."""
        return self._rest_s(tenant_id, self._now())

    def _rest_s(self, tenant_id: str, now: float) -> float:
        account = self._accounts.get(tenant_id)
        return 0.0 if account is None else max(0.0, account.rest_until - now)


request_shares = FairShares()
