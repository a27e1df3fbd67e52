"""Ablation of the measures that keep the API responsive.

Run `python -m bench.ablation [flood] [images]`.

Each variant is the API without one measure. The variants run in turns on the same models, and a row
of the results has the latencies of all rounds of one variant.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from bench import sampling
from bench.images import commit
from core.supervisor import ALLOCATOR

RESULTS = Path(__file__).with_name("results") / "ablation.jsonl"
ROUNDS = 3
STREAMS, SMALL_REQUESTS = 4, 50
ROWS_PATH = "/v1/models/rows/samples"
Latencies = dict[str, list[float]]


# Application factories, one for each variant.


def complete() -> FastAPI:
    from app.main import create_app

    return create_app()


def without_fair_start() -> FastAPI:
    from app.fairness import start as fair_start

    async def start_at_once(
        middleware: fair_start.FairStartMiddleware, scope: Scope, receive: Receive, send: Send
    ) -> None:
        await middleware.app(scope, receive, send)

    setattr(fair_start.FairStartMiddleware, "__call__", start_at_once)  # noqa: B010
    return complete()


def without_gc_freeze() -> FastAPI:
    gc.freeze = lambda: None
    return complete()


def with_shared_threads() -> FastAPI:
    from app import authentication
    from app.fairness.turns import FairThreads
    from app.sampling import concurrency_limit

    shared = FairThreads(40, per_owner=40)  # as many as anyio's default limiter has
    setattr(authentication, "_threads", shared)  # noqa: B010
    setattr(concurrency_limit, "sampling_threads", shared)  # noqa: B010
    return complete()


def with_plain_lock() -> FastAPI:
    from app.sampling import fair_lock, service

    class PlainLock(fair_lock.FairLock):
        def __init__(self) -> None:
            self._plain = threading.Lock()

        def take(self, _owner: str) -> threading.Lock:  # type: ignore[override]
            return self._plain

    setattr(service, "FairLock", PlainLock)  # noqa: B010
    return complete()


# Loads.


def flood(url: str) -> tuple[Latencies, Counter[str]]:
    """Send 1,000 requests at once and poll two other routes meanwhile."""
    responses, latencies = asyncio.run(sampling.send_flood(url, None))
    samples = [ms for _, (status, _, ms) in responses if status == 200]
    statuses = Counter(str(status) for _, (status, _, _) in responses)
    return {**latencies, "samples": samples}, statuses


def images(url: str) -> tuple[Latencies, Counter[str]]:
    """Request ten rows again and again while other clients stream 100,000 images each."""
    return asyncio.run(_request_rows(url))


async def _request_rows(url: str) -> tuple[Latencies, Counter[str]]:
    headers = {"Authorization": f"Bearer {sampling.KEY}"}
    path, body = "/v1/models/images/samples?format=npz", {"count": 100_000}
    statuses, latencies = Counter[str](), []
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120) as client:
        streams = [
            asyncio.create_task(_drain(client.stream("POST", path, json=body)))
            for _ in range(STREAMS)
        ]
        await asyncio.sleep(1)
        for seed in range(SMALL_REQUESTS):
            started = time.perf_counter()
            response = await client.post(ROWS_PATH, json={"count": 10, "seed": seed})
            latencies.append((time.perf_counter() - started) * 1_000)
            statuses[str(response.status_code)] += 1
        statuses["streams that ended early"] = sum(stream.done() for stream in streams)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    return {"ten rows": latencies}, statuses


async def _drain(opening: Any) -> None:
    async with opening as response:
        response.raise_for_status()
        async for _ in response.aiter_raw():
            pass


LOADS: dict[str, tuple[Callable[[str], tuple[Latencies, Counter[str]]], list[str]]] = {
    "flood": (
        flood,
        ["complete", "without_fair_start", "without_gc_freeze", "with_shared_threads"],
    ),
    "images": (images, ["complete", "with_plain_lock"]),
}


def measure(name: str) -> Iterator[dict[str, Any]]:
    load, variants = LOADS[name]
    latencies: dict[str, Latencies] = {variant: {} for variant in variants}
    statuses: dict[str, Counter[str]] = {variant: Counter() for variant in variants}
    for _ in range(ROUNDS):
        for variant in variants:
            with sampling.api(f"bench.ablation:{variant}") as (url, _process):
                _warm_up(url)
                measured, counts = load(url)
            for subject, values in measured.items():
                latencies[variant].setdefault(subject, []).extend(values)
            statuses[variant] += counts
    for variant in variants:
        summary = {subject: summarize(values) for subject, values in latencies[variant].items()}
        yield {"case": name, "variant": variant, **summary, "statuses": dict(statuses[variant])}


def _warm_up(url: str) -> None:
    """Load the models and let the imports in the background end."""
    headers = {"Authorization": f"Bearer {sampling.KEY}"}
    for path in ("/v1/models/images/samples?seed=1", ROWS_PATH):
        httpx.get(url + path, headers=headers, timeout=60)
    time.sleep(3)


def summarize(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    levels = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    summary = {name: round(ordered[int(q * (len(ordered) - 1))], 1) for name, q in levels.items()}
    return {"n": len(ordered), **summary}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ablation", description=__doc__)
    parser.add_argument("loads", nargs="*", help=f"Names out of {', '.join(LOADS)}. Default: all.")
    arguments = parser.parse_args()
    if unknown := set(arguments.loads) - set(LOADS):
        parser.error(f"Unknown load {min(unknown)!r}. Choose from: {', '.join(LOADS)}.")
    if os.environ.get("MALLOC_TOP_PAD_") is None:  # glibc reads it when a process starts
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        os.execve(  # noqa: S606 - restarts this program
            sys.executable,
            [sys.executable, "-m", "bench.ablation", *arguments.loads],
            os.environ | ALLOCATOR | threads,
        )
    with sampling.temporary_data_dir():
        sampling.import_model("images", *sampling.image_weights())
        sampling.import_model("rows", *sampling.row_weights())
        for name in arguments.loads or LOADS:
            for row in measure(name):
                line = json.dumps({**row, "commit": commit()})
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
                with RESULTS.open("a") as out:
                    out.write(line + "\n")


if __name__ == "__main__":
    main()
