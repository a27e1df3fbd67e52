"""Quotas that each API process counts in memory: requests in time, and requests at once."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import QuotaExceeded
from core.settings import get_settings

if TYPE_CHECKING:
    from app.authentication import Caller

MINUTE_S = 60.0
MAX_BUCKETS = 10_000


@dataclass
class _Bucket:
    """Token bucket: requests that may be sent at once, refilled over a minute."""

    tokens: float
    updated_at: float


_buckets: dict[str, _Bucket] = {}  # by the id of a key or tenant


def count_request(caller: "Caller") -> dict[str, str]:
    """Count a request; return the headers that show what is left (draft-ietf-httpapi-ratelimit).

    Raises:
        QuotaExceeded: The key or the tenant has sent too many requests in the last minute.
    """
    quotas = get_settings().quotas
    policies, remaining = [], []
    for name, owner, quota in (
        ("key_requests", caller.key_id, quotas.key_requests_per_minute),
        ("requests", caller.tenant_id, quotas.requests_per_minute),
    ):
        left, wait_s = _take(owner, quota)
        if wait_s:
            raise QuotaExceeded(name, quota, "requests in a minute", retry_s=wait_s, window_s=60)
        policies.append(f'"{name}";q={quota};w=60')
        remaining.append(f'"{name}";r={left};t={math.ceil((quota - left) * MINUTE_S / quota)}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(remaining)}


def _take(owner: str, quota: int) -> tuple[int, int]:
    """Take a token; return how many are left, and the seconds to wait if there was none."""
    now = time.monotonic()
    if len(_buckets) > MAX_BUCKETS:  # full buckets need no memory
        full = [name for name, each in _buckets.items() if now - each.updated_at > MINUTE_S]
        for name in full:
            del _buckets[name]
    bucket = _buckets.setdefault(owner, _Bucket(quota, now))
    rate = quota / MINUTE_S
    bucket.tokens = min(quota, bucket.tokens + (now - bucket.updated_at) * rate)
    bucket.updated_at = now
    if bucket.tokens < 1:
        return 0, math.ceil((1 - bucket.tokens) / rate)
    bucket.tokens -= 1
    return int(bucket.tokens), 0


class ConcurrentRequests:
    """Requests in progress by key and tenant, of which each may have at most a part."""

    def __init__(self, name: str, description: str) -> None:
        self.name, self.description = name, description
        self._counts: Counter[str] = Counter()

    @contextmanager
    def count(self, caller: "Caller", quota: int, key_quota: int) -> Iterator[None]:
        """Count a request while the block runs. Raises QuotaExceeded."""
        for owner, limit in ((caller.key_id, key_quota), (caller.tenant_id, quota)):
            if self._counts[owner] >= limit:
                raise QuotaExceeded(self.name, limit, self.description, retry_s=1)
        owners = (caller.key_id, caller.tenant_id)
        self._counts.update(owners)
        try:
            yield
        finally:
            self._counts.subtract(owners)
            for owner in owners:
                if not self._counts[owner]:
                    del self._counts[owner]
