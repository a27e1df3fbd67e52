"""Processes of a cluster on this machine: haproxy, APIs, a sampler, workers and their three stores.

All listen on free ports of the loopback address and keep their state in one temporary folder.
PostgreSQL, Redis and haproxy must be installed; the object store is moto's S3 server.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import httpx
import psycopg
import redis

from bench.serving import free_port

KEY = "sem_cluster_bench"
BUCKET = "cluster"
START_S = 600.0  # on a machine that others use
POSTGRES_USER = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
HAPROXY = """
global
  maxconn 2000
defaults
  mode http
  timeout connect 2s
  timeout client 300s
  timeout server 300s
  timeout check 10s
  option redispatch
  retries 3
  retry-on conn-failure
  option httpchk GET /readyz
  default-server check inter 1s fall 2 rise 1
frontend all
  bind 127.0.0.1:{port}
  use_backend samples if {{ path_reg ^/v1/models/[^/]+/samples$ }}
  default_backend apis
backend apis
{apis}
backend samples
  server sampler 127.0.0.1:{sampler}
{backups}
"""


@dataclass
class Service:
    """A process that can be stopped by a signal and started again."""

    name: str
    command: list[str]
    environment: dict[str, str]
    is_ready: Callable[[], bool]
    log: Path
    user: str | None = None
    stop_signal: int = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
                user=self.user,
                cwd=None if self.user is None else "/",
                start_new_session=True,
            )

    def wait_until_ready(self) -> float:
        """Return the seconds until the process is ready."""
        started = time.monotonic()
        while not self.is_ready():
            if time.monotonic() - started > START_S:
                raise TimeoutError(f"{self.name} was not ready after {START_S:.0f} s.")
            time.sleep(0.1)
        return time.monotonic() - started

    def stop(self, signal_number: int) -> None:
        assert self.process is not None  # noqa: S101 - called for started services
        self.process.send_signal(signal_number)
        self.process.wait(120)


@dataclass
class Cluster:
    folder: Path
    url: str
    database_url: str
    services: dict[str, Service]


def _answers(url: str) -> Callable[[], bool]:
    def check() -> bool:
        try:
            return httpx.get(url, timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    return check


def _connects(port: int) -> Callable[[], bool]:
    def check() -> bool:
        try:
            conninfo = f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
            psycopg.connect(conninfo, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    return check


def _pings(port: int) -> Callable[[], bool]:
    def check() -> bool:
        try:
            return bool(redis.Redis(port=port).ping())
        except redis.ConnectionError:
            return False

    return check


def _is_registered(database_url: str, folder: Path) -> Callable[[], bool]:
    """Return a check whether a worker in the folder, other than the last one, is registered."""
    last = ""

    def check() -> bool:
        nonlocal last
        names = sorted(path.name for path in folder.glob("scratch/wkr_*"))
        if not names or names[-1] == last:
            return False
        with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
            query = "SELECT 1 FROM workers WHERE id = %s"
            if connection.execute(query, (names[-1],)).fetchone() is None:
                return False
        last = names[-1]
        return True

    return check


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start a cluster in the folder, and kill all its processes at the end."""
    ports = {
        name: free_port()
        for name in ("haproxy", "api-1", "api-2", "sampler", "postgres", "redis", "s3")
    }
    database_url = f"postgresql+psycopg://postgres@127.0.0.1:{ports['postgres']}/postgres"
    shared = {
        "SEMBLANCE_DATABASE_URL": database_url,
        "SEMBLANCE_BROKER_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "SEMBLANCE_STORAGE_URL": f"s3://{BUCKET}/semblance",
        "SEMBLANCE_ADMIN_KEY": KEY,
        "SEMBLANCE_SIGNING_SECRET": "of the cluster, on this machine alone",
        "SEMBLANCE_ALLOWED_HOSTS": '["*"]',
        "SEMBLANCE_PRELOAD": "false",
        "SEMBLANCE_AUTO_EVALUATE": "false",
        "SEMBLANCE_WORKER_THREADS": "1",
        "SEMBLANCE_LOG_LEVEL": "WARNING",
        "OMP_NUM_THREADS": "1",
        "AWS_ENDPOINT": f"http://127.0.0.1:{ports['s3']}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    services: dict[str, Service] = {}

    def add(
        name: str, command: list[str], is_ready: Callable[[], bool], **environment: str
    ) -> None:
        own = {"SEMBLANCE_DATA_DIR": str(folder / name)}
        services[name] = Service(
            name, command, shared | own | environment, is_ready, folder / f"{name}.log"
        )

    data = folder / "postgres"
    data.mkdir()
    folder.chmod(0o755)
    if POSTGRES_USER is not None:
        subprocess.run(["chown", POSTGRES_USER, str(data)], check=True)
    initdb = ["initdb", "-A", "trust", "-U", "postgres", "--no-sync", "-D", str(data)]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=POSTGRES_USER, cwd="/")
    add(
        "postgres",
        ["postgres", "-D", str(data), "-p", str(ports["postgres"]), "-k", str(data)],
        _connects(ports["postgres"]),
    )
    services["postgres"].user = POSTGRES_USER
    services["postgres"].stop_signal = signal.SIGINT  # a fast shutdown, which ends connections
    services["postgres"].log = data / "log"
    redis_options = ["--port", str(ports["redis"]), "--bind", "127.0.0.1", "--save", ""]
    add("redis", ["redis-server", *redis_options], _pings(ports["redis"]))
    s3 = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(ports["s3"])]
    add("s3", s3, _answers(f"http://127.0.0.1:{ports['s3']}/moto-api/"))
    for name, options in (("api-1", []), ("api-2", []), ("sampler", ["--sampler"])):
        ready = _answers(f"http://127.0.0.1:{ports[name]}/readyz")
        command = [sys.executable, "-m", "app", *options]
        add(name, command, ready, SEMBLANCE_PORT=str(ports[name]))
    for number in (1, 2, 3):
        name = f"worker-{number}"
        ready = _is_registered(database_url, folder / name)
        add(name, [sys.executable, "-m", "worker"], ready)
    config = folder / "haproxy.cfg"
    servers = [f"  server {name} 127.0.0.1:{ports[name]}" for name in ("api-1", "api-2")]
    config.write_text(
        HAPROXY.format(
            port=ports["haproxy"],
            sampler=ports["sampler"],
            apis="\n".join(servers),
            backups="\n".join(f"{server} backup" for server in servers),
        )
    )
    url = f"http://127.0.0.1:{ports['haproxy']}"
    add("haproxy", ["haproxy", "-f", str(config), "-db"], _answers(f"{url}/livez"))
    with ExitStack() as end:
        end.callback(_kill_all, services)
        for name in ("postgres", "redis", "s3"):
            services[name].start()
            services[name].wait_until_ready()
        boto3.client("s3", endpoint_url=shared["AWS_ENDPOINT"], **_credentials()).create_bucket(
            Bucket=BUCKET
        )
        migrate = [sys.executable, "-m", "core.cli", "migrate"]
        subprocess.run(migrate, env=os.environ | services["api-1"].environment, check=True)
        waiting = [service for service in services.values() if service.process is None]
        for service in waiting:
            service.start()
        for service in waiting:
            service.wait_until_ready()
        yield Cluster(folder, url, database_url, services)


def _credentials() -> dict[str, str]:
    names = ("aws_access_key_id", "aws_secret_access_key")
    return dict.fromkeys(names, "x") | {"region_name": "us-east-1"}


def _kill_all(services: dict[str, Service]) -> None:
    for service in services.values():
        if service.process is not None and service.process.poll() is None:
            os.killpg(service.process.pid, signal.SIGKILL)
            service.process.wait()
