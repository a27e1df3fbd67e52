"""Load benchmark of jobs: `python -m bench.jobs [posts] [work] [streams] [generation]`.

Each benchmark starts a service with SQLite and the embedded broker. Requests follow a Poisson
process and do not wait for earlier responses (open loop), so a slow response does not reduce the
load; latencies count from the scheduled time. The clients run on the same machine as the service.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import psutil
from semblance import Client

from bench.images import commit
from bench.serving import serving

RESULTS = Path(__file__).with_name("results") / "jobs.jsonl"
TINY = {
    "coarse_channels": 8,
    "fine_channels": 8,
    "critic_width": 8,
    "feature_width": 8,
    "latent_dim": 4,
    "batch_size": 8,
}
WARM_UP_S = 10  # after the start: the API loads torch in the background
POSTS_PER_S, POSTS_S = 50, 20
TRAINING_JOBS = 40
GENERATION_JOBS, ITEMS, POST_CONCURRENCY = 2_000, 10, 4
STREAMS, LIVEZ_PER_S, LIVEZ_S = 1_000, 20, 15
Row = dict[str, Any]


def tiny_job(dataset: str, steps: int) -> Row:
    """Return the body of a training job with a tiny network."""
    return {
        "kind": "training",
        "dataset": dataset,
        "hyperparameters": TINY,
        "budget": {"steps": steps},
        "seed": 1,
    }


async def open_loop(
    rate: float, seconds: float, send: Callable[[], Awaitable[httpx.Response]]
) -> tuple[list[float], int]:
    """Return the latencies in milliseconds, sorted, and the number of failed requests."""
    rng, started = random.Random(0), time.monotonic()  # noqa: S311 - not for cryptography
    schedule, offset = [], 0.0
    while (offset := offset + rng.expovariate(rate)) < seconds:
        schedule.append(started + offset)
    failed = 0

    async def send_at(scheduled: float) -> float:
        nonlocal failed
        await asyncio.sleep(max(0.0, scheduled - time.monotonic()))
        try:
            failed += not (await send()).is_success
        except httpx.HTTPError:
            failed += 1
        return 1000 * (time.monotonic() - scheduled)

    return sorted(await asyncio.gather(*(send_at(scheduled) for scheduled in schedule))), failed


def quantiles(latencies: list[float]) -> Row:
    levels = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "most": 1.0}
    return {
        f"{name}_ms": round(latencies[int(q * (len(latencies) - 1))], 1)
        for name, q in levels.items()
    }


def async_client(client: Client, max_connections: int) -> httpx.AsyncClient:
    http = client._transport._http
    return httpx.AsyncClient(
        base_url=http.base_url,
        headers={"Authorization": http.headers["Authorization"]},
        timeout=60,
        limits=httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections
        ),
    )


def posts() -> Row:
    """Measure POST /v1/jobs while the worker runs the jobs."""
    with serving() as client:
        body = tiny_job(client.create_builtin_dataset("digits")["id"], steps=1)
        time.sleep(WARM_UP_S)

        async def run() -> tuple[list[float], int]:
            async with async_client(client, 200) as http:
                await http.post("/v1/jobs", json=body)
                return await open_loop(
                    POSTS_PER_S, POSTS_S, lambda: http.post("/v1/jobs", json=body)
                )

        latencies, failed = asyncio.run(run())
    load = {"per_s": POSTS_PER_S, "seconds": POSTS_S, "posted": len(latencies), "failed": failed}
    return load | quantiles(latencies)


@contextlib.contextmanager
def second_worker(folder: Path, shared: dict[str, str]) -> Iterator[None]:
    """Run a second worker on the database and storage of `shared`."""
    settings = {"SEMBLANCE_DATA_DIR": str(folder / "second"), "SEMBLANCE_WORKER_THREADS": "1"}
    command = [sys.executable, "-m", "worker"]
    process = subprocess.Popen(
        command, env=os.environ | shared | settings, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def work() -> Row:
    """Measure the throughput of two workers with tiny training jobs."""
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        shared = {
            "SEMBLANCE_DATABASE_URL": f"sqlite:///{folder / 'semblance.db'}",
            "SEMBLANCE_STORAGE_URL": (folder / "objects").as_uri(),
        }
        with serving(**shared) as client, second_worker(folder, shared):
            dataset = client.create_builtin_dataset("digits")["id"]
            warm_up = [
                client.request("POST", "/v1/jobs", json=tiny_job(dataset, 1)) for _ in range(6)
            ]
            for job in warm_up:
                client.wait(job.json()["id"])
            started = time.monotonic()
            posted = [
                client.request("POST", "/v1/jobs", json=tiny_job(dataset, 1)).json()["id"]
                for _ in range(TRAINING_JOBS)
            ]
            ended = [client.wait(job_id) for job_id in posted]
            seconds = time.monotonic() - started
            attempts = sum(job["attempt"] for job in ended)
    return {
        "jobs": TRAINING_JOBS,
        "workers": 2,
        "attempts": attempts,
        "seconds": round(seconds, 1),
        "jobs_per_s": round(TRAINING_JOBS / seconds, 2),
    }


def generation() -> Row:
    """Measure many small generation jobs on two workers.

    The database shows that each job ran once; psutil measures memory and open files of the workers'
    processes, early and late in the run.
    """
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        shared = {
            "SEMBLANCE_DATABASE_URL": f"sqlite:///{folder / 'semblance.db'}",
            "SEMBLANCE_STORAGE_URL": (folder / "objects").as_uri(),
        }
        with serving(**shared) as client, second_worker(folder, shared):
            dataset = client.create_builtin_dataset("digits")["id"]
            trained = client.request("POST", "/v1/jobs", json=tiny_job(dataset, 1)).json()["id"]
            client.wait(trained)
            started = time.monotonic()
            asyncio.run(_post_generation(client))
            posted_s = time.monotonic() - started
            usage: list[ProcessUsage] = []
            while (left := _unfinished_jobs(client)) > 0:
                usage.append(_process_usage())
                time.sleep(1)
            seconds = time.monotonic() - started
            counts = _count_completed(folder / "semblance.db")
    early, late = (_median_usage(usage, period) for period in ((0.2, 0.4), (0.8, 1.0)))
    return {
        "jobs": GENERATION_JOBS,
        "items": ITEMS,
        "workers": 2,
        "left": left,
        **counts,
        "posted_s": round(posted_s, 1),
        "seconds": round(seconds, 1),
        "jobs_per_s": round(GENERATION_JOBS / seconds, 2),
        **{f"early_{name}": value for name, value in early.items()},
        **{f"late_{name}": value for name, value in late.items()},
    }


async def _post_generation(client: Client) -> None:
    async with async_client(client, POST_CONCURRENCY) as http:
        semaphore = asyncio.Semaphore(POST_CONCURRENCY)

        async def post(seed: int) -> None:
            body = {"kind": "generation", "model": "digits", "count": ITEMS, "seed": seed}
            async with semaphore:
                (await http.post("/v1/jobs", json=body)).raise_for_status()

        await asyncio.gather(*(post(seed) for seed in range(GENERATION_JOBS)))


def _unfinished_jobs(client: Client) -> int:
    queues = client.request("GET", "/v1/queues").json()
    return sum(queue["queued"] + queue["running"] for queue in queues)


ProcessUsage = dict[str, dict[int, float]]


def _process_usage() -> ProcessUsage:
    """Return the memory in MiB and the number of open files of each worker process, by pid."""
    usage: ProcessUsage = {"mib": {}, "files": {}}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if "worker" in command or "celery" in command or "multiprocessing" in command:
                usage["mib"][process.pid] = process.memory_info().rss / 2**20
                usage["files"][process.pid] = process.num_fds()
    return usage


def _median_usage(usage: list[ProcessUsage], period: tuple[float, float]) -> Row:
    """Return the number of processes and the median of their total usage in a part of the run."""
    start, end = (int(fraction * len(usage)) for fraction in period)
    snapshots = usage[start:end]
    totals = {
        name: sorted(sum(snapshot[name].values()) for snapshot in snapshots)
        for name in ("mib", "files")
    }
    processes: Row = {"processes": max(len(snapshot["mib"]) for snapshot in snapshots)}
    return processes | {name: round(values[len(values) // 2]) for name, values in totals.items()}


def _count_completed(database: Path) -> Row:
    """Count jobs in the database; `made` are those with all items, one shard and a manifest."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        jobs = connection.execute(
            "SELECT state, fencing_token,"
            " (SELECT sum(fencing_token) FROM shards WHERE job_id = jobs.id),"
            " (SELECT count(*) FROM artifacts WHERE job_id = jobs.id),"
            " (SELECT sum(items_done) FROM shards WHERE job_id = jobs.id)"
            " FROM jobs WHERE kind = 'generation'"
        ).fetchall()
    return {
        "made": sum((state, files, n) == ("succeeded", 2, ITEMS) for state, _, _, files, n in jobs),
        "attempts": sum(row[1] for row in jobs),
        "shard_claims": sum(row[2] or 0 for row in jobs),
    }


def streams() -> Row:
    """Measure the latency of /livez while 1,000 clients follow the events of a training job.

    The followers run in another process, because they would delay the health checks of this one.
    """
    with serving() as client:
        body = tiny_job(client.create_builtin_dataset("digits")["id"], steps=10_000_000)
        job = client.request("POST", "/v1/jobs", json=body).json()
        time.sleep(WARM_UP_S)
        spawn = multiprocessing.get_context("spawn")
        pipe, child_pipe = spawn.Pipe()
        http = client._transport._http
        url_and_key = (str(http.base_url), http.headers["Authorization"])
        path = f"/v1/jobs/{job['id']}/events"
        process = spawn.Process(target=follow_all, args=(*url_and_key, path, child_pipe))
        process.start()
        row: Row = pipe.recv()
        latencies, failed = asyncio.run(_check_health(client))
        pipe.send("stop")
        row |= pipe.recv() | {"failed": failed}
        process.join()
        client.cancel(job["id"])
    return row | {f"livez_{name}": value for name, value in quantiles(latencies).items()}


async def _check_health(client: Client) -> tuple[list[float], int]:
    async with async_client(client, 50) as http:
        return await open_loop(LIVEZ_PER_S, LIVEZ_S, lambda: http.get("/livez"))


def follow_all(url: str, key: str, path: str, pipe: Connection) -> None:
    """Follow the events of a job with STREAMS clients, in another process.

    Send a message when all streams are open, and, after any message from `pipe`, the number of
    streams that received an event since then.
    """
    asyncio.run(_follow_all(url, key, path, pipe))


async def _follow_all(url: str, key: str, path: str, pipe: Connection) -> None:
    received = [0] * STREAMS
    ready, semaphore = 0, asyncio.Semaphore(50)
    headers = {"Accept": "text/event-stream", "Authorization": key}

    async def follow(index: int, http: httpx.AsyncClient) -> None:
        nonlocal ready
        async with semaphore:
            request = http.build_request("GET", path, headers=headers)
            response = await http.send(request, stream=True)
        response.raise_for_status()
        ready += 1
        async for line in response.aiter_lines():
            received[index] += line.startswith("data:")

    limits = httpx.Limits(max_connections=STREAMS)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        started = time.monotonic()
        followers = [asyncio.create_task(follow(index, http)) for index in range(STREAMS)]
        while ready < STREAMS and not any(task.done() for task in followers):
            await asyncio.sleep(0.05)
        opened_s = time.monotonic() - started
        await asyncio.sleep(5)
        before = list(received)
        pipe.send({"streams": ready, "opened_in_s": round(opened_s, 1)})
        while not pipe.poll():
            await asyncio.sleep(0.1)
        pipe.send({"fed": sum(now > then for now, then in zip(received, before, strict=True))})
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


BENCHMARKS: dict[str, Callable[[], Row]] = {
    "posts": posts,
    "work": work,
    "streams": streams,
    "generation": generation,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.jobs", description=__doc__)
    names = ", ".join(BENCHMARKS)
    parser.add_argument("benchmarks", nargs="*", help=f"Names out of {names}. Default: all.")
    arguments = parser.parse_args()
    if unknown := set(arguments.benchmarks) - set(BENCHMARKS):
        parser.error(f"Unknown benchmark {min(unknown)!r}. Choose from: {names}.")
    RESULTS.parent.mkdir(exist_ok=True)
    for name in arguments.benchmarks or BENCHMARKS:
        load = os.getloadavg()[0]
        row = {"bench": name, "commit": commit(), "load_before": round(load, 1)} | BENCHMARKS[
            name
        ]()
        with RESULTS.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(row, flush=True)


if __name__ == "__main__":
    main()
