"""A cluster under load whose processes are terminated and killed in turn.

`python -m bench.cluster [--services NAME …] [--rest SECONDS]` starts haproxy, two APIs, a sampler,
three workers, PostgreSQL, Redis and an S3 server on this machine. Clients post generation and
training jobs and request samples, through haproxy and with the retries of the client library. Each
process is terminated and started again, then killed and started again; PostgreSQL shuts down fast
the first time, and Redis loses its memory both times. The S3 server keeps everything in memory, so
it is not stopped. At the end the program waits for all jobs and prints what was lost: failed
requests, other bytes than before, jobs without an end or with two, worker losses.
"""

import argparse
import hashlib
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from semblance import Client
from semblance.errors import SemblanceError

from bench.cluster_services import KEY, Cluster, running
from bench.jobs import TINY

STATELESS = ("api-1", "api-2", "sampler", "worker-1", "worker-2", "worker-3", "haproxy")
TURNS = (*STATELESS, "redis", "postgres")
SAMPLE = {"count": 4, "seed": 11}
PATIENCE_S = 600.0  # the machine may be slow; the library's default is 120 s
TRAINING_STEPS = 200
MAX_QUEUED = 6


@dataclass
class Load:
    """Threads that send requests until they are stopped, and what came of them."""

    url: str
    dataset: str
    digest: str  # of the samples of SAMPLE
    posted: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for action, pause_s in (
            (self._post_generation, 1.0),
            (self._post_training, 20.0),
            (self._sample, 0.5),
            (self._list, 0.5),
        ):
            thread = threading.Thread(target=self._repeat, args=(action, pause_s))
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, action: Callable[[Client], None], pause_s: float) -> None:
        with Client(self.url, KEY, timeout=120, patience=PATIENCE_S) as client:
            while not self._stop.is_set():
                started = time.monotonic()
                try:
                    action(client)
                    self.counts[action.__name__] += 1
                except SemblanceError as error:
                    self.failures.append(f"{action.__name__}: {error}")
                self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                self._stop.wait(pause_s)

    def _post(self, client: Client, body: dict[str, Any]) -> None:
        queued = client.request("GET", "/v1/jobs?state=queued&limit=1").json()["total"]
        if queued >= MAX_QUEUED:  # the workers should be busy, and end soon after the last turn
            return
        self.posted.append(client.request("POST", "/v1/jobs", json=body).json()["id"])

    def _post_generation(self, client: Client) -> None:
        body = {"kind": "generation", "model": "digits", "count": 20, "format": "npz"}
        self._post(client, body | {"seed": len(self.posted)})

    def _post_training(self, client: Client) -> None:
        self._post(client, training(self.dataset, TRAINING_STEPS, f"m{len(self.posted)}"))

    def _sample(self, client: Client) -> None:
        if sample_digest(client) != self.digest:
            self.failures.append("_sample: other bytes than before")

    def _list(self, client: Client) -> None:
        client.request("GET", "/v1/jobs?limit=5")


def training(dataset: str, steps: int, name: str) -> dict[str, Any]:
    body = {"kind": "training", "dataset": dataset, "name": name, "hyperparameters": TINY}
    return body | {"budget": {"steps": steps}, "checkpoint": {"interval_steps": 50}, "seed": 1}


def sample_digest(client: Client) -> str:
    path = "/v1/models/digits/samples?format=npz"
    return hashlib.sha256(client.request("POST", path, json=SAMPLE).content).hexdigest()


def losses(cluster: Cluster) -> int:
    """Return how often a job has lost its worker."""
    query = "SELECT count(*) FROM events WHERE type = 'state' AND data->>'reason' = 'worker_lost'"
    with psycopg.connect(cluster.database_url.replace("+psycopg", "")) as connection:
        (count,) = connection.execute(query).fetchone() or (0,)
        return int(count)


def disturb(cluster: Cluster, name: str, signal_number: int, rest_s: float) -> str:
    """Stop a process, start it again, and return a row of the table of results."""
    service, before, started = cluster.services[name], losses(cluster), time.monotonic()
    service.stop(signal_number)
    stopped_s = time.monotonic() - started
    service.start()
    ready_s = service.wait_until_ready()
    time.sleep(rest_s)
    how = "killed" if signal_number == signal.SIGKILL else "terminated"
    lost = losses(cluster) - before
    return f"| {name} | {how} | {stopped_s:.1f} | {ready_s:.1f} | {lost} |"


def wait_for_jobs(client: Client, posted: Sequence[str], within_s: float) -> Counter[str]:
    """Return how many jobs are in each state, as soon as all have ended or the time is over."""
    deadline, waiting, states = time.monotonic() + within_s, list(posted), Counter[str]()
    while waiting:
        job = client.request("GET", f"/v1/jobs/{waiting[0]}").json()
        if job["terminal"] or time.monotonic() > deadline:
            states[job["state"]] += 1
            waiting.pop(0)
        else:
            time.sleep(1)
    return states


def double_ends(cluster: Cluster) -> tuple[int, int]:
    """Return the number of jobs, and of those that did not end exactly once."""
    query = """SELECT count(*), count(*) FILTER (WHERE ends <> 1) FROM (
        SELECT jobs.id, count(events.id) AS ends FROM jobs LEFT JOIN events
        ON events.job_id = jobs.id AND events.type = 'state'
        AND events.data->>'state' IN ('succeeded', 'failed', 'cancelled')
        GROUP BY jobs.id) AS ended"""
    with psycopg.connect(cluster.database_url.replace("+psycopg", "")) as connection:
        total, wrong = connection.execute(query).fetchone() or (0, 0)
        return int(total), int(wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", nargs="+", choices=TURNS, default=TURNS)
    parser.add_argument("--rest", type=float, default=8.0, help="seconds after each restart")
    options = parser.parse_args()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="bench-cluster-") as name,
        running(Path(name)) as cluster,
        Client(cluster.url, KEY, timeout=120, patience=PATIENCE_S) as client,
    ):
        dataset = str(client.create_builtin_dataset("digits")["id"])
        first = client.request("POST", "/v1/jobs", json=training(dataset, 20, "digits")).json()
        client.wait(first["id"])
        load = Load(cluster.url, dataset, digest=sample_digest(client))
        print(f"started after {time.monotonic() - started:.0f} s", flush=True)
        print("| process | stopped by | seconds to stop | to be ready again | worker losses |")
        print("|---|---|---|---|---|", flush=True)
        load.start()
        try:
            time.sleep(options.rest)
            for victim in options.services:
                for number in (cluster.services[victim].stop_signal, signal.SIGKILL):
                    print(disturb(cluster, victim, number, options.rest), flush=True)
        finally:
            load.stop()
        states = wait_for_jobs(client, load.posted, 600)
        total, wrong = double_ends(cluster)
        print(f"requests {dict(load.counts)}, slowest {load.slowest_s:.1f} s")
        print(f"failed requests {len(load.failures)}: {load.failures[:5]}")
        print(f"jobs posted {len(load.posted) + 1}, stored {total}, states {dict(states)}")
        print(f"jobs that did not end exactly once: {wrong}; worker losses: {losses(cluster)}")
        print(f"{time.monotonic() - started:.0f} s in all")
    if load.failures or wrong or total != len(load.posted) + 1 or set(states) != {"succeeded"}:
        raise SystemExit("Something was lost.")


if __name__ == "__main__":
    main()
