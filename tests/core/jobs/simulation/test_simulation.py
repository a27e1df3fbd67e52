"""Random histories of faults in any order, each generated from a seed."""

from collections import Counter
from collections.abc import Iterator

import pytest

from core.settings import get_settings
from tests.conftest import clear_caches
from tests.core.jobs.simulation.faults import FAULTS, Fault
from tests.core.jobs.simulation.history import History
from tests.core.jobs.simulation.world import World
from tests.servers import SERVER

# The database is in memory whatever the settings of the test run, so one run is enough.
pytestmark = pytest.mark.skipif(SERVER is not None, reason="runs with the tests on SQLite")

HISTORIES = 60
SLOW_HISTORIES = 20_000
FAULT_HISTORIES = 400  # an injected fault has to be detected within these

# Minimum counts in a thousand histories, in proportion for other numbers: a driver that never
# reaches a state does not test it.
MIN_COUNTS = {
    "claimed": 1_500,
    "late write rejected": 500,
    "expired lease detected": 600,
    "claimed after an expired lease": 30,
    "frozen worker woke up after another claim": 25,
    "hung step detected": 30,
    "worker killed by its job": 200,
    "worker died": 80,
    "worker died between file and row": 40,
    "lease expired before the commit": 100,
    "API died between commit and publish": 120,
    "publisher died before it recorded the notification": 120,
    "notification delivered again": 150,
    "notifications lost": 150,
    "cancelled while queued": 150,
    "cancelled while running": 80,
    "paused": 200,
    "resumed": 60,
    "drained": 60,
    "retried": 15,
}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name, value in {
        "LEASE_SECONDS": "30",
        "HEARTBEAT_SECONDS": "10",
        "MAX_WORKER_LOSSES": "3",
    }.items():
        monkeypatch.setenv(f"SEMBLANCE_{name}", value)
    get_settings.cache_clear()
    world = World()
    yield world
    world.engine.dispose()
    clear_caches()


def run(world: World, seeds: range) -> Counter[str]:
    counter: Counter[str] = Counter()
    for seed in seeds:
        try:
            History(seed, world, counter).run()
        except Exception as error:
            error.add_note(f"in the history of seed {seed}")
            raise
    return counter


def counts_below_minimum(counter: Counter[str], histories: int) -> dict[str, int]:
    return {
        event: counter[event]
        for event, minimum in MIN_COUNTS.items()
        if counter[event] < minimum * histories / 1_000
    }


def test_the_invariants_hold_in_every_history(world: World) -> None:
    assert counts_below_minimum(run(world, range(HISTORIES)), HISTORIES) == {}


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_the_invariants_hold_in_many_more_histories(world: World) -> None:
    counter = run(world, range(HISTORIES, HISTORIES + SLOW_HISTORIES))
    assert counts_below_minimum(counter, SLOW_HISTORIES) == {}


# These take many histories, because few of them reach the state in which the fault matters.
RARE_FAULTS = {
    "a job is claimed before available_at",
    "a heartbeat does not renew the lease",
    "hung steps are not detected",
    "a paused job ignores its cancellation",
}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(each, id=each.name, marks=pytest.mark.slow if each.name in RARE_FAULTS else ())
        for each in FAULTS
    ],
)
def test_an_injected_fault_is_detected(world: World, fault: Fault) -> None:
    with fault.inject(world.engine):
        for seed in range(FAULT_HISTORIES):
            try:
                History(seed, world, Counter()).run()
            except Exception:  # a violation, or an error of the database
                assert fault.hits
                return
    pytest.fail(f"not detected in {FAULT_HISTORIES} histories; it took effect {fault.hits} times")
