"""Bench of fairness: `python -m bench.fairness [connections] [tenants]`.

Both parts measure the same load first alone and then with a greedy or hostile client, in one run
and on one service, so that the ratios do not depend on the machine. Clients and service run on the
same machine.

`connections` keeps 200 connections with half of a header, 300 idle ones and 260 with half of a
body, and opens each again that the service closes; 64 clients sample meanwhile, and `/livez` is
polled.

`tenants` lets one tenant queue 10,000 jobs, hold 256 streams of samples that it does not read, and
send the parts of 100 uploads; another tenant samples, and posts jobs.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from bench.images import commit
from bench.jobs import quantiles, tiny_job
from bench.serving import serving

RESULTS = Path(__file__).with_name("results") / "fairness.jsonl"
WARM_UP_S = 10  # after the start: the API loads torch in the background
POLL_INTERVAL_S = 0.05
PART = b"x" * 2**20
STALLED_COUNT = 100_000  # samples that a reader requests and does not read
Row = dict[str, Any]


class Load:
    """Closed-loop clients: latencies of successful requests, and the statuses of the others."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.failures: Counter[str] = Counter()

    async def repeat(
        self, send: Callable[[], Awaitable[httpx.Response]], seconds: float, pause_s: float = 0.0
    ) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            started = time.monotonic()
            try:
                response = await send()
            except httpx.HTTPError as error:
                self.failures[type(error).__name__] += 1
                continue
            if response.is_success:
                self.latencies.append(1_000 * (time.monotonic() - started))
            else:
                self.failures[str(response.status_code)] += 1
            await asyncio.sleep(pause_s)

    def row(self) -> Row:
        figures = quantiles(sorted(self.latencies)) if self.latencies else {}
        return {"n": len(self.latencies), "failed": dict(self.failures)} | figures


class Service:
    """One tenant's way to a running service."""

    def __init__(self, url: str, key: str) -> None:
        self.key, self.address = key, httpx.URL(url)
        self.http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=120,
            limits=httpx.Limits(max_connections=200, max_keepalive_connections=200),
        )

    async def post(self, path: str, body: Row) -> Row:
        response = await self.http.post(path, json=body)
        response.raise_for_status()
        return dict(response.json())

    async def train(self) -> str:
        """Train a tiny model of digits; return the id of its dataset."""
        dataset = (await self.post("/v1/datasets", {"builtin": "digits"}))["id"]
        job = await self.post("/v1/jobs", tiny_job(dataset, steps=1))
        while not job["terminal"]:
            job = (await self.http.get(f"/v1/jobs/{job['id']}?wait=10")).json()
        return str(dataset)

    async def sample(self) -> httpx.Response:
        return await self.http.get("/v1/models/digits/samples?count=16&format=npz")

    async def started_between(self, begin: str, end: str) -> int:
        """Return how many jobs of the tenant started between two times."""
        times = [datetime.fromisoformat(begin), datetime.fromisoformat(end)]
        started, after = 0, ""
        while True:
            query = f"/v1/jobs?sort=created_at&limit=200{after}"
            page = (await self.http.get(query)).json()
            for job in page["data"]:
                at = job["timestamps"]["started_at"]
                started += at is not None and times[0] <= datetime.fromisoformat(at) <= times[1]
            if not page["has_more"] or page["data"][-1]["state"] == "queued":
                return started
            after = f"&after={page['next']}"

    async def hold(self, request: bytes, *, read: bool, seconds: float) -> None:
        """Send bytes and keep the connection; open it again whenever the service closes it."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with suppress(OSError, TimeoutError):
                reader, writer = await asyncio.open_connection(
                    self.address.host, self.address.port, limit=1_024
                )
                try:
                    writer.write(request)
                    await writer.drain()
                    if read:
                        async with asyncio.timeout(left):
                            while await reader.read(65_536):
                                pass
                    else:
                        await asyncio.sleep(min(left, 20))
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.1)


def head(key: str, method: str, path: str, *lines: str) -> bytes:
    fields = ["Host: localhost", f"Authorization: Bearer {key}", *lines]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode()


async def connections(url: str, key: str, options: argparse.Namespace) -> Row:
    service = Service(url, key)
    await service.train()
    await service.sample()
    whole = head(key, "GET", "/livez")
    half_body = head(
        key,
        "POST",
        "/v1/models/digits/samples",
        "Content-Type: application/json",
        "Content-Length: 1000",
    )
    hostile = {  # by the number of connections: what each sends
        "half_open": (options.half_open, whole[:30]),
        "idle": (options.idle, whole),
        "half_sent": (options.half_sent, half_body + b'{"count": '),
    }
    rows: Row = {"seconds": options.seconds, "clients": options.clients}
    rows |= {name: count for name, (count, _) in hostile.items()}
    for phase in ("alone", "attacked"):
        holders: list[asyncio.Task[None]] = []
        if phase == "attacked":
            holders = [
                asyncio.create_task(service.hold(data, read=True, seconds=options.seconds + 5))
                for count, data in hostile.values()
                for _ in range(count)
            ]
            await asyncio.sleep(3)
        samples, livez = Load(), Load()
        await asyncio.gather(
            livez.repeat(lambda: service.http.get("/livez"), options.seconds, POLL_INTERVAL_S),
            *(samples.repeat(service.sample, options.seconds) for _ in range(options.clients)),
        )
        rows[phase] = {"livez": livez.row(), "samples": samples.row()}
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)
    return rows


async def tenants(url: str, key: str, options: argparse.Namespace) -> Row:
    operator = Service(url, key)
    keys = [(await operator.post("/v1/tenants", {"name": n}))["key"] for n in ("greedy", "modest")]
    greedy, modest = (Service(url, each) for each in keys)
    greedy_dataset, modest_dataset = [await tenant.train() for tenant in (greedy, modest)]
    rows: Row = {
        "seconds": options.seconds,
        "jobs": options.jobs,
        "readers": options.readers,
        "uploads": options.uploads,
    }
    for phase in ("alone", "with_the_greedy"):
        tasks: list[asyncio.Task[Any]] = []
        if phase != "alone":
            rows["greedy_jobs"] = await post_jobs(greedy, greedy_dataset, options.jobs)
            path = f"/v1/models/digits/samples?count={STALLED_COUNT}&format=npz"
            duration = 3 * options.seconds
            stalled = head(greedy.key, "GET", path)
            tasks = [
                asyncio.create_task(greedy.hold(stalled, read=False, seconds=duration))
                for _ in range(options.readers)
            ] + [asyncio.create_task(send_parts(greedy, duration)) for _ in range(options.uploads)]
            await asyncio.sleep(3)
        samples = Load()
        measured = asyncio.gather(
            *(samples.repeat(modest.sample, options.seconds) for _ in range(4))
        )
        job = await modest.post("/v1/jobs", tiny_job(modest_dataset, steps=1))
        while job["state"] == "queued":
            job = (await modest.http.get(f"/v1/jobs/{job['id']}?wait=10")).json()
        times = job["timestamps"]
        before = await greedy.started_between(times["created_at"], times["started_at"])
        rows[phase] = {"greedy_jobs_before_its_job": before}
        await measured
        rows[phase]["samples"] = samples.row()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    alone, shared = rows["alone"]["samples"], rows["with_the_greedy"]["samples"]
    if "p99_ms" in alone and "p99_ms" in shared:
        rows["p99_ratio"] = round(shared["p99_ms"] / alone["p99_ms"], 2)
    return rows


async def post_jobs(service: Service, dataset: str, count: int) -> Row:
    """Post jobs until the quota rejects one; return the numbers by status."""
    body, statuses = tiny_job(dataset, steps=1), Counter[str]()
    for _ in range(0, count, 50):
        posts = (service.http.post("/v1/jobs", json=body) for _ in range(min(50, count)))
        statuses.update(str(r.status_code) for r in await asyncio.gather(*posts))
        if statuses["429"]:
            break
    return dict(statuses)


async def send_parts(service: Service, seconds: float) -> None:
    """Begin an upload and send its first part again and again."""
    digest = base64.b64encode(hashlib.sha256(PART).digest()).decode()
    upload = (await service.post("/v1/uploads", {"filename": "x"}))["id"]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            await service.http.put(
                f"/v1/uploads/{upload}/parts/1",
                content=PART,
                headers={"Content-Digest": f"sha-256=:{digest}:"},
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Bench of fairness.")
    parser.add_argument("parts", nargs="*", choices=["connections", "tenants", []])
    for name, default in (
        *(("seconds", 60), ("clients", 64), ("half-open", 200), ("idle", 300)),
        *(("half-sent", 260), ("jobs", 10_000), ("readers", 256), ("uploads", 100)),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    parts = {"connections": connections, "tenants": tenants}
    for name in options.parts or parts:
        with serving() as client:
            http = client._transport._http
            time.sleep(WARM_UP_S)
            key = http.headers["Authorization"].removeprefix("Bearer ")
            row = asyncio.run(parts[name](str(http.base_url), key, options))
        row = {"bench": name, "commit": commit()} | row
        print(json.dumps(row, indent=1))
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
