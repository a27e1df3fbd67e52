"""Bench of fairness: `python -m bench.fairness [connections] [tenants]`.

Both parts measure the same load first alone and then with a greedy or hostile client, in one run
and on one service, so that the ratios do not depend on the machine. Clients and service share one
machine, but clients usually have machines of their own: the attackers, and the load that is not
measured itself, run in other processes with a low priority, so that a measured latency has the
time that the service lets the client wait, and not the time that the other clients compute.

`connections` keeps 200 connections with half of a header, 300 idle ones and 260 with half of a
body, and opens each again that the service closes; 64 clients sample meanwhile, and `/livez` is
polled.

`tenants` lets one tenant queue 10,000 jobs, hold 256 streams of samples that it does not read, and
send the parts of 100 uploads; another tenant samples, and posts jobs. The greedy tenant is
suspended and resumed several times, so that a machine that gets slower slows both phases. The row
has the processor time of the API, of the workers and of both tenants' clients in each phase, which
share the cores: what the clients of the greedy tenant use is not the service's.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.images import commit
from bench.jobs import quantiles, tiny_job
from bench.serving import CHECKOUT, service_of

RESULTS = Path(__file__).with_name("results") / "fairness.jsonl"
WARM_UP_S = 10  # after the start: the API loads torch in the background
START_S = 5  # of a process of clients, and until its load is even
ATTACK_S = 10  # the same of attackers
POLL_INTERVAL_S = 0.05
PART = b"x" * 2**20
LOW_PRIORITY = 10
STALLED_COUNT = 100_000  # samples that a reader requests and does not read
Row = dict[str, Any]


class Load:
    """Closed-loop clients: latencies of successful requests, and the statuses of the others."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.failures: Counter[str] = Counter()

    async def repeat(
        self,
        send: Callable[[], Awaitable[httpx.Response]],
        seconds: float = float("inf"),
        pause_s: float = 0.0,
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

    async def hold(self, request: bytes, *, read: bool) -> None:
        """Send bytes and keep the connection; open it again whenever the service closes it."""
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(
                    self.address.host, self.address.port, limit=1_024
                )
                try:
                    writer.write(request)
                    await writer.drain()
                    if read:
                        while await reader.read(65_536):
                            pass
                    else:
                        await asyncio.sleep(20)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.1)


class Background:
    """Clients in a process of their own, with a low priority, until `stop`."""

    def __init__(self, clients: Callable[..., Sequence[Awaitable[None]]], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop, (self._result, result) = context.Event(), context.Pipe(duplex=False)
        self._process = context.Process(
            target=_run_clients, args=(clients, arguments, self._stop, result), daemon=True
        )
        self._process.start()

    def cpu_s(self) -> float:
        """Return the processor time of the clients."""
        return _cpu_s(psutil.Process(self._process.pid))

    async def stop(self) -> Row:
        """Stop the clients; return what they report."""
        self._stop.set()
        row: Row = await asyncio.to_thread(self._result.recv)
        self._process.join()
        return row


def _run_clients(
    clients: Callable[..., Sequence[Awaitable[None]]],
    arguments: tuple[Any, ...],
    stop: Event,
    result: Connection,
) -> None:
    os.nice(LOW_PRIORITY)

    async def run() -> Row:
        load = Load()
        tasks = [asyncio.ensure_future(client) for client in clients(load, *arguments)]
        await asyncio.to_thread(stop.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return load.row()

    result.send(asyncio.run(run()))


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()  # and of its processes that have ended
        return float(sum((times.user, times.system, times.children_user, times.children_system)))
    return 0.0


def cpu_s_of(server: psutil.Process, attack: Background | None) -> dict[str, float]:
    """Return the processor time until now: of the API, of workers and broker, and of clients."""
    used = {"api": 0.0, "workers": 0.0, "clients": _cpu_s(psutil.Process())}
    for process in server.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            used["api" if process.cmdline()[-1:] == ["app"] else "workers"] += _cpu_s(process)
    return used | {"greedy_clients": 0.0 if attack is None else attack.cpu_s()}


def head(key: str, method: str, path: str, *lines: str) -> bytes:
    fields = ["Host: localhost", f"Authorization: Bearer {key}", *lines]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode()


async def connections(
    url: str, key: str, options: argparse.Namespace, _server: psutil.Process
) -> Row:
    service = Service(url, key)
    await service.train()
    await service.sample()
    rows: Row = {name: getattr(options, name) for name in ("seconds", "clients")}
    rows |= {name: getattr(options, name) for name in ("half_open", "idle", "half_sent")}
    for phase in ("alone", "attacked"):
        attack = None
        if phase == "attacked":
            attack = Background(hold_connections, url, key, options)
            await asyncio.sleep(ATTACK_S)
        samples, livez = Background(sample_again, url, key, options.clients), Load()
        await asyncio.sleep(START_S)
        await livez.repeat(lambda: service.http.get("/livez"), options.seconds, POLL_INTERVAL_S)
        rows[phase] = {"livez": livez.row(), "samples": await samples.stop()}
        if attack is not None:
            await attack.stop()
    return rows


def sample_again(load: Load, url: str, key: str, clients: int) -> Sequence[Awaitable[None]]:
    service = Service(url, key)
    return [load.repeat(service.sample) for _ in range(clients)]


def hold_connections(
    _load: Load, url: str, key: str, options: argparse.Namespace
) -> Sequence[Awaitable[None]]:
    service, whole = Service(url, key), head(key, "GET", "/livez")
    half_body = head(
        key,
        "POST",
        "/v1/models/digits/samples",
        "Content-Type: application/json",
        "Content-Length: 1000",
    )
    requests = [whole[:30]] * options.half_open + [whole] * options.idle
    requests += [half_body + b'{"count": '] * options.half_sent
    return [service.hold(request, read=True) for request in requests]


async def tenants(url: str, key: str, options: argparse.Namespace, server: psutil.Process) -> Row:
    operator = Service(url, key)
    created = [await operator.post("/v1/tenants", {"name": n}) for n in ("greedy", "modest")]
    greedy, modest = (Service(url, tenant["key"]) for tenant in created)
    greedy_dataset, modest_dataset = [await tenant.train() for tenant in (greedy, modest)]
    names = ("seconds", "rounds", "jobs", "readers", "uploads")
    rows: Row = {name: getattr(options, name) for name in names}
    rows["greedy_jobs"] = await post_jobs(greedy, greedy_dataset, options.jobs)
    phases = ("alone", "with_the_greedy")
    loads = {phase: Load() for phase in phases}
    cpu_s: dict[str, dict[str, float]] = {phase: {} for phase in phases}
    rows |= {"greedy_parts": [], "greedy_jobs_before_its_job": []}
    for phase in phases * options.rounds:
        attack = None
        is_alone = phase == "alone"
        action = "suspend" if is_alone else "resume"
        await operator.post(f"/v1/tenants/{created[0]['id']}/{action}", {})
        if not is_alone:
            attack = Background(read_and_upload, url, greedy.key, options)
        await asyncio.sleep(ATTACK_S)
        used = cpu_s_of(server, attack)
        send = partial(loads[phase].repeat, modest.sample, options.seconds / options.rounds)
        measured = asyncio.gather(*(send() for _ in range(4)))
        job = await modest.post("/v1/jobs", tiny_job(modest_dataset, steps=1))
        while job["state"] == "queued":
            job = (await modest.http.get(f"/v1/jobs/{job['id']}?wait=10")).json()
        await measured
        for name, seconds in cpu_s_of(server, attack).items():
            cpu_s[phase][name] = cpu_s[phase].get(name, 0.0) + seconds - used[name]
        if attack is not None:
            rows["greedy_parts"].append(await attack.stop())
            times = job["timestamps"]
            before = await greedy.started_between(times["created_at"], times["started_at"])
            rows["greedy_jobs_before_its_job"].append(before)
    for phase in phases:
        used = {name: round(seconds, 1) for name, seconds in cpu_s[phase].items()}
        rows[phase] = {"samples": loads[phase].row(), "cpu_s": used}
    alone, shared = (rows[phase]["samples"] for phase in phases)
    if "p99_ms" in alone and "p99_ms" in shared:
        rows["p99_ratio"] = round(shared["p99_ms"] / alone["p99_ms"], 2)
    return rows


def read_and_upload(
    load: Load, url: str, key: str, options: argparse.Namespace
) -> Sequence[Awaitable[None]]:
    """Return readers that stall, and uploads of which the first part is sent again and again."""
    service = Service(url, key)
    path = f"/v1/models/digits/samples?count={STALLED_COUNT}&format=npz"
    stalled = head(key, "GET", path)
    readers = [service.hold(stalled, read=False) for _ in range(options.readers)]
    return readers + [send_parts(load, service) for _ in range(options.uploads)]


async def post_jobs(service: Service, dataset: str, count: int) -> Row:
    """Post jobs until the quota rejects one; return the numbers by status."""
    body, statuses = tiny_job(dataset, steps=1), Counter[str]()
    for _ in range(0, count, 50):
        posts = (service.http.post("/v1/jobs", json=body) for _ in range(min(50, count)))
        statuses.update(str(r.status_code) for r in await asyncio.gather(*posts))
        if statuses["429"]:
            break
    return dict(statuses)


async def send_parts(load: Load, service: Service) -> None:
    """Begin an upload and send its first part again and again."""
    digest = base64.b64encode(hashlib.sha256(PART).digest()).decode()
    headers = {"Content-Digest": f"sha-256=:{digest}:"}
    upload = (await service.post("/v1/uploads", {"filename": "x"}))["id"]
    path = f"/v1/uploads/{upload}/parts/1"
    await load.repeat(lambda: service.http.put(path, content=PART, headers=headers))


def main() -> None:
    parser = argparse.ArgumentParser(description="Bench of fairness.")
    parser.add_argument("parts", nargs="*", choices=["connections", "tenants", []])
    for name, default in (
        *(("seconds", 60), ("clients", 64), ("half-open", 200), ("idle", 300)),
        *(("half-sent", 260), ("jobs", 10_000), ("readers", 256), ("uploads", 100)),
        ("rounds", 3),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    parts = {"connections": connections, "tenants": tenants}
    for name in options.parts or parts:
        with service_of(CHECKOUT) as service:
            time.sleep(WARM_UP_S)
            row = asyncio.run(parts[name](service.url, service.key, options, service.process))
        row = {"bench": name, "commit": commit()} | row
        print(json.dumps(row, indent=1))
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
