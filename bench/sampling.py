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
CLIENTS, ASKED = 64, 2_048
CROWD, CROWD_PER_S, LIVEZ_S = 1_000, 2_000.0, 0.02
MODELS, COLD = 20, 200
KEY = "sem_bench"
Figures = dict[str, Any]


# What there is to draw from.


def image_weights(seed: int = 0) -> tuple[Any, Figures]:
    """28 x 28 grey, ten labels, the networks of `fast`: untrained, which costs the same to draw."""
    from models.images.architectures import resolve
    from models.images.data import LabelledImages
    from models.images.guided.state import State
    from models.images.settings import ImageData

    settings = resolve(ImageData(28, 28, 1, 10, images=20), "fast", {})
    pixels = np.zeros((20, 28, 28), np.uint8)
    data = LabelledImages.split(pixels, np.arange(20, dtype=np.int32) % 10, held_out=0.5, seed=0)
    saved = State(settings, data, seed).pack()
    return saved, {
        "kind": "images",
        "labels": [{"name": str(n), "count": 1} for n in range(10)],
        "image": {"height": 28, "width": 28, "channels": 1},
    }


def row_weights() -> tuple[Any, Figures]:
    """Ten columns: categories, numbers, a date, a boolean; trained for a moment."""
    import pyarrow as pa

    from core.datasets.rows import Column
    from models.tables.data import LabelledRows
    from models.tables.schema import ColumnSchema
    from models.tables.settings import TableData, resolve
    from models.tables.training import train
    from worker.content import about_rows

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
    rows = LabelledRows.split(table, learned, label="label", held_out=0.1, seed=0)
    run = Kept(steps=200)
    train(rows, resolve(TableData(n, len(schema)), "fast", {}), run, seed=0)
    return run.saved, {"kind": "rows", **about_rows(rows, min_count=0)}


class Kept:
    """A run of so many steps that keeps what it saved last."""

    def __init__(self, steps: int) -> None:
        self.steps, self.saved = steps, None

    def progress(self, step: int) -> float:
        return step / self.steps

    def wants_checkpoint(self, _step: int) -> bool:
        return False

    wants_preview = wants_checkpoint

    def save(self, _step: int, saved: Any) -> None:
        self.saved = saved

    def report(self, *_: Any) -> None: ...

    warn = preview = report


def put(name: str, saved: Any, about: Figures) -> Any:
    from core import keys, registry
    from core.database import write
    from core.ids import new_id
    from core.storage import get_storage, key_of

    tenant, model_id = keys.DEFAULT_TENANT, new_id("mdl")
    key = key_of(tenant, "models", f"{model_id}.safetensors")
    stored = get_storage().put(key, saved.model)
    manifest = {**about, "parameters": saved.parameters, "config": {}}
    with write() as session:
        return registry.imported(
            session, tenant, name, model_id=model_id, step=0, weights=stored, manifest=manifest
        )


def generator_of(model: Any) -> Any:
    from core.storage import Stored, get_storage
    from models.generator import load

    with get_storage().open(Stored.from_dict(model.weights)) as path:
        return load(path)


# The service.


@contextmanager
def folder() -> Iterator[None]:
    """An empty database and store for this process and those that it starts."""
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as path:
        os.environ["SEMBLANCE_DATA_DIR"] = path
        from core import keys
        from core.database import write
        from core.settings import get_settings
        from core.supervisor import prepare

        prepare(get_settings())
        with write() as session:
            keys.add(session, keys.DEFAULT_TENANT, KEY, name="bench", scopes=keys.SCOPES)
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
    from app.sampling import image_answer
    from core.datasets.images.writing import png

    picture = png(np.zeros((28, 28), np.uint8))
    answer: Callable[..., Response] = lambda *_, **__: Response(picture, media_type="image/png")  # noqa: E731
    image_answer.answer = answer
    return create_app()


def drain(url: str, name: str, format: str, count: int, watch: Callable[[int], None]) -> float:
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


def streams() -> Iterator[Figures]:
    """Rows and images by the hundred thousand; resident memory at a tenth and at the end."""
    from core.datasets.images.writing import png
    from models.images import drawing as image_drawing
    from models.tables import drawing as row_drawing
    from models.tables.order import of_all

    rows, pictures = put("rows", *row_weights()), put("images", *image_weights())
    row_generator, image_generator = generator_of(rows), generator_of(pictures)

    def bare_rows() -> None:
        for numbers, wheres in row_drawing.chunks(of_all(ROWS, [{}], seed=1, offset=0)):
            row_drawing.drawn(row_generator, 1, numbers, wheres)

    def bare_images(encode: Callable[[NDArray[np.uint8]], Any]) -> None:
        for first in range(0, IMAGES, image_generator.batch):
            numbers = np.arange(first, min(first + image_generator.batch, IMAGES))
            for image in image_drawing.drawn(image_generator, 1, numbers % 10, numbers):
                encode(image)

    cases: list[tuple[str, str, int, Callable[[], None]]] = [
        ("rows", "arrow", ROWS, bare_rows),
        ("rows", "csv", ROWS, bare_rows),
        ("images", "npz", IMAGES, lambda: bare_images(lambda image: image)),
        ("images", "zip", IMAGES, lambda: bare_images(png)),
    ]
    with api() as (url, process):
        for name, format, count, bare in cases:
            drain(url, name, format, count // 50, lambda _got: None)
            ratios, cpu, memory = [], [], Peaks(process)
            for _ in range(ROUNDS):
                begun, used = time.perf_counter(), time.process_time()
                bare()
                alone, used = time.perf_counter() - begun, time.process_time() - used
                before = cpu_s(process)
                served = drain(url, name, format, count, memory.look)
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


class Peaks:
    """Resident memory of a process, in ten parts of a stream; the second half beside the first."""

    def __init__(self, process: psutil.Process) -> None:
        self._process, self._seen, self._at = process, [0.0], 0.0

    def look(self, _got: int) -> None:
        if time.monotonic() - self._at > 0.2:
            self._at = time.monotonic()
            self._seen.append(self._process.memory_info().rss / 2**20)

    def mib(self) -> list[int]:
        half = len(self._seen) // 2
        return [round(max(self._seen[: half + 1])), round(max(self._seen[half:]))]


def batcher() -> Iterator[Figures]:
    """One image for each of 64 clients: together, and a batch for each; and one client alone."""
    from app.sampling.batcher import Batcher
    from app.sampling.turns import Turns
    from models.images import drawing

    generator = generator_of(put("images", *image_weights()))
    one, turns = np.zeros(1, np.int64), Turns()
    together = Batcher(turns, 0.002, lambda: 0)

    def batched(seed: int) -> None:
        together.submit(generator, seed, one, one).result()

    def by_itself(seed: int) -> None:
        with turns:
            drawing.drawn(generator, seed, one, one)

    rates: dict[Any, list[float]] = {batched: [], by_itself: []}
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(ROUNDS):
            for work, found in rates.items():
                list(pool.map(work, range(CLIENTS)))
                begun = time.perf_counter()
                list(pool.map(work, range(ASKED)))
                found.append(ASKED / (time.perf_counter() - begun))
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


def http() -> Iterator[Figures]:
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

    put("images", *image_weights())
    with api() as served, api("bench.sampling:constant_app") as constant:
        ratios, cpu = [], []
        for round_ in range(ROUNDS + 1):
            rates, used = [], []
            for url, process in (served, constant):
                before = cpu_s(process)
                rates.append(asyncio.run(rate(url, ASKED)))
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


def crowd() -> Iterator[Figures]:
    """A thousand requests at once, and a thousand at drawn moments; the process stays awake."""
    put("images", *image_weights())
    with api() as (url, _):
        expected = asyncio.run(one_by_one(url))
        for case, rate in (("1,000 at once", None), (f"{CROWD_PER_S:.0f}/s", CROWD_PER_S)):
            answers, livez = asyncio.run(rush(url, rate))
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


async def one_by_one(url: str) -> list[str]:
    connection = await Connection.to(url)
    found = [digest((await connection.get(sample(seed)))[1]) for seed in range(CROWD)]
    connection.close()
    return found


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def rush(url: str, rate: float | None) -> tuple[list[Any], list[float]]:
    connections = [await Connection.to(url) for _ in range(CROWD)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.sampling", "--livez", url, stdin=-1, stdout=-1
    )
    assert process.stdout is not None  # noqa: S101
    await process.stdout.readline()
    rng = random.Random(0)  # noqa: S311 - it spreads load
    started, at = time.perf_counter() + 0.5, 0.0
    moments = []
    for _ in range(CROWD):
        at += rng.expovariate(rate) if rate else 0.0
        moments.append(started + at)

    async def one(number: int) -> Any:
        await asyncio.sleep(max(0.0, moments[number] - time.perf_counter()))
        status, body = await connections[number].get(sample(number))
        return number, (status, digest(body), (time.perf_counter() - moments[number]) * 1_000)

    answers = await asyncio.gather(*(one(number) for number in range(CROWD)))
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


def memory() -> Iterator[Figures]:
    """200 requests for 20 models that nobody has asked for before, and for more than fit."""
    from app.sampling.memory import ModelMemory
    from core.errors import Unavailable
    from core.storage import get_storage
    from models.generator import draw_once, load

    models = [put(f"m{seed}", *image_weights(seed)) for seed in range(MODELS)]
    each = models[0].weights["bytes"]
    for room in (2 * MODELS, MODELS // 4):
        kept = ModelMemory(get_storage(), room * each, load)
        most, refused = 0, 0

        def ask(number: int, kept: ModelMemory = kept) -> tuple[int, bool]:
            try:
                with kept.using(models[number % MODELS]) as generator:
                    draw_once(generator)
            except Unavailable:
                return kept.bytes, True
            return kept.bytes, False

        with ThreadPoolExecutor(CLIENTS) as pool:
            for used, was_refused in pool.map(ask, range(COLD)):
                most, refused = max(most, used), refused + was_refused
        yield {
            "case": f"{COLD} requests for {MODELS} cold models, room for {room}",
            "loads": kept.loads,
            "refused": refused,
            "most_bytes": most,
            "limit_bytes": room * each,
        }


CASES = {case.__name__: case for case in (streams, batcher, http, crowd, memory)}


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
