"""Demo: start a service, train a model on real data and save samples.

Requires `semblance-server` in the same environment. Without `--data` it uses scikit-learn's digits,
which ship with the service.
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

START_TIMEOUT_S = 60.0
console = Console()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m semblance.demo", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="Folder for the results. Default: demo."
    )
    parser.add_argument(
        "--data", nargs="+", help="A zip, a folder, idx files, an npz file or a table."
    )
    parser.add_argument(
        "--target", help="Tables only: the target column, whose values are the labels."
    )
    parser.add_argument(
        "--port", type=int, default=8765, help="Port of the service. Default: 8765."
    )
    parser.add_argument(
        "--cpu-seconds",
        type=float,
        default=60.0,
        help="Images only: training budget in CPU-seconds. Default: 60.",
    )
    parser.add_argument("--keep", action="store_true", help="Leave the service running.")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    try:
        with service(arguments.out / "data", arguments.port, keep=arguments.keep) as (url, key):
            with Client(url, key) as client:
                run(client, arguments.out, arguments.data, arguments.target, arguments.cpu_seconds)
            if arguments.keep:
                console.print(f"The service is still running at {url}. API key: {key}")
    except (APIError, JobFailedError, OSError, httpx.HTTPError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    return 0


def run(
    client: Client, out: Path, data: list[str] | None, target: str | None, cpu_seconds: float
) -> None:
    """Upload, train, sample and evaluate; print a line for each result."""
    meta = {"target": target} if target else {}
    dataset = client.upload(*data, **meta) if data else client.create_builtin_dataset("digits")
    console.print(describe_dataset(dataset))
    started = time.monotonic()
    # Training on a table stops early when nothing improves, so the preset's budget is enough.
    budget = {"budget": {"cpu_seconds": cpu_seconds}} if dataset["modality"] == "image" else {}
    job = client.train(dataset["id"], preset="fast", seed=1, **budget)
    model = watch(client, job["id"])["result"]["model"]
    console.print(f"Trained in {time.monotonic() - started:.0f} s.")
    (sample_images if dataset["modality"] == "image" else sample_table)(client, out, dataset, model)
    evaluate(client, out, model)


def describe_dataset(dataset: Json) -> str:
    labels = len(dataset["labels"] or [])
    if dataset["modality"] == "image":
        size = "{width} x {height}".format(**dataset["image"])
        return f"Dataset: {dataset['train_items']} images of {size}, {labels} labels."
    table = dataset["table"]
    target = f"{table['target']} ({labels} values)" if table["target"] else "none"
    return f"Dataset: {table['rows']} rows, {table['columns']} columns, target column: {target}."


def sample_images(client: Client, out: Path, dataset: Json, model: str) -> None:
    labels = [label["name"] for label in dataset["labels"]]
    grid: Json = {"labels": dict.fromkeys(labels[:20], 10)} if labels else {"count": 100}
    archive: Json = {"labels": dict.fromkeys(labels, 100)} if labels else {"count": 1000}
    picture = client.download_samples(model, out / "grid.png", seed=7, layout="grid", **grid)
    samples = client.download_samples(model, out / "samples.zip", seed=7, **archive)
    console.print(f"Grid with a row for each label: {picture.resolve()}")
    console.print(f"Samples with labels.csv: {samples.resolve()}")


def sample_table(client: Client, out: Path, dataset: Json, model: str) -> None:
    samples = client.download_samples(
        model, out / "samples.csv", seed=7, count=dataset["train_items"]
    )
    console.print(f"Same number of rows as the dataset: {samples.resolve()}")
    if dataset["labels"]:
        balanced = client.download_samples(
            model, out / "balanced.csv", seed=7, count=1000, balance_labels=True
        )
        console.print(f"Same number of rows for each label: {balanced.resolve()}")


def evaluate(client: Client, out: Path, model: str) -> None:
    with console.status("Comparing samples with real items that training did not use …"):
        report = client.report(model, wait=True)
    print_verdict(report)
    if report["verdict"] is None:
        return
    page = out / "report.html"
    response = client.request("GET", f"/v1/models/{model}/report", params={"format": "html"})
    page.write_bytes(response.content)
    console.print(f"Report with all scores and pictures: {page.resolve()}")


@contextlib.contextmanager
def service(folder: Path, port: int, *, keep: bool) -> Iterator[tuple[str, str]]:
    """Start a service, yield its URL and key, and stop it at the end.

    With `keep` the service is stopped only after an error.

    Raises:
        OSError: The service does not start.
    """
    command = Path(sys.executable).with_name("semblance-server")
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(  # noqa: S603 - the command is fixed
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
    log = os.fspath(folder / "server.log")
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise OSError(f"The service exited. See {log}.")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    raise OSError(f"The service was not ready after {START_TIMEOUT_S:.0f} s. See {log}.")


if __name__ == "__main__":
    sys.exit(main())
