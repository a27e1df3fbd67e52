"""The image of the Dockerfile, built and run as docker-compose.yml does. `make image-test`."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.container_image import ROOT, Engine, missing_programs
from tests.processes import SHORT_INTERVALS, eventually, free_port
from tests.servers import BROKER, SERVER, database_for
from tests.tiny_configs import TINY_IMAGE_CONFIG

BUILD_TIMEOUT_S, START_TIMEOUT_S = 3_600, 300.0
KEY = "sem_image-test-0123456789012345678901234567890123"
MISSING = missing_programs()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(BUILD_TIMEOUT_S),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(SERVER is None, reason="needs PostgreSQL and Redis"),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Build the image. With IMAGE_STORE, a folder, its layers are kept for the next time."""
    folder = os.environ.get("IMAGE_STORE")
    engine = Engine(Path(folder) if folder else tmp_path_factory.mktemp("images"))
    engine.build()
    yield engine
    engine.remove_containers()
    if folder is None:  # they take gigabytes
        engine.remove_images()


@pytest.fixture(scope="module")
def service(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Service"]:
    service = Service(engine, tmp_path_factory.mktemp("data"))
    yield service
    service.http.close()


class Service:
    """API, sampler and worker in containers, with the PostgreSQL and Redis of this machine."""

    def __init__(self, engine: Engine, data: Path) -> None:
        self.engine = engine
        os.chown(data, 10_001, 10_001)
        self.ports = {role: free_port() for role in ("api", "sampler", "worker")}
        assert BROKER is not None
        environment = SHORT_INTERVALS | {
            "SEMBLANCE_DATABASE_URL": database_for(data),
            "SEMBLANCE_BROKER_URL": BROKER,
            "SEMBLANCE_STORAGE_URL": "file:///data/objects",
            "SEMBLANCE_ADMIN_KEY": KEY,
            "SEMBLANCE_SIGNING_SECRET": "x" * 40,
            "SEMBLANCE_HOST": "127.0.0.1",
            "SEMBLANCE_WORKER_METRICS_PORT": str(self.ports["worker"]),
        }
        run = partial(engine.run, volume=data)
        run("migrate", ["migrate"], environment)
        eventually(lambda: engine.state("migrate")[0] == "exited", within=START_TIMEOUT_S)
        assert engine.state("migrate")[1] == 0, engine.podman("logs", "migrate")
        for role, port in self.ports.items():
            own = {"SEMBLANCE_PORT": str(port), "SEMBLANCE_SCRATCH_DIR": f"/data/{role}"}
            run(role, [role], environment | own)
        eventually(lambda: self.is_ready("sampler"), within=START_TIMEOUT_S)
        eventually(lambda: self.is_ready("api"), within=START_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {KEY}"}
        self.http = httpx.Client(base_url=self.url("api"), headers=headers, timeout=60)

    def url(self, role: str) -> str:
        return f"http://127.0.0.1:{self.ports[role]}"

    def train(self, **options: Any) -> str:
        """Create a training job and return its id."""
        dataset = self.http.post("/v1/datasets", json={"builtin": "digits"}).json()["id"]
        body = {"kind": "training", "dataset": dataset, "hyperparameters": TINY_IMAGE_CONFIG}
        response = self.http.post("/v1/jobs", json=body | options)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.http.get(f"/v1/jobs/{job_id}").json()
        return job

    def is_ready(self, role: str) -> bool:
        assert self.engine.state(role)[0] == "running", self.engine.podman("logs", role)
        try:
            return httpx.get(f"{self.url(role)}/readyz", timeout=5).json()["status"] == "ready"
        except httpx.TransportError:
            return False

    def execute(self, role: str, *command: str) -> tuple[int, str]:
        """Run a command in the role's container; return its status and output."""
        result = self.engine.podman("exec", role, *command, check=False)
        return result.returncode, result.stdout.strip()


def test_a_model_is_trained_and_sampled_in_containers(service: Service) -> None:
    job_id = service.train(budget={"steps": 20}, name="digits")
    eventually(lambda: service.job(job_id)["terminal"], within=START_TIMEOUT_S)
    assert service.job(job_id)["state"] == "succeeded", service.job(job_id)["error"]
    path = "/v1/models/digits/samples?count=5&seed=1&format=npz"
    responses = [service.http.get(service.url(role) + path) for role in ("api", "sampler")]
    assert [response.status_code for response in responses] == [200, 200]
    assert responses[0].content == responses[1].content


def test_the_image_has_the_dashboard_and_the_extras(service: Service) -> None:
    page = httpx.get(service.url("api") + "/")
    assert page.status_code == 200
    assert "<script" in page.text
    imports = "import opacus, opentelemetry.exporter.otlp.proto.http"
    assert service.execute("api", "python", "-c", imports) == (0, "")


@pytest.mark.parametrize("role", ["api", "sampler", "worker"])
def test_processes_are_not_root_and_cannot_change_the_image(service: Service, role: str) -> None:
    assert service.execute(role, "id", "-u") == (0, "10001")
    assert service.execute(role, "touch", "/data/x") == (0, "")
    for folder in ("/srv/semblance", "/home/semblance", "/"):
        assert service.execute(role, "touch", f"{folder}/x")[0] != 0


@pytest.mark.parametrize("role", ["api", "sampler", "worker"])
def test_health_checks_of_compose_succeed_in_the_containers(service: Service, role: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    kind, *command = compose["services"][role]["healthcheck"]["test"]
    assert kind == "CMD"
    port = f":{service.ports[role]}/"
    here = [part.replace(":8000/", port).replace(":9100/", port) for part in command]
    assert service.execute(role, *here) == (0, "")
    nowhere = [part.replace("127.0.0.1:", "127.0.0.1:1") for part in here]
    assert service.execute(role, *nowhere)[0] != 0


def test_sigterm_ends_each_container_in_order(service: Service) -> None:
    job_id = service.train(budget={"steps": 1_000_000})
    eventually(lambda: service.job(job_id)["progress"]["step"], within=START_TIMEOUT_S)
    service.engine.podman("kill", f"--signal={signal.SIGTERM.name}", "worker")
    eventually(lambda: service.engine.state("worker")[0] == "exited", within=60)
    assert service.job(job_id)["state"] == "queued"
    assert service.http.get(f"/v1/jobs/{job_id}/checkpoints").json()
    for role in ("sampler", "api"):
        service.engine.podman("kill", f"--signal={signal.SIGTERM.name}", role)
        eventually(lambda role=role: service.engine.state(role)[0] == "exited", within=60)
    states = {role: service.engine.state(role) for role in service.ports}
    assert states == dict.fromkeys(service.ports, ("exited", 0))
