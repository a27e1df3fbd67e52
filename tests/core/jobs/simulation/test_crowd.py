"""The driver in several threads, on the database that the suite was given."""

import pytest

from core.database import write
from core.jobs import sweeper
from core.settings import Settings, get_settings
from tests.core.jobs.simulation import crowd
from tests.core.jobs.simulation.world import furnish

THREADS = 4


@pytest.fixture
def shared(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases so short that threads lose them to each other."""
    monkeypatch.setenv("SEMBLANCE_LEASE_SECONDS", str(crowd.LEASE_S))
    monkeypatch.setenv("SEMBLANCE_HEARTBEAT_SECONDS", str(crowd.LEASE_S / 3))
    monkeypatch.setattr(sweeper, "BACKOFF_S", 0.01)
    get_settings.cache_clear()
    with write() as session:
        furnish(session)


@pytest.mark.parametrize("seed", range(2))
def test_workers_that_race_for_jobs_end_each_of_them_once(shared: None, seed: int) -> None:
    seen = crowd.run(seed, THREADS)
    assert seen["claimed"] > 20
    assert seen["late write refused"] > 5
    assert seen["worker died"] > 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 22))
def test_workers_that_race_for_jobs_end_each_of_them_once_on_many_seeds(
    shared: None, seed: int
) -> None:
    crowd.run(seed, 2 * THREADS)
