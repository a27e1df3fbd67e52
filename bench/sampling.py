"""Load benchmark of sampling.

Run `python -m bench.sampling [streams] [batcher] [http] [flood] [memory]`.

Each figure is a ratio: the service compared with the generator in a bare loop, in turns, with the
same weights, allocator and a single thread. `cpu_ratio` is the ratio of CPU-seconds, which other
work on the machine hardly changes. The service is an API on SQLite with imported models; the
clients run on the same machine. Requests of `flood` follow a Poisson process and do not wait for
earlier responses.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from fastapi import FastAPI, Response
from numpy.typing import NDArray

from bench.images import commit
from core.supervisor import ALLOCATOR

RESULTS = Path(__file__).with_name("results") / "sampling.jsonl"
ROWS, IMAGES, ROUNDS = 1_000_000, 100_000, 3
CLIENTS, REQUESTS = 64, 2_048
FLOOD_REQUESTS, FLOOD_PER_S, POLL_INTERVAL_S = 1_000, 2_000.0, 0.02
POLLED_PATHS = ("/livez", "/v1/models/images")
COLD_MODELS, COLD_REQUESTS = 20, 200
KEY = "sem_bench"
Measurements = dict[str, Any]


# Models.


def image_weights(seed: int = 0) -> tuple[Any, Measurements]:
    """Return an untrained model of 28 x 28 gray images with ten labels, and its manifest.

    Its networks are those of `fast`; training would not change the cost of sampling.
    """
    from models.images.architectures import resolve
    from models.images.data import LabeledImages
    from models.images.settings import ImageData
    from models.images.training import ImageTrainer
    from models.images.vae_gan.settings import VaeGanSettings

    settings = resolve(ImageData(28, 28, 1, 10, n_images=20), "fast", {})
    assert isinstance(settings, VaeGanSettings)  # noqa: S101 - the architecture that `auto` resolves to
    pixels = np.zeros((20, 28, 28), np.uint8)
    data = LabeledImages.split(
        pixels, np.arange(20, dtype=np.int32) % 10, holdout_fraction=0.5, seed=0
    )
    checkpoint = ImageTrainer(settings, data, seed).pack()
    return checkpoint, {
        "modality": "image",
        "labels": [{"name": str(n), "count": 1} for n in range(10)],
        "image": {"height": 28, "width": 28, "channels": 1},
    }


def row_weights() -> tuple[Any, Measurements]:
    """Return a briefly trained model of a table with ten columns of all types, and its manifest."""
    import pyarrow as pa

    from modalities.tabular.manifest import table_manifest
    from modalities.tabular.schema import Column
    from models.tabular.data import LabeledRows
    from models.tabular.schema import ColumnSchema, ColumnType
    from models.tabular.settings import TableData, resolve
    from models.tabular.training import train

    rng, n = np.random.default_rng(0), 4_000
    day = np.timedelta64(1, "D")
    table = pa.table(
        {
            "label": rng.choice(["no", "yes"], n, p=[0.75, 0.25]),
            "city": rng.choice(["Rome", "Paris", "Oslo"], n),
            "kind": rng.choice(list("abcdefgh"), n),
            "member": rng.random(n) < 0.5,
            "age": rng.integers(18, 90, n),
            "hours": rng.integers(1, 80, n),
            "income": np.round(rng.lognormal(9, 1, n), 2),
            "score": np.round(rng.normal(size=n), 3),
            "rate": np.round(rng.random(n), 2),
            "since": np.datetime64("2015-01-01", "us") + rng.integers(0, 3_000, n) * day,
        }
    )
    # In the order of the columns.
    types: list[ColumnType] = [
        *("category", "category", "category", "boolean", "integer", "integer"),
        *("number", "number", "number", "datetime"),
    ]
    decimals = {"income": 2, "score": 3, "rate": 2}
    schema = [
        Column(name, column_type, decimals=decimals.get(name), format=None)
        for name, column_type in zip(table.column_names, types, strict=True)
    ]
    model_schema = [ColumnSchema.from_dict(column.to_dict()) for column in schema]
    rows = LabeledRows.split(
        table, model_schema, target_column="label", holdout_fraction=0.1, seed=0
    )
    run = LastCheckpoint(steps=200)
    train(rows, resolve(TableData(n, len(schema)), "fast", {}), run, seed=0)
    return run.saved, {
        "modality": "tabular",
        **table_manifest(rows, min_value_count=0, relations=[]),
    }


class LastCheckpoint:
    """Training callbacks that end after `steps` steps and keep the last checkpoint."""

    def __init__(self, steps: int) -> None:
        self.steps, self.saved = steps, None

    def progress(self, step: int) -> float:
        return step / self.steps

    def should_checkpoint(self, _step: int) -> bool:
        return False

    should_preview = should_checkpoint

    def save(self, _step: int, checkpoint: Any) -> None:
        self.saved = checkpoint

    def report(self, *_: Any) -> None: ...

    warn = preview = report


def import_model(name: str, checkpoint: Any, metadata: Measurements) -> Any:
    from core import api_keys, model_registry
    from core.database import write
    from core.ids import new_id
    from core.storage import get_storage, key_of

    tenant, model_id = api_keys.DEFAULT_TENANT, new_id("mdl")
    key = key_of(tenant, "models", f"{model_id}.safetensors")
    stored = get_storage().put(key, checkpoint.model)
    manifest = {**metadata, "parameters": checkpoint.parameters, "training": {}}
    with write() as session:
        return model_registry.create_imported_version(
            session, tenant, name, model_id=model_id, step=0, weights=stored, manifest=manifest
        )


def load_sampler(model: Any) -> Any:
    from core.storage import StoredObject, get_storage
    from models.checkpoint import unpack
    from models.images.sampling import ImageSampler
    from models.tabular.sampling import TableSampler

    sampler_type: Any = {"image": ImageSampler, "tabular": TableSampler}[model.modality]
    with get_storage().open(StoredObject.from_dict(model.weights)) as path:
        return sampler_type.load(*unpack(path))


# The service.


@contextmanager
def temporary_data_dir() -> Iterator[None]:
    """Set up an empty database and storage for this process and its children."""
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as path:
        os.environ["SEMBLANCE_DATA_DIR"] = path
        from core import api_keys
        from core.database import write
        from core.settings import get_settings
        from core.supervisor import prepare_database

        prepare_database(get_settings())
        with write() as session:
            api_keys.add(
                session, api_keys.DEFAULT_TENANT, KEY, name="bench", scopes=api_keys.SCOPES
            )
        yield


@contextmanager
def api(factory: str = "app.main:create_app") -> Iterator[tuple[str, psutil.Process]]:
    """Start an API on the data folder, as `semblance-server api` does; yield its URL and process.

    `factory` is the application factory for uvicorn.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--port", str(port)]
    command += ["--log-level", "error", "--timeout-keep-alive", "30"]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": ":".join(sys.path)})
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if httpx.get(f"{url}/livez").status_code == 200:
                    break
            time.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def constant_app() -> FastAPI:
    """Create the same application, with one constant picture in place of generated images."""
    from app.main import create_app
    from app.sampling import response as sampling_response
    from modalities.image.encode import encode_png

    picture = encode_png(np.zeros((28, 28), np.uint8))
    response: Callable[..., Response] = lambda *_, **__: Response(picture, media_type="image/png")  # noqa: E731
    sampling_response.build_response = response
    return create_app()


def drain_stream(
    url: str, name: str, format: str, count: int, on_chunk: Callable[[], None]
) -> float:
    """Request samples and return the seconds until the last byte."""
    started = time.perf_counter()
    headers = {"Authorization": f"Bearer {KEY}"}
    path = f"{url}/v1/models/{name}/samples?format={format}"
    with httpx.stream(
        "POST", path, json={"count": count, "seed": 1}, headers=headers, timeout=3_600
    ) as response:
        response.raise_for_status()
        for _ in response.iter_raw():
            on_chunk()
    return time.perf_counter() - started


# Benchmarks.


def streams() -> Iterator[Measurements]:
    """Measure streams of 1,000,000 rows and 100,000 images, and the resident memory meanwhile."""
    from modalities.image.encode import encode_png
    from models.images import batched_sampling as image_batches
    from models.tabular import batched_sampling as row_batches
    from models.tabular.sampling_plan import plan_total

    row_sampler = load_sampler(import_model("rows", *row_weights()))
    image_sampler = load_sampler(import_model("images", *image_weights()))

    def bare_rows() -> None:
        plan = plan_total(ROWS, [{}], seed=1, offset=0)
        for _ in row_batches.iter_batches(row_sampler, plan):
            pass

    def bare_images(encode: Callable[[NDArray[np.uint8]], Any]) -> None:
        for first in range(0, IMAGES, image_sampler.batch_size):
            indices = np.arange(first, min(first + image_sampler.batch_size, IMAGES))
            for image in image_batches.generate_batch(image_sampler, 1, indices % 10, indices):
                encode(image)

    cases: list[tuple[str, str, int, Callable[[], None]]] = [
        ("rows", "arrow", ROWS, bare_rows),
        ("rows", "csv", ROWS, bare_rows),
        ("images", "npz", IMAGES, lambda: bare_images(lambda image: image)),
        ("images", "zip", IMAGES, lambda: bare_images(encode_png)),
    ]
    with api() as (url, process):
        for name, format, count, bare in cases:
            drain_stream(url, name, format, count // 50, lambda: None)
            ratios, cpu_ratios, memory = [], [], PeakMemory(process)
            for _ in range(ROUNDS):
                started, cpu_started = time.perf_counter(), time.process_time()
                bare()
                bare_s = time.perf_counter() - started
                bare_cpu_s = time.process_time() - cpu_started
                cpu_before = cpu_s(process)
                served_s = drain_stream(url, name, format, count, memory.record)
                ratios.append(bare_s / served_s)
                cpu_ratios.append(bare_cpu_s / (cpu_s(process) - cpu_before))
            yield {
                "case": f"stream {format}",
                "items": count,
                "bare_per_s": round(count / bare_s),
                "served_per_s": round(count / served_s),
                "ratio": round(statistics.median(ratios), 3),
                "ratios": [round(ratio, 3) for ratio in ratios],
                "cpu_ratio": round(statistics.median(cpu_ratios), 3),
                "rss_mib": memory.mib(),
            }


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU-seconds of a process, including encoding and HTTP."""
    times = process.cpu_times()
    return float(times.user + times.system)


class PeakMemory:
    """Peak resident memory of a process in the first and in the second half of its streams."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._samples, self._last_sample_at = process, [0.0], 0.0

    def record(self) -> None:
        if time.monotonic() - self._last_sample_at > 0.2:
            self._last_sample_at = time.monotonic()
            self._samples.append(self._process.memory_info().rss / 2**20)

    def mib(self) -> list[int]:
        half = len(self._samples) // 2
        return [round(max(self._samples[: half + 1])), round(max(self._samples[half:]))]


def batcher() -> Iterator[Measurements]:
    """Measure 64 clients of one image, with shared and separate batches, and a single client."""
    from app.sampling.batcher import Batcher
    from app.sampling.fair_lock import FairLock
    from modalities.image.sampler import ImagePlanSampler
    from models.images import batched_sampling

    sampler = load_sampler(import_model("images", *image_weights()))
    zero, lock = np.zeros(1, np.int64), FairLock()
    shared, source = Batcher(lock, 0.002, lambda: 0), ImagePlanSampler(sampler)
    truncation = np.ones(1, np.float32)

    def batched(seed: int) -> None:
        columns = (np.full(1, seed, np.uint64), zero, zero, truncation, zero)
        shared.submit("bench", source, columns, "image").result()

    def separate(seed: int) -> None:
        with lock.take("bench"):
            batched_sampling.generate_batch(sampler, seed, zero, zero)

    rates: dict[Any, list[float]] = {batched: [], separate: []}
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(ROUNDS):
            for work, work_rates in rates.items():
                list(pool.map(work, range(CLIENTS)))
                started = time.perf_counter()
                list(pool.map(work, range(REQUESTS)))
                work_rates.append(REQUESTS / (time.perf_counter() - started))
    gains = [a / b for a, b in zip(rates[batched], rates[separate], strict=True)]
    batched_ms, separate_ms = (
        sorted(latency_ms(work, seed) for seed in range(200)) for work in (batched, separate)
    )
    yield {
        "case": "batcher, 64 clients",
        "items_per_s": round(statistics.median(rates[batched])),
        "a_batch_each_per_s": round(statistics.median(rates[separate])),
        "ratio": round(statistics.median(gains), 1),
    }
    yield {
        "case": "batcher, one alone",
        "ms": round(batched_ms[100], 2),
        "one_batch_ms": round(separate_ms[100], 2),
        "bound_ms": round(2 * separate_ms[100] + 5, 2),
    }


def latency_ms(work: Callable[[int], None], seed: int) -> float:
    started = time.perf_counter()
    work(seed)
    return (time.perf_counter() - started) * 1_000


class Connection:
    """Minimal HTTP/1.1 client, because a complete one would cost more CPU time than the service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> "Connection":
        host, port = url.removeprefix("http://").split(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def get(self, path: str) -> tuple[int, bytes]:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        self._writer.write(head.encode())
        response = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(response.split("content-length: ")[1].split("\r\n")[0])
        return int(response[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


def sample_path(seed: int) -> str:
    return f"/v1/models/images/samples?seed={seed}"


def http() -> Iterator[Measurements]:
    """Measure 64 clients of one image, compared with a route that returns a constant picture."""

    async def measure_rate(url: str, requests: int) -> float:
        seeds = iter(range(requests))

        async def client() -> None:
            connection = await Connection.open(url)
            for seed in seeds:
                status, _ = await connection.get(sample_path(seed))
                if status != 200:
                    raise RuntimeError(f"The API returned status {status}.")
            connection.close()

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return requests / (time.perf_counter() - started)

    import_model("images", *image_weights())
    with api() as served, api("bench.sampling:constant_app") as constant:
        ratios, cpu_ratios = [], []
        for round_index in range(ROUNDS + 1):
            rates, cpu = [], []
            for url, process in (served, constant):
                cpu_before = cpu_s(process)
                rates.append(asyncio.run(measure_rate(url, REQUESTS)))
                cpu.append(cpu_s(process) - cpu_before)
            if round_index:  # the first round loads the model
                ratios.append(rates[0] / rates[1])
                cpu_ratios.append(cpu[1] / cpu[0])
        yield {
            "case": "http, 64 clients of one image",
            "served_per_s": round(rates[0]),
            "constant_per_s": round(rates[1]),
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "cpu_ratio": round(statistics.median(cpu_ratios), 3),
        }


def flood() -> Iterator[Measurements]:
    """Measure 1,000 requests at once and 1,000 within half a second, and other routes meanwhile."""
    import_model("images", *image_weights())
    with api() as (url, _):
        expected = asyncio.run(expected_digests(url))
        for case, rate in (("1,000 at once", None), (f"{FLOOD_PER_S:.0f}/s", FLOOD_PER_S)):
            responses, polled = asyncio.run(send_flood(url, rate))
            livez_ms = polled["/livez"]
            exact = [status != 200 or digest == expected[i] for i, (status, digest, _) in responses]
            latencies = sorted(ms for _, (status, _, ms) in responses if status == 200)
            yield {
                "case": f"flood, {case}",
                "statuses": dict(Counter(status for _, (status, _, _) in responses)),
                "exact": all(exact),
                "p50_ms": round(latencies[len(latencies) // 2]),
                "p99_ms": round(latencies[int(len(latencies) * 0.99)]),
                "livez_p50_ms": round(sorted(livez_ms)[len(livez_ms) // 2], 1),
                "livez_p99_ms": round(sorted(livez_ms)[int(len(livez_ms) * 0.99)], 1),
                "livez_asked": len(livez_ms),
            }


async def expected_digests(url: str) -> list[str]:
    connection = await Connection.open(url)
    images = [(await connection.get(sample_path(seed)))[1] for seed in range(FLOOD_REQUESTS)]
    connection.close()
    return [digest(image) for image in images]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def send_flood(url: str, rate: float | None) -> tuple[list[Any], dict[str, list[float]]]:
    """Send FLOOD_REQUESTS requests, `rate` per second or all at once.

    Return (index, (status, digest, milliseconds)) of each response, and the latencies of each
    polled path in milliseconds.
    """
    connections = [await Connection.open(url) for _ in range(FLOOD_REQUESTS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.sampling", "--poll", url, stdin=-1, stdout=-1
    )
    assert process.stdout is not None  # noqa: S101
    await process.stdout.readline()
    rng = random.Random(0)  # noqa: S311 - not for cryptography
    started, offset = time.perf_counter() + 0.5, 0.0
    schedule = []
    for _ in range(FLOOD_REQUESTS):
        offset += rng.expovariate(rate) if rate else 0.0
        schedule.append(started + offset)

    async def send(index: int) -> Any:
        await asyncio.sleep(max(0.0, schedule[index] - time.perf_counter()))
        status, body = await connections[index].get(sample_path(index))
        return index, (status, digest(body), (time.perf_counter() - schedule[index]) * 1_000)

    responses = await asyncio.gather(*(send(index) for index in range(FLOOD_REQUESTS)))
    out, _ = await process.communicate(b"end\n")
    for connection in connections:
        connection.close()
    return responses, json.loads(out)


def poll_routes(url: str) -> None:
    """Poll each of POLLED_PATHS until a line is read from stdin, then print the latencies.

    This runs in another process, because the event loop of the load would delay it.
    """
    ended = threading.Event()

    def poll(path: str) -> list[float]:
        latencies = []
        with httpx.Client(headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as client:
            while not ended.is_set():
                started = time.perf_counter()
                client.get(url + path).raise_for_status()
                latencies.append((time.perf_counter() - started) * 1_000)
                time.sleep(POLL_INTERVAL_S)
        return latencies

    with ThreadPoolExecutor(len(POLLED_PATHS)) as pool:
        polls = {path: pool.submit(poll, path) for path in POLLED_PATHS}
        sys.stdout.write("started\n")
        sys.stdout.flush()
        sys.stdin.readline()
        ended.set()
    json.dump({path: future.result() for path, future in polls.items()}, sys.stdout)


def memory() -> Iterator[Measurements]:
    """Check the model cache with 200 requests for 20 models, with and without evictions."""
    from app.sampling.model_cache import ModelCache
    from core.errors import Unavailable
    from core.storage import get_storage
    from modalities import registry
    from modalities.selection import Selection
    from modalities.turns import Unshared

    modality = registry.get("image")
    models = [import_model(f"m{seed}", *image_weights(seed)) for seed in range(COLD_MODELS)]
    model_bytes = models[0].weights["bytes"]
    options = modality.selection_options()
    plan = modality.plan_selection(models[0].manifest, Selection(count=1), options, seed=0)
    for capacity in (2 * COLD_MODELS, COLD_MODELS // 4):
        cache = ModelCache(
            get_storage(), capacity * model_bytes, lambda _name, path: modality.load_sampler(path)
        )
        max_bytes, rejected = 0, 0

        def use(index: int, cache: ModelCache = cache) -> tuple[int, bool]:
            try:
                with cache.lease(models[index % COLD_MODELS]) as sampler:
                    next(sampler.draw(plan, Unshared()))
            except Unavailable:
                return cache.bytes, True
            return cache.bytes, False

        with ThreadPoolExecutor(CLIENTS) as pool:
            for cache_bytes, was_rejected in pool.map(use, range(COLD_REQUESTS)):
                max_bytes, rejected = max(max_bytes, cache_bytes), rejected + was_rejected
        yield {
            "case": f"{COLD_REQUESTS} requests for {COLD_MODELS} cold models, room for {capacity}",
            "loads": cache.loads,
            "refused": rejected,
            "most_bytes": max_bytes,
            "limit_bytes": capacity * model_bytes,
        }


BENCHMARKS = {b.__name__: b for b in (streams, batcher, http, flood, memory)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sampling", description=__doc__)
    names = ", ".join(BENCHMARKS)
    parser.add_argument("benchmarks", nargs="*", help=f"Names out of {names}. Default: all.")
    parser.add_argument("--poll", metavar="URL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.benchmarks) - set(BENCHMARKS):
        parser.error(f"Unknown benchmark {min(unknown)!r}. Choose from: {names}.")
    if arguments.poll:
        poll_routes(arguments.poll)
    else:
        run(arguments.benchmarks or list(BENCHMARKS))


def run(names: list[str]) -> None:
    if os.environ.get("MALLOC_TOP_PAD_") is None:  # glibc reads it when a process starts
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        os.execve(  # noqa: S606 - restarts this program
            sys.executable,
            [sys.executable, "-m", "bench.sampling", *names],
            os.environ | ALLOCATOR | threads,
        )
    import torch

    torch.set_num_threads(1)
    RESULTS.parent.mkdir(exist_ok=True)
    with temporary_data_dir():
        for name in names:
            for row in BENCHMARKS[name]():
                line = json.dumps({**row, "commit": commit()})
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
                with RESULTS.open("a") as out:
                    out.write(line + "\n")


if __name__ == "__main__":
    main()
