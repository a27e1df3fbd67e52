"""Workers with virtual GPUs beside a CPU worker, in real processes and with a real broker."""

from collections.abc import Iterator

import psutil
import pytest

from tests.gpu.harness import GpuMachine, eventually, gpu_machine

pytestmark = pytest.mark.timeout(3600)  # longer than all waits of a test that passes


@pytest.fixture(scope="module")
def shared_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuMachine]:
    with gpu_machine(tmp_path_factory.mktemp("gpu")) as machine:
        yield machine


@pytest.fixture
def machine(shared_machine: GpuMachine) -> Iterator[GpuMachine]:
    """Run one worker with a GPU, beside the CPU worker of the server."""
    shared_machine.set_gpus(1)
    shared_machine.start_worker("--device", "cuda:0")
    shared_machine.wait_for_devices("cpu", "cuda:0")
    yield shared_machine
    for point in (shared_machine.folder / "armed").iterdir():
        point.unlink()
    shared_machine.stop_workers()


def find_job_processes(machine: GpuMachine) -> list[psutil.Process]:
    """Return the processes of the GPU worker that have loaded torch, except checks of the GPU."""
    return [
        process
        for worker in machine._processes
        for process in psutil.Process(worker.pid).children(recursive=True)
        if has_loaded_torch(process)
    ]


def has_loaded_torch(process: psutil.Process) -> bool:
    """Return True if the process has loaded torch and is not a check of the GPU."""
    try:
        if "worker.device_probe" in process.cmdline():
            return False
        return any("libtorch" in mapped.path for mapped in process.memory_maps())
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
def test_jobs_run_on_the_device_that_they_ask_for_and_an_idle_worker_leaves_the_gpu(
    machine: GpuMachine,
) -> None:
    gpu = machine.devices()["cuda:0"]
    assert gpu == {
        "id": "cuda:0",
        "kind": "gpu",
        "name": "Virtual GPU",
        "memory_bytes": 2**34,
        "driver": "12.8",
        "error": None,
    }
    assert machine.readiness()["checks"]["gpus"] == "ok"
    jobs = {
        "cpu": machine.train("cpu"),
        "gpu": machine.train("gpu", budget={"gpu_seconds": 1}),
    }
    ended = {kind: machine.wait_for(job_id) for kind, job_id in jobs.items()}
    for kind, job in ended.items():
        assert (job["device"], job["device_kind"]) == (kind, kind)
        (started,) = [e for e in machine.state_events(job["id"]) if e["state"] == "running"]
        assert started["device"] == kind
    assert ended["cpu"]["usage"]["gpu_s"] == 0
    last = machine.client.request("GET", f"/v1/jobs/{jobs['gpu']}/checkpoints").json()[0]
    assert 1 <= last["metrics"]["gpu_s"] <= ended["gpu"]["usage"]["gpu_s"]
    assert ended["gpu"]["usage"]["gpu_s"] == ended["gpu"]["usage"]["wall_s"]
    eventually(lambda: not find_job_processes(machine))


@pytest.mark.slow
def test_an_auto_job_runs_where_there_is_room_and_stays_on_its_kind_when_it_resumes(
    machine: GpuMachine,
) -> None:
    machine.arm("steps are held")
    blocking = machine.train("cpu")
    machine.wait_for(blocking, "running")
    job_id = machine.train("auto")
    machine.wait_for_step(job_id, 10)
    assert machine.job(job_id)["device_kind"] == "gpu"
    machine.client.request("POST", f"/v1/jobs/{job_id}/pause")
    machine.wait_for(job_id, "paused")
    machine.stop_workers()
    machine.client.request("POST", f"/v1/jobs/{blocking}/cancel")
    machine.wait_for_devices("cpu")
    machine.client.request("POST", f"/v1/jobs/{job_id}/resume")
    other = machine.train("auto", steps=5)
    assert machine.wait_for(other)["device_kind"] == "cpu"  # the CPU worker is free and polls
    waiting = machine.job(job_id)
    assert (waiting["state"], waiting["queue"]["code"]) == ("queued", "no_gpu_worker")
    machine.disarm("steps are held")
    machine.start_worker("--device", "cuda:0")
    done = machine.wait_for(job_id)
    assert (done["device_kind"], done["attempt"], done["result"]["step"]) == ("gpu", 2, 20)


@pytest.mark.slow
def test_a_broken_context_costs_neither_its_job_an_attempt_nor_the_next_job(
    machine: GpuMachine,
) -> None:
    expected = machine.wait_for(machine.train("gpu", steps=20, name="whole"))
    machine.arm("context breaks")
    broken = machine.train("gpu", steps=20, name="broken")
    following = machine.train("gpu", steps=5, name="following")
    job = machine.wait_for(broken)
    assert machine.reached("context breaks")
    assert machine.wait_for(following)["attempt"] == 1
    states = machine.state_events(broken)
    assert [state["state"] for state in states] == [
        *("queued", "running", "queued", "running", "succeeded")
    ]
    assert states[2]["reason"] == "device_lost"
    assert "the GPU failed; exiting the process" in machine.log()
    models = [
        machine.client.request("GET", f"/v1/models/{done['result']['model']}").json()
        for done in (expected, job)
    ]
    assert models[0]["sha256"] == models[1]["sha256"]


@pytest.mark.slow
def test_a_gpu_that_vanishes_is_shown_and_its_worker_continues_when_it_is_back(
    machine: GpuMachine,
) -> None:
    machine.arm("steps are held")
    job_id = machine.train("gpu")
    machine.wait_for_step(job_id, 10)
    machine.set_gpus(0)
    machine.arm("context breaks")
    machine.disarm("steps are held")
    eventually(lambda: machine.job(job_id)["state"] == "queued")
    eventually(lambda: machine.readiness()["status"] == "degraded")
    assert "cuda:0" in machine.readiness()["checks"]["gpus"]
    assert "not available" in machine.devices()["cuda:0"]["error"]
    assert machine.job(job_id)["queue"]["code"] == "no_gpu_worker"
    machine.set_gpus(1)
    assert machine.wait_for(job_id)["result"]["step"] == 20
    eventually(lambda: machine.readiness()["status"] == "ready")
    machine.set_gpus(0)  # while the worker is idle
    eventually(lambda: machine.readiness()["status"] == "degraded")


@pytest.mark.slow
def test_one_command_starts_a_worker_for_each_gpu_and_restarts_one_that_ends(
    shared_machine: GpuMachine,
) -> None:
    shared_machine.set_gpus(2)
    group = shared_machine.start_worker("--gpus", "all")
    shared_machine.wait_for_devices("cpu", "cuda:0", "cuda:1")
    workers = psutil.Process(group.pid).children()
    assert len(workers) == 2
    assert not any(map(has_loaded_torch, (psutil.Process(group.pid), *workers)))
    workers[0].kill()
    eventually(lambda: set(psutil.Process(group.pid).children()) - set(workers))
    job_id = shared_machine.train("gpu", steps=10)
    assert shared_machine.wait_for(job_id)["device_kind"] == "gpu"
    shared_machine.stop_workers()
    eventually(lambda: not [p for p in workers if p.is_running()])
