"""`semblance`: the service from a shell. The address and the key come from SEMBLANCE_URL and
SEMBLANCE_KEY, or from the options."""

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

Url = Annotated[str, typer.Option(envvar="SEMBLANCE_URL")]
Files = Annotated[list[Path], typer.Argument(exists=True)]
Key = Annotated[str, typer.Option(envvar="SEMBLANCE_KEY")]
LOCAL = "http://127.0.0.1:8000"


@app.command()
def upload(
    paths: Files,
    key: Key,
    name: str | None = None,
    target: Annotated[str | None, typer.Option(help="of a table: the column to ask by")] = None,
    url: Url = LOCAL,
) -> None:
    """Make a dataset of a zip, a folder, idx files, an npz or a table; prints its id."""
    given = {"name": name, "target": target}
    with Client(url, key) as client:
        print_line(client.upload(*paths, **{k: v for k, v in given.items() if v})["id"])


@app.command()
def train(
    dataset: str,
    key: Key,
    preset: str = "balanced",
    name: str | None = None,
    seed: int | None = None,
    cpu_seconds: float | None = None,
    steps: int | None = None,
    quality_gate: Annotated[
        list[str],
        typer.Option(
            help="what must be found: good, tstr_score>=0.8, pairwise_tvd<=0.05, tstr_score>=90%"
        ),
    ] = [],  # noqa: B006 - typer's way
    url: Url = LOCAL,
) -> None:
    """Train a model on a dataset and watch; prints its reference. With `--quality-gate` it waits for the
    verdict, and ends with 1 if the model is not what was asked for."""
    spec: dict[str, Any] = {"preset": preset, "name": name, "seed": seed}
    spec["quality_gate"] = parse_gate(quality_gate)
    budget = {"cpu_seconds": cpu_seconds, "steps": steps}
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
def report(
    model: str,
    key: Key,
    out: Annotated[Path | None, typer.Option(help="a file for the page, .html or .csv")] = None,
    url: Url = LOCAL,
) -> None:
    """Say how good a model is, once it has been measured."""
    with Client(url, key) as client:
        print_verdict(client.report(model, wait=True))
        if out is not None:
            query = {"format": out.suffix.removeprefix(".") or "html"}
            answer = client.request("GET", f"/v1/models/{model}/report", params=query)
            out.write_bytes(answer.content)


@app.command()
def bench(
    files: Files,
    key: Key,
    seconds: Annotated[float, typer.Option(min=1, help="CPU-seconds that each network has")] = 30,
    target: Annotated[str | None, typer.Option(help="of a table: the column to ask by")] = None,
    network: Annotated[list[str], typer.Option(help="only these, such as auto, cgan")] = [],  # noqa: B006 - typer's way
    seed: int = 1,
    url: Url = LOCAL,
) -> None:
    """Train every network that there is on a file for the same time, and judge all in one table.
    Interrupted, it shows those that are done, and leaves no job behind."""
    judged: list[benchmark.NetworkResult] = []
    with Client(url, key) as client:
        dataset = client.upload(*files, **({"target": target} if target else {}))
        networks = benchmark.run(
            client,
            dataset,
            cpu_seconds=seconds,
            seed=seed,
            networks=network or None,
            watch=lambda job: watch(client, job),
        )
        try:
            for one in networks:
                judged.append(one)
                console.print(one.status_text())
        except KeyboardInterrupt:
            console.print("interrupted; the job that was running is cancelled")
            raise typer.Exit(130) from None
        finally:
            if judged:
                benchmark.print_table(judged, console)


def print_line(text: str) -> None:
    """As it is: a name may look like markup, and a shell takes a line for a line."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_verdict(report: dict[str, Any]) -> None:
    verdict = report["verdict"]
    if verdict is None:
        why = (report["error"] or {}).get("detail") or report.get("not_evaluable_reason")
        print_line(f"{report['state']}{f': {why}' if why else ''}")
        return
    print_line(f"verdict: {verdict['verdict']}; {'; '.join(verdict['reasons'])}")
    for unmet in report["failed_criteria"]:
        console.print(f"[red]not accepted: {escape(unmet)}[/red]")


def parse_gate(criteria: list[str]) -> dict[str, Any] | None:
    """`quality_gate` of a training job: `good`, `tstr_score>=0.8`, `pairwise_tvd<=0.05`, or `tstr_score>=90%`, of what
    real items reach. Raises BadParameter."""
    findings: list[str] = []
    scores: dict[str, dict[str, float]] = {}
    for word in criteria:
        bound = re.fullmatch(r"(\w+)(>=|<=)(\d+(?:\.\d+)?)(%?)", word)
        if bound is None and word.isidentifier():
            findings.append(word)
            continue
        if bound is None or (bound[2], bound[4]) == ("<=", "%"):
            raise typer.BadParameter(
                f"{word}: give a verdict, score>=number, score<=number, score>=n%"
            )
        side = {">=": "min_fraction_of_reference" if bound[4] else "min", "<=": "max"}[bound[2]]
        scores.setdefault(bound[1], {})[side] = float(bound[3]) / (100 if bound[4] else 1)
    asked = {"allowed_verdicts": findings, "scores": scores}
    return {name: value for name, value in asked.items() if value} or None


@app.command()
def sample(
    model: str,
    out: Path,
    key: Key,
    label: Annotated[list[str], typer.Option(help="LABEL=COUNT, as often as needed")] = [],  # noqa: B006 - typer's way
    count: int | None = None,
    seed: int | None = None,
    ignore_quality_gate: Annotated[
        bool, typer.Option(help="also of a model that is not what its training asked for")
    ] = False,
    url: Url = LOCAL,
) -> None:
    """Draw samples into a file: .zip, .npz, .png; of rows .csv, .ndjson, .parquet; or .json."""
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
    model: str,
    folder: Path,
    key: Key,
    label: Annotated[list[str], typer.Option(help="LABEL=COUNT, as often as needed")] = [],  # noqa: B006 - typer's way
    count: int | None = None,
    format: Annotated[str | None, typer.Option(help="tar, zip, npz; parquet, csv …")] = None,
    seed: int | None = None,
    url: Url = LOCAL,
) -> None:
    """Make any number of samples by a job of many workers, and fetch its files, verified."""
    given = {"format": format, "seed": seed}
    options = {name: value for name, value in given.items() if value is not None}
    with Client(url, key) as client:
        job = client.generate(model, labels=_counts(label), count=count, **options)
        watch(client, job["id"])
        for path in client.download_artifacts(job["id"], folder):
            print_line(str(path))


def _counts(label: list[str]) -> dict[str, int] | None:
    """Raises BadParameter."""
    found = {}
    for item in label:
        name, _, count = item.rpartition("=")
        if not name or not count.isdecimal():
            raise typer.BadParameter(f"{item}: give LABEL=COUNT")
        found[name] = int(count)
    return found or None


@app.command()
def augment(
    dataset: str,
    key: Key,
    model: Annotated[str | None, typer.Option(help="whose samples are added")] = None,
    strategy: Annotated[str, typer.Option(help="balance, fill_to or multiply")] = "balance",
    target: Annotated[
        float | None, typer.Option(help="fill_to: items of a label; multiply: a factor")
    ] = None,
    evaluate_lift: Annotated[bool, typer.Option(help="what it is worth to a classifier")] = False,
    plan: Annotated[bool, typer.Option(help="say what would be made, and make nothing")] = False,
    name: str | None = None,
    seed: int | None = None,
    url: Url = LOCAL,
) -> None:
    """Make a larger dataset out of one and watch; prints its id, and what it is worth."""
    given = {"model": model, "target": target, "name": name, "seed": seed}
    spec = {"strategy": strategy, "evaluate_lift": evaluate_lift}
    spec |= {k: v for k, v in given.items() if v is not None}
    with Client(url, key) as client:
        if plan:
            console.print(_plan(client.augment(dataset, validate_only=True, **spec)))
            return
        job = watch(client, client.augment(dataset, **spec)["id"])
        print_line(job["result"]["dataset"])
        if evaluate_lift:
            console.print(_lift(job["result"]))


def _plan(found: dict[str, Any]) -> Table:
    table = Table("label", "real", "transforms", "model", "skipped", "why")
    for row in found["labels"]:
        counts = [str(row[name]) for name in ("real", "transforms", "model", "skipped")]
        table.add_row(escape(row["name"]), *counts, escape(_messages(row["skip_reasons"], " ")))
    table.caption = escape(_messages(found["warnings"], "\n"))
    return table


def _messages(entries: list[dict[str, str]], separator: str) -> str:
    return separator.join(entry["message"] for entry in entries)


def _lift(result: dict[str, Any]) -> Table | str:
    """Nothing but the advice, where there was no time to measure."""
    found, advice = result["lift"], result["recommendation"]
    if found is None:
        return f"not measured: {advice['reason']}"
    table = Table("learned from", "told right", "95 %")
    for name, (low, high) in found["ci95"].items():
        table.add_row(name, f"{found[name]:.3f}", f"{low:.3f} to {high:.3f}")
    table.caption = f"use: {advice['use'] or 'nothing of it'}; {advice['reason']}"
    return table


@app.command()
def download(
    dataset: str,
    out: Path,
    key: Key,
    split: Annotated[str, typer.Option(help="train, or test: the published test split")] = "train",
    url: Url = LOCAL,
) -> None:
    """Save a dataset into a file: .zip, .npz, .tar; of rows .csv, .ndjson, .parquet, .arrow."""
    with Client(url, key) as client:
        print_line(str(client.download_dataset(dataset, out, split=split)))


def watch(client: Client, job_id: str) -> dict[str, Any]:
    """A progress bar until the job has ended."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=100, note="")

        def show(job: dict[str, Any]) -> None:
            at = job["progress"]
            note = f"step {at['step']}" if at["step"] else ""
            progress.update(
                task,
                description=f"{job['name']}: {job['phase'] or job['state']}",
                completed=100 if job["state"] == "succeeded" else at["percent"] or 0,
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
        told = isinstance(error, httpx.ConnectError)
        said = "no service answers at this address" if told else f"the service is gone: {error}"
        console.print(f"[red]{escape(said)}[/red]")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
