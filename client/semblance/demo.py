"""`python -m semblance.demo`: a service of its own, a model trained on real data, samples on disk.

Needs `semblance-server` beside this interpreter. Without data of the user's it takes scikit-learn's
digits, which ship with the service.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from rich.console import Console

from semblance.client import Client, Json
from semblance.command import print_verdict, watch
from semblance.errors import APIError, JobFailedError

START_S = 60.0
console = Console()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    parser.add_argument("--data", nargs="+", help="a zip, folder, idx files, an npz, or a table")
    parser.add_argument("--target", help="of a table: the column to ask for samples by")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--cpu-seconds", type=float, default=60.0, help="of training")
    parser.add_argument("--keep", action="store_true", help="leave the service running")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    try:
        with service(chosen.out / "data", chosen.port, keep=chosen.keep) as (url, key):
            with Client(url, key) as client:
                run(client, chosen.out, chosen.data, chosen.target, chosen.cpu_seconds)
            if chosen.keep:
                console.print(f"the service stays at {url}; its key: {key}")
    except (APIError, JobFailedError, OSError, httpx.HTTPError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    return 0


def run(
    client: Client, out: Path, data: list[str] | None, target: str | None, cpu_seconds: float
) -> None:
    """Upload, train, sample, judge; says what it made and where."""
    meta = {"target": target} if target else {}
    dataset = client.upload(*data, **meta) if data else client.create_builtin_dataset("digits")
    console.print(describe_dataset(dataset))
    started = time.monotonic()
    # Tables say by themselves when nothing is left to learn: their preset is budget enough.
    budget = {"budget": {"cpu_seconds": cpu_seconds}} if dataset["modality"] == "image" else {}
    job = client.train(dataset["id"], preset="fast", seed=1, **budget)
    model = watch(client, job["id"])["result"]["model"]
    console.print(f"trained in {time.monotonic() - started:.0f} s")
    (sample_images if dataset["modality"] == "image" else sample_table)(client, out, dataset, model)
    evaluate(client, out, model)


def describe_dataset(dataset: Json) -> str:
    labels = len(dataset["labels"] or [])
    if dataset["modality"] == "image":
        size = "{width} x {height}".format(**dataset["image"])
        return f"dataset: {dataset['train_items']} images of {size}, {labels} labels"
    table = dataset["table"]
    target = f"{table['target']} with {labels} values" if table["target"] else "none"
    return f"dataset: {table['rows']} rows of {table['columns']} columns, label: {target}"


def sample_images(client: Client, out: Path, dataset: Json, model: str) -> None:
    labels = [label["name"] for label in dataset["labels"]]
    grid: Json = {"labels": dict.fromkeys(labels[:20], 10)} if labels else {"count": 100}
    archive: Json = {"labels": dict.fromkeys(labels, 100)} if labels else {"count": 1000}
    picture = client.download_samples(model, out / "grid.png", seed=7, layout="grid", **grid)
    samples = client.download_samples(model, out / "samples.zip", seed=7, **archive)
    console.print(f"a row for each label: {picture.resolve()}")
    console.print(f"samples with labels.csv: {samples.resolve()}")


def sample_table(client: Client, out: Path, dataset: Json, model: str) -> None:
    samples = client.download_samples(
        model, out / "samples.csv", seed=7, count=dataset["train_items"]
    )
    console.print(f"as many rows as there were: {samples.resolve()}")
    if dataset["labels"]:
        even = client.download_samples(
            model, out / "balanced.csv", seed=7, count=1000, balance_labels=True
        )
        console.print(f"the same number of each label: {even.resolve()}")


def evaluate(client: Client, out: Path, model: str) -> None:
    with console.status("the samples are compared with real items that training has not seen"):
        report = client.report(model, wait=True)
    print_verdict(report)
    if report["verdict"] is None:
        return
    page = out / "report.html"
    answer = client.request("GET", f"/v1/models/{model}/report", params={"format": "html"})
    page.write_bytes(answer.content)
    console.print(f"figures and pictures: {page.resolve()}")


@contextlib.contextmanager
def service(folder: Path, port: int, *, keep: bool) -> Iterator[tuple[str, str]]:
    """A running service's address and key; stopped at the end unless it is to stay."""
    command = Path(sys.executable).with_name("semblance-server")
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(  # noqa: S603 - our own command
        [str(command), "up", "--data", str(folder), "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if keep else None,
        stderr=subprocess.DEVNULL if keep else None,
        start_new_session=keep,
    )
    try:
        wait_until_ready(process, url, folder)
        yield url, (folder / "admin.key").read_text().strip()
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def wait_until_ready(process: "subprocess.Popen[bytes]", url: str, folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise OSError(f"the service ended; see {os.fspath(folder / 'server.log')}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    raise OSError(f"the service does not answer; see {os.fspath(folder / 'server.log')}")


if __name__ == "__main__":
    sys.exit(main())
