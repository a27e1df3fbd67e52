"""Count the functions, files and nested calls of this project that a request or a job takes.

The program uploads a table and images, trains a model of each, samples it and evaluates it, in this
process. Everything is done twice, and the second time is counted, when all modules are imported.
The process that reads an upload is not counted.
"""

import argparse
import contextlib
import csv
import io
import os
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np
import torch
from PIL import Image
from starlette.testclient import TestClient

from bench.call_trace import Trace

KEY = "sem_bench"
STEPS = 4
IMAGE_CONFIG = {"coarse_channels": 8, "fine_channels": 8, "critic_width": 8, "feature_width": 8}
TABLE_CONFIG = {"embedding_dim": 16, "hidden_dim": 16, "critic_hidden": 16}


class Recorder:
    """Traces of named pieces of work, in all threads."""

    def __init__(self) -> None:
        self.traces: dict[str, Trace] = {}
        self._current: Trace | None = None
        threading.setprofile(self._record)
        sys.setprofile(self._record)

    def _record(self, frame: FrameType, event: str, argument: Any) -> None:
        if self._current is not None:
            self._current.record(frame, event, argument)

    @contextlib.contextmanager
    def record(self, name: str) -> Iterator[None]:
        self._current = self.traces[name] = Trace()
        try:
            yield
        finally:
            self._current = None


def make_csv() -> bytes:
    rng, out = np.random.default_rng(0), io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["age", "city", "member"])
    for _ in range(400):
        age, city = int(rng.integers(18, 80)), rng.choice(["Rome", "Paris", "Oslo"])
        writer.writerow([age, city, "yes" if age > 50 else "no"])
    return out.getvalue().encode()


def make_zip() -> bytes:
    rng, out = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for k in range(60):
            png = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(png, "PNG")
            archive.writestr(f"{'cat' if k % 2 else 'dog'}/{k}.png", png.getvalue())
    return out.getvalue()


def post(client: TestClient, url: str, **arguments: Any) -> Any:
    response = client.post(url, **arguments)
    if response.status_code >= 300:
        raise SystemExit(f"{url}: {response.status_code} {response.text}")
    return response


def work(
    client: TestClient, record: Callable[[str], contextlib.AbstractContextManager[None]]
) -> None:
    from worker.job_runner import run_next

    config: Any
    for kind, file, meta, config, format in (
        ("table", ("people.csv", make_csv()), '{"target": "member"}', TABLE_CONFIG, "csv"),
        ("images", ("pets.zip", make_zip()), "{}", IMAGE_CONFIG, "npz"),
    ):
        with record(f"upload of {kind}"):
            dataset = post(client, "/v1/datasets", files={"file": file}, data={"meta": meta})
        training = {
            "kind": "training",
            "dataset": dataset.json()["id"],
            "name": kind,
            "hyperparameters": config,
            "budget": {"steps": STEPS},
            "seed": 1,
        }
        with record(f"POST of a training job, {kind}"):
            post(client, "/v1/jobs", json=training)
        with record(f"run of the training job, {kind}"):
            run_next(["training"])
        url = f"/v1/models/{kind}/samples?format={format}"
        with record(f"POST of samples, {kind}"):
            post(client, url, json={"count": 10, "seed": 1})
    with record("POST of an evaluation job, table"):
        post(client, "/v1/jobs", json={"kind": "evaluation", "model": "table", "samples": 40})
    with record("run of the evaluation job, table"):
        run_next(["evaluation"])
    with record("GET of the report as a page, table"):
        client.get("/v1/models/table/report", headers={"Accept": "text/html"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.request_calls", description=__doc__)
    parser.add_argument(
        "--list",
        metavar="WORD",
        default="",
        help="also list the functions of flows whose name has WORD",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recorder = Recorder()
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as folder:
        os.environ |= {"SEMBLANCE_DATA_DIR": folder, "SEMBLANCE_AUTO_EVALUATE": "false"}
        from app.main import create_app
        from core import api_keys
        from core.database import write
        from core.settings import get_settings
        from core.supervisor import prepare_database

        prepare_database(get_settings())
        with write() as session:
            tenant = api_keys.DEFAULT_TENANT
            api_keys.add(session, tenant, KEY, name="bench", scopes=api_keys.SCOPES)
        headers = {"Authorization": f"Bearer {KEY}"}
        with TestClient(create_app(), base_url="http://localhost", headers=headers) as client:
            work(client, lambda _name: contextlib.nullcontext())
            work(client, recorder.record)
    print("| flow | functions | files | depth |\n|---|---|---|---|")
    for name, trace in recorder.traces.items():
        print(f"| {name} | {len(trace.functions)} | {len(trace.files)} | {trace.depth} |")
    for name, trace in recorder.traces.items():
        if arguments.list and arguments.list in name:
            print(f"\n{name}:", *sorted(trace.functions), sep="\n")
            print("\nDeepest call:", *trace.deepest, sep="\n")


if __name__ == "__main__":
    main()
