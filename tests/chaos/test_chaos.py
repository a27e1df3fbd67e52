"""Faults of real processes and of the broker: each acknowledged job still ends once.

After each test, the tables are checked against the same invariants as after the simulation.
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

import psutil
import pytest
from sqlalchemy import text

from core import broker
from core.settings import get_settings
from tests.chaos.harness import ChaosServer, failpoint_environment, serve_with_failpoints
from tests.processes import eventually
from tests.servers import BROKER, SERVER

pytestmark = pytest.mark.timeout(600)

needs_embedded_broker = pytest.mark.skipif(
    BROKER is not None, reason="the tests must not kill an external broker"
)
Record = Callable[[str, object], None]

ATTEMPTS_BY_FAILPOINT = {
    "after the claim": 2,
    "after the first step": 2,
    "while a checkpoint is written": 2,
    "between the files and the row": 2,
    "before the finishing commit": 2,
    "after the finishing commit": 1,
}


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosServer]:
    with serve_with_failpoints(tmp_path_factory.mktemp("chaos")) as running:
        yield running


@pytest.fixture
def chaos(shared_server: ChaosServer) -> Iterator[ChaosServer]:
    yield shared_server
    shared_server.check_tables()


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(
            point, marks=() if point == "while a checkpoint is written" else pytest.mark.slow
        )
        for point in ATTEMPTS_BY_FAILPOINT
    ],
)
def test_a_worker_killed_at_any_point_loses_no_job(
    chaos: ChaosServer, point: str, record_property: Record
) -> None:
    chaos.arm(point)
    job_id = chaos.start_training()
    job = chaos.wait_for_end(job_id)
    killed_at = chaos.reached_at(point)
    assert killed_at is not None
    assert (job["state"], job["attempt"]) == ("succeeded", ATTEMPTS_BY_FAILPOINT[point])
    assert job["result"]["step"] == 40
    assert chaos.states(job_id) == [
        *["queued", "running"] * ATTEMPTS_BY_FAILPOINT[point],
        "succeeded",
    ]
    assert chaos.repeated_steps(job_id) <= 10
    if job["attempt"] == 2:
        record_property("recovery_s", round(chaos.attempt_starts(job_id)[1] - killed_at, 2))


@pytest.mark.slow
def test_a_repeated_request_after_the_api_was_killed_creates_no_second_job(
    chaos: ChaosServer, record_property: Record
) -> None:
    chaos.arm("between commit and notification")
    body = {"kind": "training", "dataset": chaos.dataset, "budget": {"steps": 5}}
    key = {"Idempotency-Key": "killed"}
    # The client repeats the request with the same key until the API is back.
    created = chaos.client.request("POST", "/v1/jobs", json=body, headers=key).json()
    killed_at = eventually(lambda: chaos.reached_at("between commit and notification"))
    eventually(chaos.server.is_alive)
    record_property("recovery_s", round(time.time() - killed_at, 2))
    repeated = chaos.client.request("POST", "/v1/jobs", json=body, headers=key)
    assert repeated.headers["idempotency-replayed"] == "true"
    assert repeated.json()["id"] == created["id"]
    assert chaos.wait_for_end(created["id"])["state"] == "succeeded"


@pytest.mark.parametrize(
    "point",
    [
        "in the middle of a shard",
        pytest.param("between a shard's file and its row", marks=pytest.mark.slow),
    ],
)
def test_a_worker_killed_in_a_generation_job_loses_and_repeats_no_item(
    chaos: ChaosServer, point: str, record_property: Record
) -> None:
    uninterrupted = chaos.start_generation(600, 100)
    assert chaos.wait_for_end(uninterrupted)["attempt"] == 1
    chaos.arm(point)
    job_id = chaos.start_generation(600, 100)
    job = chaos.wait_for_end(job_id)
    killed_at = chaos.reached_at(point)
    assert killed_at is not None
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert chaos.artifact_hashes(job_id) == chaos.artifact_hashes(uninterrupted)
    assert len(chaos.artifact_hashes(job_id)) == 6
    record_property("recovery_s", round(chaos.attempt_starts(job_id)[1] - killed_at, 2))


@pytest.mark.slow
def test_a_killed_helper_does_not_interrupt_the_job(
    chaos: ChaosServer, record_property: Record
) -> None:
    uninterrupted = chaos.start_generation(600, 100)
    chaos.wait_for_end(uninterrupted)
    chaos.arm("shards are slow")
    job_id = chaos.start_generation(600, 100)
    owner = chaos.find_owner(job_id)
    with run_another_worker(chaos):
        (helper,) = eventually(
            lambda: len(chaos.shard_workers(job_id)) == 2 and chaos.shard_workers(job_id)
        ) - {owner}
        os.kill(helper, signal.SIGKILL)
        killed_at = time.time()
    chaos.disarm("shards are slow")
    job = chaos.wait_for_end(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert chaos.artifact_hashes(job_id) == chaos.artifact_hashes(uninterrupted)
    record_property("all_ended_s", round(time.time() - killed_at, 2))


@contextlib.contextmanager
def run_another_worker(chaos: ChaosServer) -> Iterator[None]:
    """Run a second worker on the same tables and files, without a broker."""
    folder = chaos.server.folder
    settings = {
        "SEMBLANCE_DATA_DIR": str(folder),
        "SEMBLANCE_DATABASE_URL": chaos.engine.url.render_as_string(hide_password=False),
        "SEMBLANCE_MIN_FREE_DISK_BYTES": "0",
    }
    with (folder / "other.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker"],
            env=os.environ | failpoint_environment(chaos.points) | settings,
            stderr=log,
        )
        try:
            eventually((folder / "other.log").read_text)
            yield
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_up_after_another_claim_changes_nothing(
    chaos: ChaosServer, record_property: Record
) -> None:
    chaos.arm("steps are slow")
    job_id = chaos.start_training(steps=100, checkpoint_interval=50)
    frozen_process = chaos.find_owner(job_id)
    with run_another_worker(chaos):
        chaos.wait_for_step(job_id, 5)
        os.kill(frozen_process, signal.SIGSTOP)
        frozen_at = time.time()
        eventually(lambda: len(chaos.attempt_starts(job_id)) == 2)
        chaos.disarm("steps are slow")
        with contextlib.suppress(ProcessLookupError):
            os.kill(frozen_process, signal.SIGCONT)
        record_property("recovery_s", round(chaos.attempt_starts(job_id)[1] - frozen_at, 2))
        job = chaos.wait_for_end(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)


@pytest.mark.slow
def test_a_process_that_stays_frozen_is_replaced(
    chaos: ChaosServer, record_property: Record
) -> None:
    """Its renewal thread is frozen as well, and there is no other worker."""
    job_id = chaos.start_training(steps=100)
    chaos.wait_for_step(job_id, 10)
    os.kill(chaos.find_owner(job_id), signal.SIGSTOP)
    frozen_at = time.time()
    assert chaos.wait_for_end(job_id)["attempt"] == 2
    record_property("recovery_s", round(chaos.attempt_starts(job_id)[1] - frozen_at, 2))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_step_that_hangs_is_detected_despite_heartbeats(
    chaos: ChaosServer, record_property: Record
) -> None:
    chaos.arm("a step hangs")
    job_id = chaos.start_training()
    # A step hangs after 20 times the slowest one, which may take seconds on a busy machine.
    assert chaos.wait_for_end(job_id, within=240)["attempt"] == 2
    hung_at = chaos.reached_at("a step hangs")
    assert hung_at is not None
    record_property("recovery_s", round(chaos.attempt_starts(job_id)[1] - hung_at, 2))


@pytest.mark.slow
def test_a_worker_saves_and_releases_its_job_on_shutdown(
    chaos: ChaosServer, record_property: Record
) -> None:
    job_id = chaos.start_training(steps=400, checkpoint_interval=1_000)
    chaos.wait_for_step(job_id, 20)
    (main,) = [p for p in chaos.server.find("-m worker") if "worker.run_once" not in p.cmdline()]
    main.terminate()
    stopped_at = time.time()
    job = chaos.wait_for_end(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert chaos.repeated_steps(job_id) == 0
    record_property("recovery_s", round(chaos.attempt_starts(job_id)[1] - stopped_at, 2))


def test_a_full_disk_fails_the_job_with_disk_full_and_the_next_one_succeeds(
    chaos: ChaosServer,
) -> None:
    chaos.arm("the disk is full")
    job = chaos.wait_for_end(chaos.start_training())
    assert (job["state"], job["error"]["code"]) == ("failed", "disk_full")
    assert chaos.wait_for_end(chaos.start_training())["state"] == "succeeded"


@pytest.mark.slow
def test_a_notification_that_is_delivered_32_times_starts_its_job_once(
    chaos: ChaosServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = chaos.start_training(steps=100)
    monkeypatch.setenv("SEMBLANCE_BROKER_URL", _broker_url(chaos))
    get_settings.cache_clear()
    broker.get_celery.cache_clear()
    try:
        assert all(broker.publish("training") for _ in range(32))
    finally:
        broker.get_celery.cache_clear()
        get_settings.cache_clear()
    second = chaos.start_training(steps=5)
    assert [chaos.wait_for_end(job)["attempt"] for job in (first, second)] == [1, 1]


def _broker_url(chaos: ChaosServer) -> str:
    socket = chaos.server.folder / "redis" / "redis.sock"
    if BROKER is None and not socket.exists():  # the path is too long for a socket
        (broker,) = chaos.server.find("redis-server")
        socket = Path(broker.cmdline()[-1].split(":")[-1])
    return BROKER or f"redis+socket://{socket}?virtual_host=0"


@needs_embedded_broker
@pytest.mark.parametrize("keeps", ["its data", pytest.param("nothing", marks=pytest.mark.slow)])
def test_a_killed_broker_loses_no_job(
    chaos: ChaosServer, keeps: str, record_property: Record
) -> None:
    waiting = [chaos.start_training(steps=60) for _ in range(2)]
    (broker,) = chaos.server.find("redis-server")
    broker.kill()
    killed_at = time.time()
    if keeps == "nothing":
        folder = chaos.server.folder / "redis"
        for path in [*folder.glob("*.aof"), *folder.glob("appendonlydir")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    waiting.append(chaos.start_training(steps=5))
    assert {chaos.wait_for_end(job_id)["state"] for job_id in waiting} == {"succeeded"}
    record_property("all_ended_s", round(time.time() - killed_at, 2))
    eventually(lambda: chaos.server.find("redis-server"))


@pytest.mark.slow  # similar to a killed broker that keeps nothing
@needs_embedded_broker
def test_a_broker_that_loses_its_data_loses_no_job(
    chaos: ChaosServer, record_property: Record
) -> None:
    import redis

    first, second = chaos.start_training(steps=60), chaos.start_training(steps=5)
    url = _broker_url(chaos).replace("redis+socket", "unix").replace("?virtual_host=0", "")
    with redis.Redis.from_url(url) as broker:
        broker.flushall()
    flushed_at = time.time()
    assert {chaos.wait_for_end(job_id)["state"] for job_id in (first, second)} == {"succeeded"}
    record_property("all_ended_s", round(time.time() - flushed_at, 2))


@pytest.mark.slow
@needs_embedded_broker
def test_a_frozen_broker_delays_neither_requests_nor_jobs(
    chaos: ChaosServer, record_property: Record
) -> None:
    (broker,) = eventually(lambda: chaos.server.find("redis-server"))
    broker.suspend()
    try:
        started = time.monotonic()
        first = chaos.start_training(steps=5)
        answered_s = time.monotonic() - started
        later_jobs = [chaos.start_training(steps=5) for _ in range(3)]
        all_s = time.monotonic() - started
        assert chaos.wait_for_end(first)["state"] == "succeeded"
        record_property("post_s", round(answered_s, 2))
        record_property("all_ended_s", round(time.monotonic() - started, 2))
    finally:
        broker.resume()
    assert answered_s < 3  # notifications are sent after the response, and the machine may be slow
    assert all_s < answered_s + 2  # the following requests do not wait at all
    assert {chaos.wait_for_end(job_id)["state"] for job_id in later_jobs} == {"succeeded"}


@pytest.mark.slow
@needs_embedded_broker
def test_a_broker_that_is_frozen_for_30_s_loses_no_job(
    chaos: ChaosServer, record_property: Record
) -> None:
    """Jobs are created in the meantime, and the first one ends before the broker wakes up."""
    (broker,) = eventually(lambda: chaos.server.find("redis-server"))
    chaos.start_generation(10, 10)
    broker.suspend()
    job_ids, longest_s, frozen_at = [], 0.0, time.monotonic()
    try:
        while time.monotonic() - frozen_at < 30:
            started = time.monotonic()
            job_ids += [chaos.start_training(steps=5), chaos.start_generation(10, 10)]
            longest_s = max(longest_s, time.monotonic() - started)
            time.sleep(3)
        chaos.wait_for_end(job_ids[0])
    finally:
        broker.resume()
    for job_id in job_ids:
        job = chaos.wait_for_end(job_id)
        assert (job["state"], job["attempt"]) == ("succeeded", 1)
    record_property("longest_post_s", round(longest_s / 2, 2))


@pytest.mark.slow
@needs_embedded_broker
def test_jobs_run_while_the_broker_is_unreachable(tmp_path: Path) -> None:
    with serve_with_failpoints(tmp_path, SEMBLANCE_BROKER_URL="redis://127.0.0.1:1/0") as chaos:
        started = time.monotonic()
        job_id = chaos.start_training(steps=5)
        assert time.monotonic() - started < 3
        assert chaos.wait_for_end(job_id)["state"] == "succeeded"
        chaos.check_tables()


@pytest.mark.slow
@pytest.mark.parametrize(
    "hours",
    [
        1,
        pytest.param(
            -1, marks=pytest.mark.skipif(SERVER is None, reason="SQLite has no clock of its own")
        ),
    ],
)
def test_a_worker_whose_clock_is_an_hour_off_runs_its_job_once(tmp_path: Path, hours: int) -> None:
    """There is no broker in this test."""
    with serve_with_failpoints(tmp_path, clock=3_600 * hours, SEMBLANCE_BROKER_URL="none") as chaos:
        job = chaos.wait_for_end(chaos.start_training())
        assert (job["state"], job["attempt"]) == ("succeeded", 1)
        assert chaos.server.find("redis-server") == []
        chaos.check_tables()


@pytest.mark.slow
def test_jobs_resume_after_a_restart_of_the_machine(
    tmp_path: Path, record_property: Record
) -> None:
    with serve_with_failpoints(tmp_path) as chaos:
        job_id, waiting = (
            chaos.start_training(steps=400, checkpoint_interval=20),
            chaos.start_training(steps=5),
        )
        chaos.wait_for_step(job_id, 30)
        for process in [chaos.server.process, *chaos.server.descendants()]:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.kill()
        chaos.server.process.wait(10)
    stopped_at = time.time()
    with serve_with_failpoints(tmp_path) as chaos:
        job = chaos.wait_for_end(job_id)
        assert (job["state"], job["attempt"]) == ("succeeded", 2)
        assert chaos.repeated_steps(job_id) <= 20
        assert chaos.wait_for_end(waiting)["state"] == "succeeded"
        record_property("recovery_s", round(chaos.attempt_starts(job_id)[1] - stopped_at, 2))
        chaos.check_tables()


@pytest.mark.skipif(SERVER is None, reason="SQLite has no connections")
def test_terminated_database_connections_lose_no_job(
    chaos: ChaosServer, record_property: Record
) -> None:
    job_id = chaos.start_training(steps=300)
    terminate_connections = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    connections = 0
    for step in (10, 40, 70):
        chaos.wait_for_step(job_id, step)
        with chaos.engine.connect() as connection:
            connections += connection.execute(terminate_connections).scalar() or 0
    assert chaos.wait_for_end(job_id)["state"] == "succeeded"
    record_property("connections", connections)


DEFAULT_INTERVALS = {
    "LEASE_SECONDS": 30,
    "HEARTBEAT_SECONDS": 10,
    "SWEEP_SECONDS": 5,
    "POLL_SECONDS": 2,
    "STEP_TIMEOUT_SECONDS": 600,
}


@pytest.mark.slow
def test_with_default_intervals_a_killed_worker_is_replaced_within_45_s(
    tmp_path: Path, record_property: Record
) -> None:
    settings = {f"SEMBLANCE_{name}": str(value) for name, value in DEFAULT_INTERVALS.items()}
    with serve_with_failpoints(tmp_path, **settings) as chaos:
        chaos.arm("after the first step")
        job_id = chaos.start_training()
        job = chaos.wait_for_end(job_id, within=90)
        killed_at = chaos.reached_at("after the first step")
        assert (job["state"], job["attempt"]) == ("succeeded", 2)
        assert killed_at is not None
        recovery_s = chaos.attempt_starts(job_id)[1] - killed_at
        record_property("recovery_s", round(recovery_s, 2))
        assert recovery_s < 45
        chaos.check_tables()
