"""Real processes, and what kills, stops or starves them: each acknowledged job ends once.

After each test the tables are held against the same invariants as after the simulation.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import text

from core import broker
from core.settings import get_settings
from tests.chaos.harness import Disturbed, disturbed, environment
from tests.processes import eventually
from tests.servers import BROKER, SERVER

pytestmark = pytest.mark.timeout(120)

own_broker = pytest.mark.skipif(BROKER is not None, reason="the broker is not ours to kill")
Record = Callable[[str, object], None]

DEATHS = {
    "after the claim": 2,
    "after the first step": 2,
    "while a checkpoint is written": 2,
    "between the files and the row": 2,
    "before the finishing commit": 2,
    "after the finishing commit": 1,
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    with disturbed(tmp_path_factory.mktemp("chaos")) as running:
        yield running


@pytest.fixture
def world(shared: Disturbed) -> Iterator[Disturbed]:
    yield shared
    shared.judge()


@pytest.mark.parametrize(
    "point",
    [
        # Nothing is saved yet, as after the claim.
        pytest.param(point, marks=pytest.mark.slow if point == "after the first step" else ())
        for point in DEATHS
    ],
)
def test_a_worker_killed_at_any_point_loses_no_job(
    world: Disturbed, point: str, record_property: Record
) -> None:
    world.arm(point)
    job_id = world.train()
    job = world.ended(job_id)
    died = world.reached_at(point)
    assert died is not None
    assert (job["state"], job["attempt"]) == ("succeeded", DEATHS[point])
    assert job["result"]["step"] == 40
    assert world.states(job_id) == [*["queued", "running"] * DEATHS[point], "succeeded"]
    assert world.repeated(job_id) <= 10
    if job["attempt"] == 2:
        record_property("recovery_s", round(world.starts(job_id)[1] - died, 2))


def test_an_api_killed_between_commit_and_hint_has_acknowledged_nothing_twice(
    world: Disturbed, record_property: Record
) -> None:
    world.arm("between commit and hint")
    body = {"kind": "training", "dataset": world.dataset, "budget": {"steps": 5}}
    key = {"Idempotency-Key": "killed"}
    with contextlib.suppress(httpx.TransportError):  # killed before or after it has answered
        world.client.request("POST", "/v1/jobs", json=body, headers=key)
    died = eventually(lambda: world.reached_at("between commit and hint"))
    eventually(world.server.answers)
    record_property("recovery_s", round(time.time() - died, 2))
    again = world.client.request("POST", "/v1/jobs", json=body, headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert world.ended(again.json()["id"])["state"] == "succeeded"


@pytest.mark.parametrize(
    "point",
    [
        "in the midst of a shard",
        pytest.param("between a shard's file and its row", marks=pytest.mark.slow),
    ],
)
def test_a_worker_killed_in_a_generation_job_loses_no_item_and_doubles_none(
    world: Disturbed, point: str, record_property: Record
) -> None:
    whole = world.generate(600, 100)
    assert world.ended(whole)["attempt"] == 1
    world.arm(point)
    job_id = world.generate(600, 100)
    job = world.ended(job_id)
    died = world.reached_at(point)
    assert died is not None
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert world.files(job_id) == world.files(whole)
    assert len(world.files(job_id)) == 6
    record_property("recovery_s", round(world.starts(job_id)[1] - died, 2))


@pytest.mark.slow
def test_a_helper_that_is_killed_costs_its_job_nothing(
    world: Disturbed, record_property: Record
) -> None:
    whole = world.generate(600, 100)
    world.ended(whole)
    world.arm("shards take long")
    job_id = world.generate(600, 100)
    holder = world.holder(job_id)
    with another_worker(world):
        (helper,) = eventually(lambda: len(world.makers(job_id)) == 2 and world.makers(job_id)) - {
            holder
        }
        os.kill(helper, signal.SIGKILL)
        killed = time.time()
    world.disarm("shards take long")
    job = world.ended(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert world.files(job_id) == world.files(whole)
    record_property("all_ended_s", round(time.time() - killed, 2))


@contextlib.contextmanager
def another_worker(world: Disturbed) -> Iterator[None]:
    """On the same tables and files, without a broker."""
    folder = world.server.folder
    settings = {
        "SEMBLANCE_DATA_DIR": str(folder),
        "SEMBLANCE_DATABASE_URL": world.engine.url.render_as_string(hide_password=False),
        "SEMBLANCE_MIN_FREE_DISK_BYTES": "0",
    }
    with (folder / "other.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker"],
            env=os.environ | environment(world.points) | settings,
            stderr=log,
        )
        try:
            eventually((folder / "other.log").read_text)
            yield
        finally:
            process.terminate()
            process.wait(30)


def test_a_worker_that_wakes_when_its_job_is_in_other_hands_writes_nothing(
    world: Disturbed, record_property: Record
) -> None:
    world.arm("steps take long")
    job_id = world.train(steps=100, every=50)
    zombie = world.holder(job_id)
    with another_worker(world):
        world.until_step(job_id, 5)
        os.kill(zombie, signal.SIGSTOP)
        stopped = time.time()
        eventually(lambda: len(world.starts(job_id)) == 2)
        world.disarm("steps take long")
        with contextlib.suppress(ProcessLookupError):
            os.kill(zombie, signal.SIGCONT)
        record_property("recovery_s", round(world.starts(job_id)[1] - stopped, 2))
        job = world.ended(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)


@pytest.mark.slow
def test_a_process_that_stands_still_for_good_is_replaced(
    world: Disturbed, record_property: Record
) -> None:
    """With the lease's thread in it: no other worker is there to go on."""
    job_id = world.train(steps=100)
    world.until_step(job_id, 10)
    os.kill(world.holder(job_id), signal.SIGSTOP)
    stopped = time.time()
    assert world.ended(job_id)["attempt"] == 2
    record_property("recovery_s", round(world.starts(job_id)[1] - stopped, 2))


@pytest.mark.slow
def test_a_step_that_hangs_is_found_although_heartbeats_go_on(
    world: Disturbed, record_property: Record
) -> None:
    world.arm("a step hangs")
    job_id = world.train()
    assert world.ended(job_id)["attempt"] == 2
    hung = world.reached_at("a step hangs")
    assert hung is not None
    record_property("recovery_s", round(world.starts(job_id)[1] - hung, 2))


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_gives_its_job_back_saved(
    world: Disturbed, record_property: Record
) -> None:
    job_id = world.train(steps=400, every=1_000)
    world.until_step(job_id, 20)
    (main,) = [p for p in world.server.find("-m worker") if "worker.run_once" not in p.cmdline()]
    main.terminate()
    told = time.time()
    job = world.ended(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert world.repeated(job_id) == 0
    record_property("recovery_s", round(world.starts(job_id)[1] - told, 2))


def test_a_full_disk_fails_the_job_with_its_reason_and_the_next_one_succeeds(
    world: Disturbed,
) -> None:
    world.arm("the disk is full")
    job = world.ended(world.train())
    assert (job["state"], job["error"]["code"]) == ("failed", "disk_full")
    assert world.ended(world.train())["state"] == "succeeded"


def test_a_hint_that_is_delivered_32_times_starts_its_job_once(
    world: Disturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.train(steps=100)
    monkeypatch.setenv("SEMBLANCE_BROKER_URL", _broker_url(world))
    get_settings.cache_clear()
    broker.get_celery.cache_clear()
    try:
        assert all(broker.publish("training", first) for _ in range(32))
    finally:
        broker.get_celery.cache_clear()
        get_settings.cache_clear()
    second = world.train(steps=5)
    assert [world.ended(job)["attempt"] for job in (first, second)] == [1, 1]


def _broker_url(world: Disturbed) -> str:
    socket = world.server.folder / "redis" / "redis.sock"
    if BROKER is None and not socket.exists():  # a path that is too long for a socket
        (broker,) = world.server.find("redis-server")
        socket = Path(broker.cmdline()[-1].split(":")[-1])
    return BROKER or f"redis+socket://{socket}?virtual_host=0"


@own_broker
@pytest.mark.parametrize("keeps", ["its file", "nothing"])
def test_a_broker_that_is_killed_takes_no_job_along(
    world: Disturbed, keeps: str, record_property: Record
) -> None:
    waiting = [world.train(steps=60) for _ in range(2)]
    (broker,) = world.server.find("redis-server")
    broker.kill()
    killed = time.time()
    if keeps == "nothing":
        folder = world.server.folder / "redis"
        for path in [*folder.glob("*.aof"), *folder.glob("appendonlydir")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    waiting.append(world.train(steps=5))
    assert {world.ended(job_id)["state"] for job_id in waiting} == {"succeeded"}
    record_property("all_ended_s", round(time.time() - killed, 2))
    eventually(lambda: world.server.find("redis-server"))


@pytest.mark.slow  # as a broker that is killed and keeps nothing
@own_broker
def test_a_broker_that_is_wiped_costs_time_alone(world: Disturbed, record_property: Record) -> None:
    import redis

    first, second = world.train(steps=60), world.train(steps=5)
    url = _broker_url(world).replace("redis+socket", "unix").replace("?virtual_host=0", "")
    with redis.Redis.from_url(url) as broker:
        broker.flushall()
    wiped = time.time()
    assert {world.ended(job_id)["state"] for job_id in (first, second)} == {"succeeded"}
    record_property("all_ended_s", round(time.time() - wiped, 2))


@own_broker
def test_a_broker_that_stands_still_holds_up_neither_requests_nor_jobs(
    world: Disturbed, record_property: Record
) -> None:
    (broker,) = eventually(lambda: world.server.find("redis-server"))
    broker.suspend()
    try:
        started = time.monotonic()
        first = world.train(steps=5)
        answered_s = time.monotonic() - started
        more = [world.train(steps=5) for _ in range(3)]
        all_s = time.monotonic() - started
        assert world.ended(first)["state"] == "succeeded"
        record_property("post_s", round(answered_s, 2))
        record_property("all_ended_s", round(time.monotonic() - started, 2))
    finally:
        broker.resume()
    assert answered_s < 3  # hints go out after the answer; a slow machine
    assert all_s < answered_s + 2  # and the next ones do not wait at all
    assert {world.ended(job_id)["state"] for job_id in more} == {"succeeded"}


@pytest.mark.slow
@own_broker
def test_a_broker_that_is_frozen_for_30_s_costs_no_job(
    world: Disturbed, record_property: Record
) -> None:
    """Jobs come in all the while, and the first is done before it wakes."""
    (broker,) = eventually(lambda: world.server.find("redis-server"))
    world.generate(10, 10)
    broker.suspend()
    posted, longest_s, frozen = [], 0.0, time.monotonic()
    try:
        while time.monotonic() - frozen < 30:
            started = time.monotonic()
            posted += [world.train(steps=5), world.generate(10, 10)]
            longest_s = max(longest_s, time.monotonic() - started)
            time.sleep(3)
        world.ended(posted[0])
    finally:
        broker.resume()
    for job_id in posted:
        job = world.ended(job_id)
        assert (job["state"], job["attempt"]) == ("succeeded", 1)
    record_property("longest_post_s", round(longest_s / 2, 2))


@pytest.mark.slow
@own_broker
def test_a_broker_that_was_never_there_is_not_needed(tmp_path: Path) -> None:
    with disturbed(tmp_path, SEMBLANCE_BROKER_URL="redis://127.0.0.1:1/0") as world:
        started = time.monotonic()
        job_id = world.train(steps=5)
        assert time.monotonic() - started < 3
        assert world.ended(job_id)["state"] == "succeeded"
        world.judge()


@pytest.mark.parametrize(
    "hours",
    [
        1,
        pytest.param(
            -1, marks=pytest.mark.skipif(SERVER is None, reason="SQLite has no clock of its own")
        ),
    ],
)
def test_a_worker_whose_clock_is_an_hour_off_does_its_jobs_once(tmp_path: Path, hours: int) -> None:
    """And without any broker at all."""
    with disturbed(tmp_path, clock=3_600 * hours, SEMBLANCE_BROKER_URL="none") as world:
        job = world.ended(world.train())
        assert (job["state"], job["attempt"]) == ("succeeded", 1)
        assert world.server.find("redis-server") == []
        world.judge()


@pytest.mark.slow
def test_a_machine_that_goes_down_goes_on_where_it_was(
    tmp_path: Path, record_property: Record
) -> None:
    with disturbed(tmp_path) as world:
        job_id, waiting = world.train(steps=400, every=20), world.train(steps=5)
        world.until_step(job_id, 30)
        for process in [world.server.process, *world.server.descendants()]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.kill()
        world.server.process.wait(10)
    down = time.time()
    with disturbed(tmp_path) as world:
        job = world.ended(job_id)
        assert (job["state"], job["attempt"]) == ("succeeded", 2)
        assert world.repeated(job_id) <= 20
        assert world.ended(waiting)["state"] == "succeeded"
        record_property("recovery_s", round(world.starts(job_id)[1] - down, 2))
        world.judge()


@pytest.mark.skipif(SERVER is None, reason="SQLite has no connections")
def test_connections_to_the_database_that_are_cut_cost_no_job(
    world: Disturbed, record_property: Record
) -> None:
    job_id = world.train(steps=300)
    cut = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    connections = 0
    for step in (10, 40, 70):
        world.until_step(job_id, step)
        with world.engine.connect() as connection:
            connections += connection.execute(cut).scalar() or 0
    assert world.ended(job_id)["state"] == "succeeded"
    record_property("connections", connections)


AS_SHIPPED = {
    "LEASE_SECONDS": 30,
    "HEARTBEAT_SECONDS": 10,
    "SWEEP_SECONDS": 5,
    "POLL_SECONDS": 2,
    "STEP_TIMEOUT_SECONDS": 600,
}


@pytest.mark.slow
def test_with_the_settings_as_shipped_a_dead_worker_is_replaced_within_45_s(
    tmp_path: Path, record_property: Record
) -> None:
    settings = {f"SEMBLANCE_{name}": str(value) for name, value in AS_SHIPPED.items()}
    with disturbed(tmp_path, **settings) as world:
        world.arm("after the first step")
        job_id = world.train()
        job = world.ended(job_id, within=90)
        died = world.reached_at("after the first step")
        assert (job["state"], job["attempt"]) == ("succeeded", 2)
        assert died is not None
        recovery_s = world.starts(job_id)[1] - died
        record_property("recovery_s", round(recovery_s, 2))
        assert recovery_s < 45
        world.judge()
