"""Histories, each drawn from a seed, in which everything goes wrong in any order."""

from collections import Counter
from collections.abc import Iterator

import pytest

from core.settings import get_settings
from tests.conftest import forget_caches
from tests.core.jobs.simulation.faults import FAULTS, Fault
from tests.core.jobs.simulation.history import History
from tests.core.jobs.simulation.world import World
from tests.servers import SERVER

# Its database is in memory, whatever the suite was given: once is enough.
pytestmark = pytest.mark.skipif(SERVER is not None, reason="runs with the suite on SQLite")

HISTORIES = 300
NIGHTLY = 20_000
HUNTED = 400  # histories within which a planted fault has to be found

# What a thousand histories have to bring about, at the least, and fewer or more in proportion: a
# driver that never reaches a state says nothing about it.
RARE = {
    "claimed": 1_500,
    "late write refused": 500,
    "silent worker given up": 600,
    "claimed from a silent worker": 30,
    "zombie woke, its job in other hands": 25,
    "hung step given up": 30,
    "worker killed by its job": 200,
    "worker died": 80,
    "worker died between file and row": 40,
    "lease ran out before the commit": 100,
    "API died between commit and publish": 120,
    "publisher died before it took note": 120,
    "hint delivered again": 150,
    "hints lost": 150,
    "cancelled while it waited": 150,
    "cancelled while it ran": 80,
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
    forget_caches()


def run(world: World, seeds: range) -> Counter[str]:
    seen: Counter[str] = Counter()
    for seed in seeds:
        try:
            History(seed, world, seen).run()
        except Exception as error:
            error.add_note(f"in the history of seed {seed}")
            raise
    return seen


def too_rare(seen: Counter[str], histories: int) -> dict[str, int]:
    return {
        what: seen[what] for what, least in RARE.items() if seen[what] < least * histories / 1_000
    }


def test_no_history_breaks_the_promise(world: World) -> None:
    assert too_rare(run(world, range(HISTORIES)), HISTORIES) == {}


@pytest.mark.slow
@pytest.mark.timeout(7_200)
def test_no_history_of_many_more_breaks_the_promise(world: World) -> None:
    seen = run(world, range(HISTORIES, HISTORIES + NIGHTLY))
    assert too_rare(seen, NIGHTLY) == {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found(world: World, fault: Fault) -> None:
    with fault.at_work(world.engine):
        for seed in range(HUNTED):
            try:
                History(seed, world, Counter()).run()
            except Exception:  # a violation, or a constraint of the database: it shows
                assert fault.planted
                return
    pytest.fail(f"not found in {HUNTED} histories; it took effect {fault.planted} times")
