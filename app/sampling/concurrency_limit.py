"""Limit on concurrent samples requests.

Requests above the limit are rejected at once, which is cheap, instead of queued. This module does
not import torch.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends

from app.authentication import SampleScope
from app.fairness.turns import FairThreads
from app.quotas import concurrent_samples
from core.errors import Unavailable
from core.settings import get_settings

# Separate threads, so that other routes keep theirs. They mostly wait for batches.
sampling_threads = FairThreads(128, per_owner=96, of_heaviest=96)
_in_flight = 0


def in_flight() -> int:
    return _in_flight


async def _take_place(caller: SampleScope) -> AsyncIterator[None]:
    """Count a request from when its body is complete until its response is sent.

    Raises:
        QuotaExceeded: The key or the tenant has too many.
        Unavailable: The limit on concurrent requests is reached.
    """
    global _in_flight
    quotas = caller.quotas
    limit = get_settings().sampler_concurrency
    if _in_flight >= limit:
        raise Unavailable(
            f"The limit of {limit} concurrent samples requests is reached. Retry later.",
            code="sampler_full",
            headers={"Retry-After": "1"},
            limit=limit,
        )
    with concurrent_samples.count(caller, quotas.concurrent_samples, quotas.key_concurrent_samples):
        _in_flight += 1
        try:
            yield
        finally:
            _in_flight -= 1


SamplingPlace = Annotated[None, Depends(_take_place)]
