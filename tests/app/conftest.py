"""Fixtures for the API in this process."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from app import quotas


@pytest.fixture
def still_rates(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Empty the counts of requests and samples in a minute, and stop their clock."""
    monkeypatch.setattr(quotas, "time", SimpleNamespace(monotonic=lambda: 1_000.0))
    quotas._full_at.clear()
    yield
    quotas._full_at.clear()
