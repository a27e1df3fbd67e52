"""Command line of the Semblance service.

The address and the key of the service come from SEMBLANCE_URL and SEMBLANCE_KEY, or from options.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from semblance import bench as benchmark
from semblance.client import Client
from semblance.errors import APIError, ChecksumError, JobFailedError, UnknownArchitectureError

app = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
console = Console()

LOCAL = "http://127.0.0.1:8000"
Url = Annotated[str, typer.Option(envvar="SEMBLANCE_URL", help="Address of the service.")]
Key = Annotated[str, typer.Option(envvar="SEMBLANCE_KEY", help="API key.")]
Files = Annotated[
    list[Path],
    typer.Argument(exists=True, help="A zip, a folder, idx files, an npz file or a table."),
]
DatasetId = Annotated[str, typer.Argument(help="Id of the dataset (ds_…).")]
ModelRef = Annotated[
    str, typer.Argument(help="Model: NAME (its newest version), NAME:VERSION, NAME@ALIAS or mdl_….")
]
Target = Annotated[
    str | None, typer.Option(help="Tables only: the target column, whose values are the labels.")
]
Name = Annotated[str | None, typer.Option(help="Name of the result.")]
Seed = Annotated[int | None, typer.Option(help="Random seed. Default: a random one.")]
LabelCounts = Annotated[
    list[str], typer.Option(help="LABEL=COUNT: samples of one label. Repeat for more labels.")
]
Count = Annotated[int | None, typer.Option(help="Total number of samples, over all labels.")]


@app.command()
def upload(
    paths: Files,
    key: Key,
    name: Name = None,
    target: Target = None,
    url: Url = LOCAL,
) -> None:
    """Create a dataset from files and print its id."""
    options = {"name": name, "target": target}
    with Client(url, key) as client:
        print_line(client.upload(*paths, **{k: v for k, v in options.items() if v})["id"])


@app.command()
def train(
    dataset: DatasetId,
    key: Key,
    preset: Annotated[str, typer.Option(help="fast, balanced or quality.")] = "balanced",
    name: Name = None,
    seed: Seed = None,
    cpu_seconds: Annotated[
        float | None, typer.Option(help="Training budget in CPU-seconds.")
    ] = None,
    gpu_seconds: Annotated[
        float | None, typer.Option(help="Training budget in GPU-seconds.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training budget in steps.")] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu or gpu. Default: auto, the first free worker.")
    ] = None,
    quality_gate: Annotated[
        list[str],
        typer.Option(
            help="Criterion that the model must meet: a verdict (good) or a bound on a score "
            "(tstr_score>=0.8, pairwise_tvd<=0.05, tstr_score>=90% of the real reference). "
            "Repeat for more criteria."
        ),
    ] = [],  # noqa: B006 - Typer does not modify defaults
    url: Url = LOCAL,
) -> None:
    """Train a model, show the progress and print the model version.

    With `--quality-gate`, wait for the evaluation and exit with status 1 if the gate fails.
    """
    spec: dict[str, Any] = {"preset": preset, "name": name, "seed": seed, "device": device}
    spec["quality_gate"] = parse_gate(quality_gate)
    budget = {"cpu_seconds": cpu_seconds, "gpu_seconds": gpu_seconds, "steps": steps}
    spec["budget"] = {k: v for k, v in budget.items() if v is not None} or None
    with Client(url, key) as client:
        job = client.train(dataset, **{k: v for k, v in spec.items() if v is not None})
        result = watch(client, job["id"])["result"]
        print_line(result["model_version"])
        if quality_gate:
            report = client.report(result["model"], wait=True)
            print_verdict(report)
            if report["verdict"] is None or report["failed_criteria"]:
                raise typer.Exit(1)


@app.command()
def evaluate(
    model: ModelRef,
    key: Key,
    samples: Annotated[
        int | None, typer.Option(help="Number of samples. Default: chosen by the service.")
    ] = None,
    url: Url = LOCAL,
) -> None:
    """Compare samples of a model with real items that training did not use; print the verdict."""
    options = {} if samples is None else {"samples": samples}
    with Client(url, key) as client:
        watch(client, client.evaluate(model, **options)["id"])
        print_verdict(client.report(model))


@app.command()
def report(
    model: ModelRef,
    key: Key,
    out: Annotated[
        Path | None, typer.Option(help="File for the complete report, .html or .csv.")
    ] = None,
    url: Url = LOCAL,
) -> None:
    """Print the verdict on a model, after waiting for a running evaluation."""
    with Client(url, key) as client:
        print_verdict(client.report(model, wait=True))
        if out is not None:
            query = {"format": out.suffix.removeprefix(".") or "html"}
            response = client.request("GET", f"/v1/models/{model}/report", params=query)
            out.write_bytes(response.content)


@app.command()
def bench(
    files: Files,
    key: Key,
    cpu_seconds: Annotated[
        float, typer.Option(min=1, help="Training budget of each network in CPU-seconds.")
    ] = 30,
    target: Target = None,
    architecture: Annotated[
        list[str],
        typer.Option(help="Architecture, such as auto or cgan. Repeat for more. Default: all."),
    ] = [],  # noqa: B006 - Typer does not modify defaults
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
    url: Url = LOCAL,
) -> None:
    """Train all network architectures on your data and compare their scores in a table.

    Each network gets the same CPU time. Ctrl-C cancels the running job and shows the results so
    far.
    """
    results: list[benchmark.NetworkResult] = []
    with Client(url, key) as client:
        dataset = client.upload(*files, **({"target": target} if target else {}))
        evaluations = benchmark.run(
            client,
            dataset,
            cpu_seconds=cpu_seconds,
            seed=seed,
            networks=architecture or None,
            watch=lambda job: watch(client, job),
        )
        try:
            for result in evaluations:
                results.append(result)
                console.print(result.status_text())
        except KeyboardInterrupt:
            console.print("Interrupted. The running job is cancelled.")
            raise typer.Exit(130) from None
        finally:
            if results:
                benchmark.print_table(results, console)


def print_line(text: str) -> None:
    """Print `text` unchanged: not as markup, which names may resemble, and without line breaks."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_verdict(report: dict[str, Any]) -> None:
    verdict = report["verdict"]
    if verdict is None:
        print_line(f"{report['state']}: {_missing_verdict_reason(report)}")
        return
    print_line(f"verdict: {verdict['verdict']}; {'; '.join(verdict['reasons'])}")
    for criterion in report["failed_criteria"]:
        console.print(f"[red]quality gate failed: {escape(criterion)}[/red]")


def _missing_verdict_reason(report: dict[str, Any]) -> str:
    reason: str | None = (report["error"] or {}).get("detail") or report.get("not_evaluable_reason")
    return reason or f"run `semblance evaluate {report['reference']}` to evaluate the model"


def parse_gate(criteria: list[str]) -> dict[str, Any] | None:
    """Return the `quality_gate` of a training job, or None without criteria.

    A criterion is a verdict (`good`) or a bound on a score: `tstr_score>=0.8`,
    `pairwise_tvd<=0.05`, or `tstr_score>=90%` of the real reference.

    Raises:
        typer.BadParameter: A criterion has none of these forms.
    """
    verdicts: list[str] = []
    scores: dict[str, dict[str, float]] = {}
    for criterion in criteria:
        bound = re.fullmatch(r"(\w+)(>=|<=)(\d+(?:\.\d+)?)(%?)", criterion)
        if bound is None and criterion.isidentifier():
            verdicts.append(criterion)
            continue
        if bound is None or (bound[2], bound[4]) == ("<=", "%"):
            raise typer.BadParameter(
                f"{criterion!r} is not a verdict, SCORE>=NUMBER, SCORE<=NUMBER or SCORE>=PERCENT%."
            )
        side = {">=": "min_fraction_of_reference" if bound[4] else "min", "<=": "max"}[bound[2]]
        scores.setdefault(bound[1], {})[side] = float(bound[3]) / (100 if bound[4] else 1)
    gate = {"allowed_verdicts": verdicts, "scores": scores}
    return {name: value for name, value in gate.items() if value} or None


@app.command()
def sample(
    model: ModelRef,
    out: Annotated[
        Path,
        typer.Argument(
            help="Images: .zip, .npz or .png. Tables: .csv, .ndjson or .parquet. Both: .json."
        ),
    ],
    key: Key,
    label: LabelCounts = [],  # noqa: B006 - Typer does not modify defaults
    count: Count = None,
    seed: Seed = None,
    ignore_quality_gate: Annotated[
        bool, typer.Option(help="Sample even if the model failed its quality gate.")
    ] = False,
    url: Url = LOCAL,
) -> None:
    """Generate samples and stream them to a file; its extension sets the format."""
    labels = _counts(label)
    options: dict[str, Any] = {"seed": seed} if seed is not None else {}
    if ignore_quality_gate:
        options["ignore_quality_gate"] = True
    if out.suffix == ".png":
        options["layout"] = "grid"
    with Client(url, key) as client:
        print_line(str(client.download_samples(model, out, labels=labels, count=count, **options)))


@app.command()
def generate(
    model: ModelRef,
    folder: Annotated[Path, typer.Argument(help="Folder for the files.")],
    key: Key,
    label: LabelCounts = [],  # noqa: B006 - Typer does not modify defaults
    count: Count = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="Images: tar (default), zip or npz. Tables: parquet (default), csv, ndjson or "
            "arrow."
        ),
    ] = None,
    seed: Seed = None,
    url: Url = LOCAL,
) -> None:
    """Generate any number of samples in a job, then download and verify its files."""
    options = {"format": format, "seed": seed}
    spec = {name: value for name, value in options.items() if value is not None}
    with Client(url, key) as client:
        job = client.generate(model, labels=_counts(label), count=count, **spec)
        watch(client, job["id"])
        for path in client.download_artifacts(job["id"], folder):
            print_line(str(path))


def _counts(label: list[str]) -> dict[str, int] | None:
    """Return the requested number of samples for each label, or None without labels.

    Raises:
        typer.BadParameter: An item is not LABEL=COUNT.
    """
    counts = {}
    for item in label:
        name, _, count = item.rpartition("=")
        if not name or not count.isdecimal():
            raise typer.BadParameter(f"{item!r} is not LABEL=COUNT.")
        counts[name] = int(count)
    return counts or None


@app.command()
def augment(
    dataset: DatasetId,
    key: Key,
    model: Annotated[
        str | None, typer.Option(help="Model whose samples are added. Default: transforms only.")
    ] = None,
    strategy: Annotated[str, typer.Option(help="balance, fill_to or multiply.")] = "balance",
    target: Annotated[
        float | None,
        typer.Option(help="With fill_to: number of items per label. With multiply: the factor."),
    ] = None,
    evaluate_lift: Annotated[
        bool, typer.Option(help="Measure how much a classifier gains from the new dataset.")
    ] = False,
    plan: Annotated[bool, typer.Option(help="Show the plan and create nothing.")] = False,
    name: Name = None,
    seed: Seed = None,
    url: Url = LOCAL,
) -> None:
    """Create a larger dataset from an existing one and print its id."""
    options = {"model": model, "target": target, "name": name, "seed": seed}
    spec = {"strategy": strategy, "evaluate_lift": evaluate_lift}
    spec |= {k: v for k, v in options.items() if v is not None}
    with Client(url, key) as client:
        if plan:
            console.print(_plan(client.augment(dataset, validate_only=True, **spec)))
            return
        job = watch(client, client.augment(dataset, **spec)["id"])
        print_line(job["result"]["dataset"])
        if evaluate_lift:
            console.print(_lift(job["result"]))


def _plan(plan: dict[str, Any]) -> Table:
    table = Table("label", "real", "transforms", "model", "skipped", "why")
    for row in plan["labels"]:
        counts = [str(row[name]) for name in ("real", "transforms", "model", "skipped")]
        table.add_row(escape(row["name"]), *counts, escape(_messages(row["skip_reasons"], " ")))
    table.caption = escape(_messages(plan["warnings"], "\n"))
    return table


def _messages(entries: list[dict[str, str]], separator: str) -> str:
    return separator.join(entry["message"] for entry in entries)


def _lift(result: dict[str, Any]) -> Table | str:
    """Return a table of the lift, or the reason if there was no time to measure it."""
    lift, recommendation = result["lift"], result["recommendation"]
    if lift is None:
        return f"not measured: {recommendation['reason']}"
    table = Table("training set", "balanced accuracy", "95 % interval")
    for name, (low, high) in lift["ci95"].items():
        table.add_row(name, f"{lift[name]:.3f}", f"{low:.3f} to {high:.3f}")
    table.caption = f"recommendation: {recommendation['use'] or 'none'}; {recommendation['reason']}"
    return table


@app.command()
def download(
    dataset: DatasetId,
    out: Annotated[
        Path,
        typer.Argument(
            help="Images: .zip, .npz or .tar. Tables: .csv, .ndjson, .parquet or .arrow."
        ),
    ],
    key: Key,
    split: Annotated[
        str, typer.Option(help="train, or test for the published test split.")
    ] = "train",
    url: Url = LOCAL,
) -> None:
    """Download a dataset to a file; its extension sets the format."""
    with Client(url, key) as client:
        print_line(str(client.download_dataset(dataset, out, split=split)))


def watch(client: Client, job_id: str) -> dict[str, Any]:
    """Show a progress bar until the job has ended, and return the job.

    Raises:
        JobFailedError: The job failed or was cancelled.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=100, note="")

        def show(job: dict[str, Any]) -> None:
            progress = job["progress"]
            note = f"step {progress['step']}" if progress["step"] else ""
            bar.update(
                task,
                description=f"{job['name']}: {job['phase'] or job['state']}",
                completed=100 if job["state"] == "succeeded" else progress["percent"] or 0,
                note=note,
            )

        return client.wait(job_id, on_change=show)


def main() -> None:
    try:
        app()
    except (APIError, JobFailedError, ChecksumError, UnknownArchitectureError) as error:
        console.print(f"[red]{escape(str(error))}[/red]")
        raise SystemExit(1) from error
    except httpx.TransportError as error:
        if isinstance(error, httpx.ConnectError):
            message = (
                "Cannot connect to the service. Check that it is running and that SEMBLANCE_URL "
                "is correct."
            )
        else:
            message = f"The connection to the service was lost: {error}"
        console.print(f"[red]{escape(message)}[/red]")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
