"""`semblance train`, `evaluate`, `jobs`, `watch` and `cancel`."""

from pathlib import Path
from typing import Any

import click

from semblance._sync.client import Client
from semblance.command.options import (
    connect,
    dataset_argument,
    detach_option,
    gate_option,
    given,
    job_argument,
    meta_option,
    model_argument,
    name_option,
    preset_option,
    seed_option,
    target_option,
    with_service,
)
from semblance.command.output import print_json, print_line, print_note, print_table
from semblance.command.progress import watch as watch_job
from semblance.command.verdicts import check_gate, print_outcome, print_verdict
from semblance.errors import APIError

# The service has the same limits. Checked here, too, because a file is uploaded first.
SECONDS = click.FloatRange(1, 10_000_000)


@click.command()
@dataset_argument
@preset_option
@name_option
@target_option
@meta_option
@seed_option
@click.option("--cpu-seconds", type=SECONDS, help="Training budget in CPU-seconds.")
@click.option("--gpu-seconds", type=SECONDS, help="Training budget in GPU-seconds.")
@click.option("--steps", type=click.IntRange(min=1), help="Training budget in steps.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "gpu"]),
    help="Default: auto, the first free worker.",
)
@gate_option
@detach_option
@with_service
def train(
    dataset: str,
    preset: Any,
    name: str | None,
    target: str | None,
    meta: dict[str, Any],
    seed: int | None,
    cpu_seconds: float | None,
    gpu_seconds: float | None,
    steps: int | None,
    device: str | None,
    quality_gate: dict[str, Any] | None,
    detach: bool,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Train a model on a dataset, show the progress and print the model's version.

    DATASET is an id (ds_…), or a file or folder, which is uploaded first. Wait for the evaluation
    that follows, and show its verdict, except with --json. With --quality-gate, exit with status 6
    if the model does not meet the gate.
    """
    budget = given(cpu_seconds=cpu_seconds, gpu_seconds=gpu_seconds, steps=steps)
    if len(budget) > 1:
        raise click.UsageError("Give only one of --cpu-seconds, --gpu-seconds and --steps.")
    if gpu_seconds is not None and device == "cpu":
        raise click.UsageError("--gpu-seconds is not possible with --device cpu.")
    spec: Any = given(name=name, seed=seed, device=device, quality_gate=quality_gate)
    spec |= {"budget": budget} if budget else {}
    with connect(url, key) as client:
        dataset = find_dataset(client, dataset, meta | given(target=target))
        job = client.train(dataset, preset=preset, **spec)
        print_warnings(client, job)
        if detach:
            print_json(job) if as_json else print_line(job["id"])
            return
        print_note(f"job {job['id']}")
        job = watch_job(client, job["id"])
        print_result(job, as_json=as_json)
        if quality_gate is not None:
            check_gate(client.report(job["result"]["model"], wait=True))
        elif not as_json:
            print_outcome(client.report(job["result"]["model"], wait=True))


def print_warnings(client: Client, job: Any) -> None:
    """Print warnings of a job. Those that are issues of its dataset have their severity."""
    try:
        issues = client.read_issues(job["dataset"])["data"]
    except APIError:  # the key may train but not read, or the dataset was deleted
        issues = []
    severities = {issue["code"]: issue["severity"] for issue in issues}
    for warning in job["warnings"]:
        print_note(f"{severities.get(warning['code'], 'warning')}: {warning['message']}")


def find_dataset(client: Client, dataset: str, meta: Any) -> str:
    """Return the id of a dataset, which is uploaded if the argument is a file or a folder.

    Raises:
        click.UsageError: `--target` or `--meta` is given for a dataset that exists, or there is
            neither a file nor a dataset with this name.
    """
    if Path(dataset).exists():
        uploaded = client.upload(dataset, **meta)
        print_note(f"dataset {uploaded['id']}")
        return uploaded["id"]
    if Path(dataset).suffix or "/" in dataset:  # no id has these
        raise click.UsageError(f"There is neither a file nor a dataset {dataset!r}.")
    if meta:
        raise click.UsageError(
            "--target and --meta require a file: the dataset has its target column and its options."
        )
    return dataset


def print_result(job: Any, *, as_json: bool) -> None:
    """Print what a job has created: a model version, a dataset, or nothing."""
    if as_json:
        print_json(job)
        return
    result = job["result"] or {}
    for name in ("model_version", "dataset"):
        if name in result:
            print_line(result[name])


@click.command()
@model_argument
@click.option("--samples", type=int, help="Number of samples. Default: chosen by the service.")
@detach_option
@with_service
def evaluate(
    model: str, samples: int | None, detach: bool, url: str | None, key: str | None, as_json: bool
) -> None:
    """Compare samples of a model with real items that training did not use; print the verdict."""
    with connect(url, key) as client:
        job = client.evaluate(model, **given(samples=samples))
        if detach:
            print_json(job) if as_json else print_line(job["id"])
            return
        print_note(f"job {job['id']}")
        watch_job(client, job["id"])
        report = client.report(model)
    print_json(report) if as_json else print_verdict(report)


@click.command()
@click.argument("job", required=False)
@click.option("--state", help="Only in this state, such as running.")
@click.option("--kind", help="Only of this kind, such as training.")
@click.option("--limit", type=int, default=20, show_default=True, help="Number of jobs.")
@with_service
def jobs(
    job: str | None,
    state: Any,
    kind: Any,
    limit: int,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """List the newest jobs, or show one."""
    with connect(url, key) as client:
        if job is not None:
            print_json(client.read_job(job))
            return
        rows = client.list_jobs(state=state, kind=kind, limit=limit)["data"]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("id", "kind", "name", "state", "%", "created"),
        (
            (
                *(row["id"], row["kind"], row["name"], row["state"]),
                "" if row["progress"]["percent"] is None else f"{row['progress']['percent']:.0f}",
                row["timestamps"]["created_at"][:19],
            )
            for row in rows
        ),
    )


@click.command()
@job_argument
@with_service
def watch(job: str, url: str | None, key: str | None, as_json: bool) -> None:
    """Show the progress of a job until it has ended, and print its result."""
    with connect(url, key) as client:
        print_result(watch_job(client, job), as_json=as_json)


@click.command()
@job_argument
@with_service
def cancel(job: str, url: str | None, key: str | None, as_json: bool) -> None:
    """Cancel a job and print its state; its last checkpoint is kept."""
    with connect(url, key) as client:
        cancelled = client.cancel(job)
    print_json(cancelled) if as_json else print_line(cancelled["state"])
