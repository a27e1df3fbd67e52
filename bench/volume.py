"""Requests to an API with many old jobs, compared with an API without any.

`python -m bench.volume [--jobs 1000000] [--database URL]` trains a small model, copies the database
and fills the copy with old jobs, and with a tenth as many models and datasets. Then it sends the
same requests in turn to two APIs, one for each database, and prints the medians and the 99th
percentiles in milliseconds, the CPU time of the API, and their ratios. A load of the machine
changes both in the same way. The databases are SQLite files in a temporary folder, or with
`--database` two new ones on that PostgreSQL server.
"""

import argparse
import contextlib
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from bench.history import TENANT, fill
from bench.jobs import TINY
from bench.serving import free_port
from core import api_keys
from core.database import make_engine, write
from core.migration import migrate
from core.tables import Tenant

KEY = "sem_bench"
NAMES = ("empty", "full")
START_S = 900.0


@dataclass
class Api:
    """A running API and the times of its responses."""

    process: psutil.Process
    client: httpx.Client
    times_ms: list[float] = field(default_factory=list)

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def send(self, method: str, url: str, body: object) -> httpx.Response:
        started = time.perf_counter()
        response = self.client.request(method, url, json=body)
        self.times_ms.append(1_000 * (time.perf_counter() - started))
        response.raise_for_status()
        return response


Operation = tuple[str, str, Callable[[int], object]]


def operations(dataset: str) -> dict[str, Operation]:
    """Return method, path and body of each request by its name.

    Pages have one row, because the database without old jobs has no more.
    """
    training = {"kind": "training", "dataset": dataset, "preset": "fast", "name": "new"}
    return {
        "one image": (
            "POST",
            "/v1/models/digits/samples?format=png",
            lambda n: {"count": 1, "seed": n},
        ),
        "POST of a job": ("POST", "/v1/jobs", lambda _: training),
        "jobs": ("GET", "/v1/jobs?limit=1", lambda _: None),
        "jobs of a kind": ("GET", "/v1/jobs?kind=training&state=succeeded&limit=1", lambda _: None),
        "models": ("GET", "/v1/models?limit=1", lambda _: None),
        "datasets": ("GET", "/v1/datasets?limit=1", lambda _: None),
        "report": ("GET", "/v1/models/digits/report", lambda _: None),
        "queues": ("GET", "/v1/queues", lambda _: None),
    }


def create_databases(server: str | None, folder: Path) -> dict[str, str]:
    """Return the URLs of the databases by name; only the first one exists."""
    if server is None:
        return {name: f"sqlite:///{folder / name}.db" for name in NAMES}
    names = {name: f"bench_volume_{os.getpid()}_{name}" for name in NAMES}
    _execute(server, f"CREATE DATABASE {names['empty']}")
    url = make_url(server)
    return {
        name: url.set(database=database).render_as_string(hide_password=False)
        for name, database in names.items()
    }


def copy_database(server: str | None, urls: dict[str, str]) -> None:
    if server is None:
        source, target = (sqlite3.connect(urls[name].removeprefix("sqlite:///")) for name in NAMES)
        source.backup(target)  # a copy of the file would lack what is still in its log
        for connection in (source, target):
            connection.close()
    else:
        source_name, target_name = (make_url(urls[name]).database for name in NAMES)
        _execute(server, f"CREATE DATABASE {target_name} TEMPLATE {source_name}")


def drop_databases(server: str | None, urls: dict[str, str]) -> None:
    for url in urls.values() if server is not None else ():
        _execute(server or "", f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")


def _execute(server: str, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@contextlib.contextmanager
def serving(url: str, folder: Path) -> Iterator[Api]:
    """Run an API on the database until the block ends."""
    port = free_port()
    settings = {"SEMBLANCE_PORT": str(port), "SEMBLANCE_DATABASE_URL": url}
    process = _start("app", folder, settings)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=120,
        ) as client:
            _wait(client)
            yield Api(psutil.Process(process.pid), client)
    finally:
        process.terminate()
        process.wait(60)


def _start(module: str, folder: Path, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    defaults = {
        "SEMBLANCE_DATA_DIR": str(folder),
        "SEMBLANCE_LOG_LEVEL": "WARNING",
        "SEMBLANCE_AUTO_EVALUATE": "false",
        "SEMBLANCE_WORKER_UNTIL_IDLE": "true",
        "SEMBLANCE_WORKER_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen([sys.executable, "-m", module], env=os.environ | defaults | settings)


def _wait(client: httpx.Client) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/readyz").status_code == 200:
                return
        time.sleep(0.2)
    raise TimeoutError(f"The API was not ready after {START_S:.0f} s.")


def train(url: str, folder: Path) -> str:
    """Train the model `digits`; return the id of its dataset."""
    migrate(url)
    engine = make_engine(url)
    with write(engine) as session:
        session.add(Tenant(id=TENANT, name=TENANT))
        session.flush()
        api_keys.add(session, TENANT, KEY, name="bench", scopes=api_keys.SCOPES)
    engine.dispose()
    with serving(url, folder) as api:
        dataset: str = api.send("POST", "/v1/datasets", {"builtin": "digits"}).json()["id"]
        body = {"kind": "training", "dataset": dataset, "name": "digits", "hyperparameters": TINY}
        api.send("POST", "/v1/jobs", body | {"budget": {"steps": 20}, "seed": 1})
        worker = _start("worker", folder, {"SEMBLANCE_DATABASE_URL": url})
        if worker.wait() != 0:
            raise SystemExit("The worker failed.")
        api.send("POST", "/v1/models/digits/samples?format=png", {"count": 1})
    return dataset


def compare(apis: dict[str, Api], dataset: str, tries: int) -> None:
    print(
        "| request | median, empty | full | ratio | p99, empty | full | ratio | CPU, empty | full |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, (method, url, body) in operations(dataset).items():
        cpu = {}
        for api in apis.values():
            for n in range(10):
                api.send(method, url, body(n))
            api.times_ms.clear()
        before = {key: api.cpu_s() for key, api in apis.items()}
        for n in range(tries):
            for key in NAMES if n % 2 else reversed(NAMES):
                apis[key].send(method, url, body(100 + n))
        cpu = {key: 1_000 * (api.cpu_s() - before[key]) / tries for key, api in apis.items()}
        cells = [name]
        for of in (statistics.median, lambda times: sorted(times)[int(0.99 * len(times))]):
            empty, full = (of(apis[key].times_ms) for key in NAMES)
            cells += [f"{empty:.1f}", f"{full:.1f}", f"{full / empty:.2f}"]
        cells += [f"{cpu[key]:.1f}" for key in NAMES]
        print("|", " | ".join(cells), "|", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--tries", type=int, default=300)
    parser.add_argument("--database", help="URL of a PostgreSQL server.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-volume-") as name, contextlib.ExitStack() as end:
        folder = Path(name)
        os.environ["SEMBLANCE_DATA_DIR"] = name
        urls = create_databases(options.database, folder)
        end.callback(drop_databases, options.database, urls)
        dataset = train(urls["empty"], folder)
        copy_database(options.database, urls)
        engine, started = make_engine(urls["full"], timeout_s=86_400), time.monotonic()
        fill(engine, options.jobs)
        engine.dispose()
        print(f"{options.jobs:,} jobs inserted in {time.monotonic() - started:.0f} s", flush=True)
        apis = {key: end.enter_context(serving(url, folder)) for key, url in urls.items()}
        compare(apis, dataset, options.tries)


if __name__ == "__main__":
    main()
