"""How the service bears load: `python -m bench.jobs [posts] [work] [streams] [generation]`.

Each on a service of its own, SQLite and the embedded broker. Requests come at drawn moments
(Poisson) whether or not those before them were answered, so that a slow answer does not thin out
the load; times count from the drawn moment. The load comes from the machine that it is put on.
"""

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
WARM_S = 10  # after the start, while the API loads torch on the side
POSTS_PER_S, POSTS_S = 50, 20
JOBS = 40
GENERATION_JOBS, ITEMS, POST_CONCURRENCY = 2_000, 10, 4
STREAMS, LIVEZ_PER_S, LIVEZ_S = 1_000, 20, 15
Row = dict[str, Any]


def tiny_job(dataset: str, steps: int) -> Row:
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
    """Milliseconds of each answer, in order of size, and how many were not of 200 to 299."""
    rng, started = random.Random(0), time.monotonic()  # noqa: S311 - it spreads load
    moments, at = [], 0.0
    while (at := at + rng.expovariate(rate)) < seconds:
        moments.append(started + at)
    failed = 0

    async def one(moment: float) -> float:
        nonlocal failed
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        try:
            failed += not (await send()).is_success
        except httpx.HTTPError:
            failed += 1
        return 1000 * (time.monotonic() - moment)

    return sorted(await asyncio.gather(*(one(moment) for moment in moments))), failed


def quantiles(latencies: list[float]) -> Row:
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "most": 1.0}
    return {
        f"{name}_ms": round(latencies[int(q * (len(latencies) - 1))], 1) for name, q in at.items()
    }


def connection(client: Client, max_connections: int) -> httpx.AsyncClient:
    http = client._http
    return httpx.AsyncClient(
        base_url=http.base_url,
        headers={"Authorization": http.headers["Authorization"]},
        timeout=60,
        limits=httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=max_connections
        ),
    )


def posts() -> Row:
    """Jobs are posted while the worker is busy with them."""
    with serving() as client:
        body = tiny_job(client.create_builtin_dataset("digits")["id"], steps=1)
        time.sleep(WARM_S)

        async def run() -> tuple[list[float], int]:
            async with connection(client, 200) as http:
                await http.post("/v1/jobs", json=body)
                return await open_loop(
                    POSTS_PER_S, POSTS_S, lambda: http.post("/v1/jobs", json=body)
                )

        times, failed = asyncio.run(run())
    asked = {"per_s": POSTS_PER_S, "seconds": POSTS_S, "posted": len(times), "failed": failed}
    return asked | quantiles(times)


@contextlib.contextmanager
def second_worker(folder: Path, shared: dict[str, str]) -> Iterator[None]:
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
    """Tiny jobs through two workers, from the first one's start to the last one's end."""
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        folder = Path(name)
        shared = {
            "SEMBLANCE_DATABASE_URL": f"sqlite:///{folder / 'semblance.db'}",
            "SEMBLANCE_STORAGE_URL": (folder / "objects").as_uri(),
        }
        with serving(**shared) as client, second_worker(folder, shared):
            dataset = client.create_builtin_dataset("digits")["id"]
            warm = [client.request("POST", "/v1/jobs", json=tiny_job(dataset, 1)) for _ in range(6)]
            for job in warm:
                client.wait(job.json()["id"])
            started = time.monotonic()
            posted = [
                client.request("POST", "/v1/jobs", json=tiny_job(dataset, 1)).json()["id"]
                for _ in range(JOBS)
            ]
            ended = [client.wait(job_id) for job_id in posted]
            seconds = time.monotonic() - started
            attempts = sum(job["attempt"] for job in ended)
    return {
        "jobs": JOBS,
        "workers": 2,
        "attempts": attempts,
        "seconds": round(seconds, 1),
        "jobs_per_s": round(JOBS / seconds, 2),
    }


def generation() -> Row:
    """Many small generation jobs through two workers; the tables say whether each was done once,
    and psutil what the workers' processes hold, early and late."""
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
            held: list[ProcessUsage] = []
            while (left := _unfinished_jobs(client)) > 0:
                held.append(_process_usage())
                time.sleep(1)
            seconds = time.monotonic() - started
            found = _count_completed(folder / "semblance.db")
    early, late = (_median_usage(held, share) for share in ((0.2, 0.4), (0.8, 1.0)))
    return {
        "jobs": GENERATION_JOBS,
        "items": ITEMS,
        "workers": 2,
        "left": left,
        **found,
        "posted_s": round(posted_s, 1),
        "seconds": round(seconds, 1),
        "jobs_per_s": round(GENERATION_JOBS / seconds, 2),
        **{f"early_{name}": value for name, value in early.items()},
        **{f"late_{name}": value for name, value in late.items()},
    }


async def _post_generation(client: Client) -> None:
    async with connection(client, POST_CONCURRENCY) as http:
        gate = asyncio.Semaphore(POST_CONCURRENCY)

        async def one(seed: int) -> None:
            body = {"kind": "generation", "model": "digits", "count": ITEMS, "seed": seed}
            async with gate:
                (await http.post("/v1/jobs", json=body)).raise_for_status()

        await asyncio.gather(*(one(seed) for seed in range(GENERATION_JOBS)))


def _unfinished_jobs(client: Client) -> int:
    queues = client.request("GET", "/v1/queues").json()
    return sum(queue["queued"] + queue["running"] for queue in queues)


ProcessUsage = dict[str, dict[int, float]]


def _process_usage() -> ProcessUsage:
    """MiB and open files of each process of the workers."""
    found: ProcessUsage = {"mib": {}, "files": {}}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if "worker" in words or "celery" in words or "multiprocessing" in words:
                found["mib"][process.pid] = process.memory_info().rss / 2**20
                found["files"][process.pid] = process.num_fds()
    return found


def _median_usage(held: list[ProcessUsage], share: tuple[float, float]) -> Row:
    """Of the processes in this share of the run: how many, and the median of their sums."""
    part = held[int(share[0] * len(held)) : int(share[1] * len(held))]
    sums = {name: sorted(sum(one[name].values()) for one in part) for name in ("mib", "files")}
    return {"processes": max(len(one["mib"]) for one in part)} | {
        name: round(values[len(values) // 2]) for name, values in sums.items()
    }


def _count_completed(database: Path) -> Row:
    """What the tables say: `made` counts the jobs that ended well with one shard and a manifest."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        jobs = connection.execute(
            "SELECT state, attempt, (SELECT sum(fencing_token) FROM shards WHERE job_id = jobs.id),"
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
    """Followers of one job that trains; the health check is asked meanwhile, by another process:
    a thousand streams keep a client busy, too."""
    with serving() as client:
        body = tiny_job(client.create_builtin_dataset("digits")["id"], steps=10_000_000)
        job = client.request("POST", "/v1/jobs", json=body).json()
        time.sleep(WARM_S)
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        http = client._http
        address = (str(http.base_url), http.headers["Authorization"])
        path = f"/v1/jobs/{job['id']}/events"
        process = spawn.Process(target=follow_all, args=(*address, path, theirs))
        process.start()
        found = ours.recv()
        times, failed = asyncio.run(_health(client))
        ours.send("stop")
        found |= ours.recv() | {"failed": failed}
        process.join()
        client.cancel(job["id"])
    return found | {f"livez_{name}": value for name, value in quantiles(times).items()}


async def _health(client: Client) -> tuple[list[float], int]:
    async with connection(client, 50) as http:
        return await open_loop(LIVEZ_PER_S, LIVEZ_S, lambda: http.get("/livez"))


def follow_all(url: str, key: str, path: str, pipe: Connection) -> None:
    """In a process of its own: says when all streams are open, and, when asked, how many were
    fed since."""
    asyncio.run(_follow_all(url, key, path, pipe))


async def _follow_all(url: str, key: str, path: str, pipe: Connection) -> None:
    told = [0] * STREAMS
    ready, gate = 0, asyncio.Semaphore(50)
    headers = {"Accept": "text/event-stream", "Authorization": key}

    async def follow(number: int, http: httpx.AsyncClient) -> None:
        nonlocal ready
        async with gate:
            request = http.build_request("GET", path, headers=headers)
            response = await http.send(request, stream=True)
        response.raise_for_status()
        ready += 1
        async for line in response.aiter_lines():
            told[number] += line.startswith("data:")

    limits = httpx.Limits(max_connections=STREAMS)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        started = time.monotonic()
        followers = [asyncio.create_task(follow(number, http)) for number in range(STREAMS)]
        while ready < STREAMS and not any(task.done() for task in followers):
            await asyncio.sleep(0.05)
        opened_s = time.monotonic() - started
        await asyncio.sleep(5)
        before = list(told)
        pipe.send({"streams": ready, "opened_in_s": round(opened_s, 1)})
        while not pipe.poll():
            await asyncio.sleep(0.1)
        pipe.send({"fed": sum(now > then for now, then in zip(told, before, strict=True))})
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


BENCHES: dict[str, Callable[[], Row]] = {
    "posts": posts,
    "work": work,
    "streams": streams,
    "generation": generation,
}


def main() -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    for name in sys.argv[1:] or BENCHES:
        load = os.getloadavg()[0]
        row = {"bench": name, "commit": commit(), "load_before": round(load, 1)} | BENCHES[name]()
        with RESULTS.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(row, flush=True)


if __name__ == "__main__":
    main()
