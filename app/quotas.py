"""Quotas that each API process counts in memory: rates in a minute, and requests at once."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core.errors import QuotaExceeded
from core.quotas import QuotaUsage

if TYPE_CHECKING:
    from app.authentication import Caller

MINUTE_S = 60
MAX_BUCKETS = 10_000


# When each token bucket is full again, by quota and by the id of a key or tenant.
_full_at: dict[tuple[str, str], float] = {}


def count_request(caller: "Caller") -> dict[str, str]:
    """Count a request; return the headers that show what is left (draft-ietf-httpapi-ratelimit).

    Raises:
        QuotaExceeded: The key or the tenant has sent too many requests in the last minute.
    """
    quotas = caller.quotas
    policies, remaining = [], []
    for name, owner, quota in (
        ("key_requests_per_minute", caller.key_id, quotas.key_requests_per_minute),
        ("requests_per_minute", caller.tenant_id, quotas.requests_per_minute),
    ):
        left = _take(name, owner, quota, 1, "requests in a minute")
        policies.append(f'"{name}";q={quota};w={MINUTE_S}')
        remaining.append(f'"{name}";r={left};t={math.ceil((quota - left) * MINUTE_S / quota)}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(remaining)}


def count_samples(caller: "Caller", count: int) -> None:
    """Count the samples of a request, which may have more of them than the quota has left.

    Raises:
        QuotaExceeded: The key or the tenant has nothing left of its samples in a minute.
    """
    quotas = caller.quotas
    for name, owner, quota in (
        ("key_samples_per_minute", caller.key_id, quotas.key_samples_per_minute),
        ("samples_per_minute", caller.tenant_id, quotas.samples_per_minute),
    ):
        if quota is not None:
            _take(name, owner, quota, count, "samples in a minute")


def _take(name: str, owner: str, quota: int, count: int, content: str) -> int:
    """Take tokens; return how many are left. Raises QuotaExceeded if there is not a single one."""
    now = time.monotonic()
    if len(_full_at) > MAX_BUCKETS:  # full buckets need no memory
        for key in [key for key, full_at in _full_at.items() if full_at <= now]:
            del _full_at[key]
    full_at = max(now, _full_at.get((name, owner), now))
    left = quota - round((full_at - now) * quota / MINUTE_S, 6)
    if left < 1:
        wait_s = math.ceil((1 - left) * MINUTE_S / quota)
        raise QuotaExceeded(name, quota, content, retry_s=wait_s, window_s=MINUTE_S)
    _full_at[name, owner] = full_at + count * MINUTE_S / quota
    return max(0, int(left - count))


class ConcurrentRequests:
    """Requests in progress by key and tenant, of which each may have at most a part."""

    def __init__(self, name: str, description: str) -> None:
        self.name, self.description = name, description
        self._counts: Counter[str] = Counter()

    def of(self, owner: str) -> int:
        """Return the number of requests of a key or tenant."""
        return self._counts[owner]

    @contextmanager
    def count(self, caller: "Caller", quota: int, key_quota: int) -> Iterator[None]:
        """Count a request while the block runs. Raises QuotaExceeded."""
        for name, owner, limit in (
            (f"key_{self.name}", caller.key_id, key_quota),
            (self.name, caller.tenant_id, quota),
        ):
            if self._counts[owner] >= limit:
                raise QuotaExceeded(name, limit, self.description, retry_s=1)
        owners = (caller.key_id, caller.tenant_id)
        self._counts.update(owners)
        try:
            yield
        finally:
            self._counts.subtract(owners)
            for owner in owners:
                if not self._counts[owner]:
                    del self._counts[owner]


concurrent_samples = ConcurrentRequests("concurrent_samples", "concurrent samples requests")
open_streams = ConcurrentRequests("streams", "streams of events and waits for jobs")


def usage_of(caller: "Caller") -> list[QuotaUsage]:
    """Return what the caller's key, and its tenant, use of these quotas in this process."""
    quotas, now = caller.quotas, time.monotonic()
    usage = []
    for name, owner, limit in (
        ("key_requests_per_minute", caller.key_id, quotas.key_requests_per_minute),
        ("requests_per_minute", caller.tenant_id, quotas.requests_per_minute),
        ("key_samples_per_minute", caller.key_id, quotas.key_samples_per_minute),
        ("samples_per_minute", caller.tenant_id, quotas.samples_per_minute),
    ):
        seconds = max(0.0, _full_at.get((name, owner), now) - now)  # until it is full again
        used = 0 if limit is None else math.ceil(round(seconds * limit / MINUTE_S, 6))
        usage.append(QuotaUsage(name, limit, used, MINUTE_S))
    for requests, key_limit, limit in (
        (concurrent_samples, quotas.key_concurrent_samples, quotas.concurrent_samples),
        (open_streams, quotas.key_streams, quotas.streams),
    ):
        usage.append(QuotaUsage(f"key_{requests.name}", key_limit, requests.of(caller.key_id)))
        usage.append(QuotaUsage(requests.name, limit, requests.of(caller.tenant_id)))
    return usage
