"""The simulation in several threads, on the database of the test run."""

import pytest

from core.database import write
from core.jobs import sweeper
from core.settings import Settings, get_settings
from tests.core.jobs.simulation import threads
from tests.core.jobs.simulation.world import add_base_rows

THREADS = 4


@pytest.fixture
def short_leases(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set leases so short that threads lose them to each other."""
    monkeypatch.setenv("SEMBLANCE_LEASE_SECONDS", str(threads.LEASE_S))
    monkeypatch.setenv("SEMBLANCE_HEARTBEAT_SECONDS", str(threads.LEASE_S / 3))
    monkeypatch.setattr(sweeper, "BACKOFF_S", 0.01)
    get_settings.cache_clear()
    with write() as session:
        add_base_rows(session)


@pytest.mark.parametrize("seed", range(2))
def test_concurrent_workers_end_each_job_once(short_leases: None, seed: int) -> None:
    counter = threads.run(seed, THREADS)
    assert counter["claimed"] > 20
    assert counter["late write rejected"] > 5
    assert counter["worker died"] > 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
def test_concurrent_workers_end_each_job_once_in_many_histories(
    short_leases: None, seed: int
) -> None:
    threads.run(seed, 2 * THREADS)
