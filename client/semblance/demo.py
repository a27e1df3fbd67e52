"""Demo: start a service, train a model on real data and save samples.

Requires `semblance-server` in the same environment. Without `--data` it uses scikit-learn's digits,
which ship with the service.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from semblance._sync.client import Client
from semblance.command.output import print_line, print_note, red
from semblance.command.progress import watch
from semblance.command.verdicts import print_verdict
from semblance.errors import SemblanceError
from semblance.files import write_whole
from semblance.local_server import LocalServer


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
        folder = arguments.out / "data"
        with LocalServer(folder, port=arguments.port, detached=arguments.keep) as server:
            print_line(f"Service at {server.url}, with its data and log in {folder}.")
            with Client(server.url, server.key) as client:
                run(client, arguments.out, arguments.data, arguments.target, arguments.cpu_seconds)
            if arguments.keep:
                print_line(f"The service is still running at {server.url}. API key: {server.key}")
    except (SemblanceError, OSError) as error:
        print_note(red(str(error)))
        return 1
    return 0


def run(
    client: Client, out: Path, data: list[str] | None, target: str | None, cpu_seconds: float
) -> None:
    """Upload, train, sample and evaluate; print a line for each result."""
    meta: Any = {"target": target} if target else {}
    dataset = client.upload(*data, **meta) if data else client.create_builtin_dataset("digits")
    print_line(describe_dataset(dataset))
    started = time.monotonic()
    # Training on a table stops early when nothing improves, so the preset's budget is enough.
    budget: Any = {"budget": {"cpu_seconds": cpu_seconds}} if dataset["modality"] == "image" else {}
    job = client.train(dataset["id"], preset="fast", seed=1, **budget)
    model = watch(client, job["id"], goes_on=False)["result"]["model"]
    print_line(f"Trained in {time.monotonic() - started:.0f} s.")
    (sample_images if dataset["modality"] == "image" else sample_table)(client, out, dataset, model)
    evaluate(client, out, model)


def describe_dataset(dataset: Any) -> str:
    labels = len(dataset["labels"] or [])
    if dataset["modality"] == "image":
        size = "{width} x {height}".format(**dataset["image"])
        return f"Dataset: {dataset['train_items']} images of {size}, {labels} labels."
    table = dataset["table"]
    target = f"{table['target']} ({labels} values)" if table["target"] else "none"
    return f"Dataset: {table['rows']} rows, {table['columns']} columns, target column: {target}."


def sample_images(client: Client, out: Path, dataset: Any, model: str) -> None:
    labels = [label["name"] for label in dataset["labels"]]
    grid: Any = {"labels": dict.fromkeys(labels[:20], 10)} if labels else {"count": 100}
    archive: Any = {"labels": dict.fromkeys(labels, 100)} if labels else {"count": 1000}
    picture = client.download_samples(model, out / "grid.png", seed=7, layout="grid", **grid)
    samples = client.download_samples(model, out / "samples.zip", seed=7, **archive)
    print_line(f"Grid with a row for each label: {picture.resolve()}")
    print_line(f"Samples with labels.csv: {samples.resolve()}")


def sample_table(client: Client, out: Path, dataset: Any, model: str) -> None:
    samples = client.download_samples(
        model, out / "samples.csv", seed=7, count=dataset["train_items"]
    )
    print_line(f"Same number of rows as the dataset: {samples.resolve()}")
    if dataset["labels"]:
        balanced = client.download_samples(
            model, out / "balanced.csv", seed=7, count=1000, balance_labels=True
        )
        print_line(f"Same number of rows for each label: {balanced.resolve()}")


def evaluate(client: Client, out: Path, model: str) -> None:
    print_note("Comparing samples with real items that training did not use …")
    report = client.report(model, wait=True)
    print_verdict(report)
    if report["verdict"] is None:
        return
    page = out / "report.html"
    write_whole(page, client.read_report_file(model, format="html"))
    print_line(f"Report with all scores and pictures: {page.resolve()}")


if __name__ == "__main__":
    sys.exit(main())
