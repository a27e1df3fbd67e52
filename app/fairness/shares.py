"""Shares of the processor: how much of it the requests of each tenant have used lately.

Turns alone do not share it evenly. A tenant with hundreds of requests always has work to do while
another tenant's request is between two steps, and each thread that runs Python delays the others at
the interpreter lock. So the heaviest tenant rests between two pieces of its work.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

MEMORY_S = 1.0  # after this time, a third of the used time still counts
# A tenant leaves the others this many times what they have used, so that they can use more. With
# an equal share in any case, a tenant that asks for little would halve the speed of another.
HEADROOM = 4.0
# Twice the time of a piece of work, which takes about three times its processor time while threads
# of others compete.
REST_PER_WORK = 6.0
MAX_REST_S = 1.0
NEGLIGIBLE_S = 0.001


@dataclass
class _Account:
    requests: int = 0  # that have or wait for a turn
    used_s: float = 0.0  # at the time `at`
    at: float = 0.0
    rest_until: float = 0.0

    def used_at(self, now: float) -> float:
        return self.used_s * math.exp((self.at - now) / MEMORY_S)


class FairShares:
    """Accounts of tenants, which any thread may use.

    The heaviest tenant is the one whose processor time, multiplied by the number of its requests
    that have or wait for a turn, is the largest. With the time alone, two tenants that use as much
    would take turns to be the heaviest, and a few short requests would rest for hundreds of long
    ones. Others, such as open event streams and waits for a job, cost nothing and do not count.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._lock = now, threading.Lock()
        self._accounts: dict[str, _Account] = {}

    @contextmanager
    def request(self, tenant_id: str) -> Iterator[None]:
        """Count a request that has or waits for a turn in the block."""
        with self._lock:
            self._accounts.setdefault(tenant_id, _Account()).requests += 1
        try:
            yield
        finally:
            with self._lock:
                self._accounts[tenant_id].requests -= 1

    def run(self, tenant_id: str, work: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
        """Call `work`, and record the processor time that it uses, without the time it waits."""
        started = time.thread_time()
        try:
            return work(*arguments)
        finally:
            self.record(tenant_id, time.thread_time() - started)

    def record(self, tenant_id: str, seconds: float) -> None:
        """Record processor time. The heaviest tenant then has to rest.

        It rests twice as long as its work took, for each of the others, or less if they have used
        little.
        """
        with self._lock:
            now = self._now()
            account = self._accounts.setdefault(tenant_id, _Account())
            account.used_s, account.at = account.used_at(now) + seconds, now
            if others := self._used_by_lighter(tenant_id, now):
                factor = min(REST_PER_WORK * len(others), HEADROOM * sum(others) / account.used_s)
                rest_until = max(now, account.rest_until) + factor * seconds
                account.rest_until = min(rest_until, now + MAX_REST_S)

    def is_heaviest(self, tenant_id: str) -> bool:
        """Return whether the tenant is heavier than each of the other active ones."""
        with self._lock:
            return bool(self._used_by_lighter(tenant_id, self._now()))

    def _used_by_lighter(self, tenant_id: str, now: float) -> list[float]:
        """Return what the other active tenants have used if all are lighter; else nothing.

        Others that rest are left out: they need nothing, and both would wait for nobody.
        """
        own, others = 0.0, []
        for tenant, account in list(self._accounts.items()):
            used_s = account.used_at(now)
            weight = used_s * max(1, account.requests)
            if tenant == tenant_id:
                own = weight
            elif used_s >= NEGLIGIBLE_S:
                if account.rest_until <= now:
                    others.append((weight, used_s))
            elif not account.requests:
                del self._accounts[tenant]
        if any(weight >= own for weight, _ in others):
            return []
        return [used_s for _, used_s in others]

    def rest_s(self, tenant_id: str) -> float:
        """Return how long the tenant still has to rest."""
        account = self._accounts.get(tenant_id)
        return 0.0 if account is None else max(0.0, account.rest_until - self._now())


request_shares = FairShares()
