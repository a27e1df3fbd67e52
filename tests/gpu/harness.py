"""A server with a CPU worker, and workers with virtual GPUs in processes of their own."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from semblance import Client

from tests import processes
from tests.gpu import virtual_machine
from tests.processes import SHORT_INTERVALS, Server, external_services, serving
from tests.tiny_configs import TINY_IMAGE_CONFIG

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]
T = TypeVar("T")
# A wait ends as soon as the state is reached; the limit only ends tests that hang. Each check of a
# GPU and each job on it imports torch in a new process, which takes a minute on a busy machine.
TIMEOUT_S = 900.0
POLL_S = 0.5  # Requests to the server compete with its workers for the processor.
# A busy machine may stop a thread for seconds; a lost lease would hide what these tests look for.
INTERVALS = SHORT_INTERVALS | {
    "SEMBLANCE_LEASE_SECONDS": "30",
    "SEMBLANCE_DEVICE_CHECK_SECONDS": "30",
    "SEMBLANCE_STEP_TIMEOUT_SECONDS": "3600",  # steps may be held
    "SEMBLANCE_WORKER_THREADS": "1",
}


def eventually(poll: Callable[[], T]) -> T:
    return processes.eventually(poll, within=TIMEOUT_S, every=POLL_S)


@dataclass
class GpuMachine:
    """Virtual GPUs, the commands of their workers, and a client of the server."""

    server: Server
    client: Client
    folder: Path
    environment: dict[str, str]
    dataset: str = ""
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run `semblance-server worker` on this machine."""
        command = Path(sys.executable).with_name("semblance-server")
        with (self.folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [str(command), "worker", *arguments], env=self.environment, stderr=log
            )
        self._processes.append(process)
        return process

    def stop_workers(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            assert process.wait(timeout=TIMEOUT_S) == 0
        self._processes.clear()

    def log(self) -> str:
        return (self.folder / "worker.log").read_text()

    def set_gpus(self, count: int) -> None:
        (self.folder / "gpus").write_text(str(count))

    def arm(self, point: str) -> None:
        (self.folder / "armed" / point).touch()

    def disarm(self, point: str) -> None:
        (self.folder / "armed" / point).unlink()

    def reached(self, point: str) -> bool:
        return (self.folder / "reached" / point).exists()

    def train(self, device: str, *, steps: int = 20, **options: Any) -> str:
        body: Json = {"budget": {"steps": steps}, "checkpoint": {"interval_steps": 5}, "seed": 1}
        job = self.client.train(
            self.dataset, hyperparameters=TINY_IMAGE_CONFIG, device=device, **body | options
        )
        return str(job["id"])

    def job(self, job_id: str) -> Json:
        return self.client.read_job(job_id)

    def wait_for(self, job_id: str, state: str = "succeeded") -> Json:
        def reached() -> Json | None:
            job = self.client.read_job(job_id)
            assert job["state"] == state or not job["terminal"], job["error"]
            return job if job["state"] == state else None

        return eventually(reached)

    def wait_for_step(self, job_id: str, step: int) -> None:
        eventually(lambda: self.client.read_job(job_id)["progress"]["step"] >= step)

    def state_events(self, job_id: str) -> list[Json]:
        url = f"/v1/jobs/{job_id}/events?type=state&limit=50"
        return [event["data"] for event in self.client.request("GET", url).json()["data"]]

    def devices(self) -> dict[str, Json]:
        """Return the devices of the active workers, by name."""
        workers = self.client.request("GET", "/v1/workers").json()
        return {worker["device"]["id"]: worker["device"] for worker in workers}

    def wait_for_devices(self, *names: str) -> None:
        """Wait until exactly these devices work."""
        eventually(
            lambda: (
                {name for name, device in self.devices().items() if not device["error"]}
                == set(names)
            )
        )

    def readiness(self) -> Json:
        readiness: Json = self.client.request("GET", "/readyz").json()
        return readiness


@contextmanager
def gpu_machine(folder: Path) -> Iterator[GpuMachine]:
    for name in ("armed", "reached"):
        (folder / "machine" / name).mkdir(parents=True)
    (folder / "machine" / "gpus").write_text("1")
    shutil.copy(virtual_machine.__file__, folder / "machine" / "sitecustomize.py")
    data = folder / "data"
    with ExitStack() as stack:
        path = os.pathsep.join([str(folder / "machine"), str(ROOT), str(ROOT / "client")])
        settings = INTERVALS | {"PYTHONPATH": path}
        server = stack.enter_context(serving(data, **settings, SEMBLANCE_DEVICE="cpu"))
        eventually(server.is_ready)
        client = stack.enter_context(server.client())
        environment = os.environ | settings
        environment["SEMBLANCE_DATA_DIR"] = str(data)
        environment["SEMBLANCE_BROKER_URL"] = find_broker(server)
        machine = GpuMachine(
            server, client, folder / "machine", environment | external_services(data)
        )
        machine.dataset = client.create_builtin_dataset("digits")["id"]
        stack.callback(machine.stop_workers)
        yield machine


def find_broker(server: Server) -> str:
    """Return the URL of the server's embedded broker; empty if it has an external one."""
    for process in server.find("redis-server"):
        if match := re.search(r"(/\S+\.sock)", " ".join(process.cmdline())):
            return f"redis+socket://{match[1]}?virtual_host=0"
    return ""
