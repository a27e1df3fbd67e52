"""How fast samples leave: `python -m bench.sampling [streams] [batcher] [http] [crowd] [memory]`.

Each figure is a ratio of two that were measured in one run, in turns: what is served, beside the
generator called in a bare loop with the same weights, allocator and one thread. `cpu_ratio` is that
of CPU-seconds, which other work on the machine hardly changes. The service is an
API on SQLite with models that were put there; its clients share the machine with it. Requests of
`crowd` come at drawn moments (Poisson), whether or not those before them were answered.
"""

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
FLOOD_REQUESTS, FLOOD_PER_S, LIVEZ_S = 1_000, 2_000.0, 0.02
MODELS, COLD_REQUESTS = 20, 200
KEY = "sem_bench"
Measurements = dict[str, Any]


# What there is to draw from.


def image_weights(seed: int = 0) -> tuple[Any, Measurements]:
    """28 x 28 grey, ten labels, the networks of `fast`: untrained, which costs the same to draw."""
    from models.images.architectures import resolve
    from models.images.data import LabeledImages
    from models.images.settings import ImageData
    from models.images.vae_gan.state import VaeGanState

    settings = resolve(ImageData(28, 28, 1, 10, n_images=20), "fast", {})
    pixels = np.zeros((20, 28, 28), np.uint8)
    data = LabeledImages.split(
        pixels, np.arange(20, dtype=np.int32) % 10, holdout_fraction=0.5, seed=0
    )
    saved = VaeGanState(settings, data, seed).pack()
    return saved, {
        "modality": "image",
        "labels": [{"name": str(n), "count": 1} for n in range(10)],
        "image": {"height": 28, "width": 28, "channels": 1},
    }


def row_weights() -> tuple[Any, Measurements]:
    """Ten columns: categories, numbers, a date, a boolean; trained for a moment."""
    import pyarrow as pa

    from core.datasets.tabular import Column
    from models.tabular.data import LabeledRows
    from models.tabular.schema import ColumnSchema
    from models.tabular.settings import TableData, resolve
    from models.tabular.training import train
    from worker.training_data import table_manifest

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
    types = ["category"] * 3 + ["boolean"] + ["integer"] * 2 + ["number"] * 3 + ["datetime"]
    decimals = {"income": 2, "score": 3, "rate": 2}
    schema = [
        Column(name, kind, decimals=decimals.get(name), format=None)
        for name, kind in zip(table.column_names, types, strict=True)
    ]
    learned = [ColumnSchema.from_dict(column.to_dict()) for column in schema]
    rows = LabeledRows.split(table, learned, target_column="label", holdout_fraction=0.1, seed=0)
    run = LastCheckpoint(steps=200)
    train(rows, resolve(TableData(n, len(schema)), "fast", {}), run, seed=0)
    return run.saved, {"modality": "tabular", **table_manifest(rows, min_value_count=0)}


class LastCheckpoint:
    """A run of so many steps that keeps what it saved last."""

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
    from models.load import load_sampler

    with get_storage().open(StoredObject.from_dict(model.weights)) as path:
        return load_sampler(path)


# The service.


@contextmanager
def folder() -> Iterator[None]:
    """An empty database and store for this process and those that it starts."""
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
    """An API on the folder, as `semblance-server api` starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--port", str(port)]
    command += ["--log-level", "error", "--timeout-keep-alive", "30"]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": ":".join(sys.path)})
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                if httpx.get(f"{url}/livez").status_code == 200:
                    break
            time.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=30)


def constant_app() -> FastAPI:
    """The same API, whose images are all one picture that was made before."""
    from app.main import create_app
    from app.sampling import image_response
    from core.datasets.images.writing import encode_png

    picture = encode_png(np.zeros((28, 28), np.uint8))
    answer: Callable[..., Response] = lambda *_, **__: Response(picture, media_type="image/png")  # noqa: E731
    image_response.build_response = answer
    return create_app()


def drain_stream(
    url: str, name: str, format: str, count: int, watch: Callable[[int], None]
) -> float:
    """Seconds until the last byte has come."""
    begun, got = time.perf_counter(), 0
    headers = {"Authorization": f"Bearer {KEY}"}
    path = f"{url}/v1/models/{name}/samples?format={format}"
    with httpx.stream(
        "POST", path, json={"count": count, "seed": 1}, headers=headers, timeout=3_600
    ) as answer:
        answer.raise_for_status()
        for piece in answer.iter_raw():
            got += len(piece)
            watch(got)
    return time.perf_counter() - begun


# Figures.


def streams() -> Iterator[Measurements]:
    """Rows and images by the hundred thousand; resident memory at a tenth and at the end."""
    from core.datasets.images.writing import encode_png
    from models.images import batched_sampling as image_batches
    from models.tabular import batched_sampling as row_batches
    from models.tabular.sampling_plan import plan_total

    rows, pictures = import_model("rows", *row_weights()), import_model("images", *image_weights())
    row_generator, image_generator = load_sampler(rows), load_sampler(pictures)

    def bare_rows() -> None:
        for numbers, wheres in row_batches.iter_chunks(plan_total(ROWS, [{}], seed=1, offset=0)):
            row_batches.generate_batch(row_generator, 1, numbers, wheres)

    def bare_images(encode: Callable[[NDArray[np.uint8]], Any]) -> None:
        for first in range(0, IMAGES, image_generator.batch_size):
            numbers = np.arange(first, min(first + image_generator.batch_size, IMAGES))
            for image in image_batches.generate_batch(image_generator, 1, numbers % 10, numbers):
                encode(image)

    cases: list[tuple[str, str, int, Callable[[], None]]] = [
        ("rows", "arrow", ROWS, bare_rows),
        ("rows", "csv", ROWS, bare_rows),
        ("images", "npz", IMAGES, lambda: bare_images(lambda image: image)),
        ("images", "zip", IMAGES, lambda: bare_images(encode_png)),
    ]
    with api() as (url, process):
        for name, format, count, bare in cases:
            drain_stream(url, name, format, count // 50, lambda _got: None)
            ratios, cpu, memory = [], [], PeakMemory(process)
            for _ in range(ROUNDS):
                begun, used = time.perf_counter(), time.process_time()
                bare()
                alone, used = time.perf_counter() - begun, time.process_time() - used
                before = cpu_s(process)
                served = drain_stream(url, name, format, count, memory.record)
                ratios.append(alone / served)
                cpu.append(used / (cpu_s(process) - before))
            yield {
                "case": f"stream {format}",
                "items": count,
                "bare_per_s": round(count / alone),
                "served_per_s": round(count / served),
                "ratio": round(statistics.median(ratios), 3),
                "ratios": [round(ratio, 3) for ratio in ratios],
                "cpu_ratio": round(statistics.median(cpu), 3),
                "rss_mib": memory.mib(),
            }


def cpu_s(process: psutil.Process) -> float:
    """What the process has used, encoding and HTTP included; others cannot lengthen it much."""
    times = process.cpu_times()
    return float(times.user + times.system)


class PeakMemory:
    """Resident memory of a process, in ten parts of a stream; the second half beside the first."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._seen, self._at = process, [0.0], 0.0

    def record(self, _got: int) -> None:
        if time.monotonic() - self._at > 0.2:
            self._at = time.monotonic()
            self._seen.append(self._process.memory_info().rss / 2**20)

    def mib(self) -> list[int]:
        half = len(self._seen) // 2
        return [round(max(self._seen[: half + 1])), round(max(self._seen[half:]))]


def batcher() -> Iterator[Measurements]:
    """One image for each of 64 clients: together, and a batch for each; and one client alone."""
    from app.sampling.batcher import Batcher
    from app.sampling.fair_lock import FairLock
    from models.images import batched_sampling

    generator = load_sampler(import_model("images", *image_weights()))
    one, turns = np.zeros(1, np.int64), FairLock()
    together = Batcher(turns, 0.002, lambda: 0)

    def batched(seed: int) -> None:
        together.submit(generator, seed, one, one).result()

    def by_itself(seed: int) -> None:
        with turns:
            batched_sampling.generate_batch(generator, seed, one, one)

    rates: dict[Any, list[float]] = {batched: [], by_itself: []}
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(ROUNDS):
            for work, found in rates.items():
                list(pool.map(work, range(CLIENTS)))
                begun = time.perf_counter()
                list(pool.map(work, range(REQUESTS)))
                found.append(REQUESTS / (time.perf_counter() - begun))
    gains = [a / b for a, b in zip(rates[batched], rates[by_itself], strict=True)]
    alone, bare = (sorted(timed(w, n) for n in range(200)) for w in (batched, by_itself))
    yield {
        "case": "batcher, 64 clients",
        "items_per_s": round(statistics.median(rates[batched])),
        "a_batch_each_per_s": round(statistics.median(rates[by_itself])),
        "ratio": round(statistics.median(gains), 1),
    }
    yield {
        "case": "batcher, one alone",
        "ms": round(alone[100], 2),
        "one_batch_ms": round(bare[100], 2),
        "bound_ms": round(2 * bare[100] + 5, 2),
    }


def timed(work: Callable[[int], None], number: int) -> float:
    begun = time.perf_counter()
    work(number)
    return (time.perf_counter() - begun) * 1_000


class Connection:
    """HTTP/1.1 by hand: the client must cost less than what it measures."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, url: str) -> "Connection":
        host, port = url.removeprefix("http://").split(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def get(self, path: str) -> tuple[int, bytes]:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        self._writer.write(head.encode())
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(answer.split("content-length: ")[1].split("\r\n")[0])
        return int(answer[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


def sample(seed: int) -> str:
    return f"/v1/models/images/samples?seed={seed}"


def http() -> Iterator[Measurements]:
    """64 clients, one image each time: beside the same route with a picture that was made."""

    async def rate(url: str, asked: int) -> float:
        seeds = iter(range(asked))

        async def client() -> None:
            connection = await Connection.to(url)
            for seed in seeds:
                status, _ = await connection.get(sample(seed))
                if status != 200:
                    raise RuntimeError(f"answered {status}")
            connection.close()

        begun = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return asked / (time.perf_counter() - begun)

    import_model("images", *image_weights())
    with api() as served, api("bench.sampling:constant_app") as constant:
        ratios, cpu = [], []
        for round_ in range(ROUNDS + 1):
            rates, used = [], []
            for url, process in (served, constant):
                before = cpu_s(process)
                rates.append(asyncio.run(rate(url, REQUESTS)))
                used.append(cpu_s(process) - before)
            if round_:  # the first loads the model
                ratios.append(rates[0] / rates[1])
                cpu.append(used[1] / used[0])
        yield {
            "case": "http, 64 clients of one image",
            "served_per_s": round(rates[0]),
            "constant_per_s": round(rates[1]),
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "cpu_ratio": round(statistics.median(cpu), 3),
        }


def flood() -> Iterator[Measurements]:
    """A thousand requests at once, and a thousand at drawn moments; the process stays awake."""
    import_model("images", *image_weights())
    with api() as (url, _):
        expected = asyncio.run(expected_digests(url))
        for case, rate in (("1,000 at once", None), (f"{FLOOD_PER_S:.0f}/s", FLOOD_PER_S)):
            answers, livez = asyncio.run(send_flood(url, rate))
            right = [status != 200 or digest == expected[i] for i, (status, digest, _) in answers]
            took = sorted(ms for _, (status, _, ms) in answers if status == 200)
            yield {
                "case": f"crowd, {case}",
                "statuses": dict(Counter(status for _, (status, _, _) in answers)),
                "exact": all(right),
                "p50_ms": round(took[len(took) // 2]),
                "p99_ms": round(took[int(len(took) * 0.99)]),
                "livez_p50_ms": round(sorted(livez)[len(livez) // 2], 1),
                "livez_p99_ms": round(sorted(livez)[int(len(livez) * 0.99)], 1),
                "livez_asked": len(livez),
            }


async def expected_digests(url: str) -> list[str]:
    connection = await Connection.to(url)
    found = [digest((await connection.get(sample(seed)))[1]) for seed in range(FLOOD_REQUESTS)]
    connection.close()
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def send_flood(url: str, rate: float | None) -> tuple[list[Any], list[float]]:
    connections = [await Connection.to(url) for _ in range(FLOOD_REQUESTS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.sampling", "--livez", url, stdin=-1, stdout=-1
    )
    assert process.stdout is not None  # noqa: S101
    await process.stdout.readline()
    rng = random.Random(0)  # noqa: S311 - it spreads load
    started, at = time.perf_counter() + 0.5, 0.0
    moments = []
    for _ in range(FLOOD_REQUESTS):
        at += rng.expovariate(rate) if rate else 0.0
        moments.append(started + at)

    async def one(number: int) -> Any:
        await asyncio.sleep(max(0.0, moments[number] - time.perf_counter()))
        status, body = await connections[number].get(sample(number))
        return number, (status, digest(body), (time.perf_counter() - moments[number]) * 1_000)

    answers = await asyncio.gather(*(one(number) for number in range(FLOOD_REQUESTS)))
    out, _ = await process.communicate(b"end\n")
    for connection in connections:
        connection.close()
    return answers, json.loads(out)


def livez(url: str) -> None:
    """Another process, as the load's own event loop would delay it: asks until told to end."""
    ended, took = threading.Event(), []
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
    with httpx.Client() as client:
        client.get(f"{url}/livez")
        while not ended.is_set():
            begun = time.perf_counter()
            client.get(f"{url}/livez")
            took.append((time.perf_counter() - begun) * 1_000)
            time.sleep(LIVEZ_S)
    json.dump(took, sys.stdout)


def memory() -> Iterator[Measurements]:
    """200 requests for 20 models that nobody has asked for before, and for more than fit."""
    from app.sampling.model_cache import ModelCache
    from core.errors import Unavailable
    from core.storage import get_storage
    from models.load import load_sampler, warm_up

    models = [import_model(f"m{seed}", *image_weights(seed)) for seed in range(MODELS)]
    each = models[0].weights["bytes"]
    for room in (2 * MODELS, MODELS // 4):
        kept = ModelCache(get_storage(), room * each, load_sampler)
        most, refused = 0, 0

        def ask(number: int, kept: ModelMemory = kept) -> tuple[int, bool]:
            try:
                with kept.lease(models[number % MODELS]) as generator:
                    warm_up(generator)
            except Unavailable:
                return kept.bytes, True
            return kept.bytes, False

        with ThreadPoolExecutor(CLIENTS) as pool:
            for used, was_refused in pool.map(ask, range(COLD_REQUESTS)):
                most, refused = max(most, used), refused + was_refused
        yield {
            "case": f"{COLD_REQUESTS} requests for {MODELS} cold models, room for {room}",
            "loads": kept.loads,
            "refused": refused,
            "most_bytes": most,
            "limit_bytes": room * each,
        }


CASES = {case.__name__: case for case in (streams, batcher, http, flood, memory)}


def main(names: list[str]) -> None:
    if os.environ.get("MALLOC_TOP_PAD_") is None:  # glibc reads it when a process starts
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        os.execve(  # noqa: S606 - this program again
            sys.executable,
            [sys.executable, "-m", "bench.sampling", *names],
            os.environ | ALLOCATOR | threads,
        )
    import torch

    torch.set_num_threads(1)
    RESULTS.parent.mkdir(exist_ok=True)
    with folder():
        for name in names or CASES:
            for figures in CASES[name]():
                line = json.dumps({**figures, "commit": commit()})
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
                with RESULTS.open("a") as out:
                    out.write(line + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--livez"]:
        livez(sys.argv[2])
    else:
        main(sys.argv[1:])
