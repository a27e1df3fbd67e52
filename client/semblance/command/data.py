"""`semblance upload`, `datasets`, `download` and `augment`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from semblance.command.options import (
    FILES,
    OUT_FILE,
    connect,
    dataset_argument,
    detach_option,
    given,
    meta_option,
    name_option,
    seed_option,
    target_option,
    with_service,
)
from semblance.command.output import print_json, print_line, print_note, print_table
from semblance.command.progress import watch
from semblance.types import Issue

SEVERITIES = ("error", "warning", "info")
MAX_ISSUES, MAX_EXAMPLES = 10, 3


@click.command()
@click.argument("paths", nargs=-1, required=True, type=FILES)
@name_option
@target_option
@meta_option
@with_service
def upload(
    paths: tuple[Path, ...],
    name: str | None,
    target: str | None,
    meta: dict[str, Any],
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Create a dataset from a zip, a folder, idx files, an npz file or a table; print its id.

    An interrupted upload goes on where it stopped when the command is run again. Issues of the data
    are printed to standard error, the worst ones first.
    """
    options: Any = meta | given(name=name, target=target)
    with connect(url, key) as client:
        dataset = client.upload(*paths, **options)
        if as_json:
            print_json(dataset)
            return
        print_line(dataset["id"])
        if dataset["issues"]:
            issues = client.read_issues(dataset["id"], examples=MAX_EXAMPLES)["data"]
            print_issues(issues, dataset["id"])


def print_issues(issues: Sequence[Issue], dataset: str) -> None:
    """Print the worst issues of a dataset to standard error, one line each, with examples."""
    worst_first = sorted(issues, key=lambda issue: SEVERITIES.index(issue["severity"]))
    for issue in worst_first[:MAX_ISSUES]:
        rest = ["…"] if issue["examples"] and len(issue["examples"]) < issue["count"] else []
        examples = "; ".join([*issue["examples"], *rest])
        text = f"{issue['hint']} ({examples})" if examples else issue["hint"]
        text = " ".join(text.split())
        print_note(f"{issue['severity']}: {issue['code']} ({issue['count']}): {text}")
    if len(worst_first) > MAX_ISSUES:
        more = len(worst_first) - MAX_ISSUES
        print_note(f"{more} more: /v1/datasets/{dataset}/issues")


@click.command()
@click.argument("dataset", required=False)
@click.option("--name", help="Only with this name; `shoes*` for all that begin with shoes.")
@with_service
def datasets(
    dataset: str | None, name: str | None, url: str | None, key: str | None, as_json: bool
) -> None:
    """List the datasets, or show one."""
    with connect(url, key) as client:
        if dataset is not None:
            print_json(client.read_dataset(dataset))
            return
        rows = list(client.iter_datasets(**given(name=name)))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("id", "name", "kind", "state", "items", "labels"),
        (
            (
                *(row["id"], row["name"], row["modality"], row["state"], row["train_items"]),
                len(row["labels"] or ()),
            )
            for row in rows
        ),
    )


@click.command()
@dataset_argument
@click.argument("out", type=OUT_FILE)
@click.option(
    "--split",
    type=click.Choice(["train", "test"]),
    default="train",
    show_default=True,
    help="test for the published test split.",
)
@with_service
def download(
    dataset: str, out: Path, split: Any, url: str | None, key: str | None, as_json: bool
) -> None:
    """Download a dataset to a file, whose extension sets the format.

    Images: .zip, .npz or .tar. Tables: .csv, .ndjson, .parquet or .arrow.
    """
    with connect(url, key) as client:
        path = client.download_dataset(dataset, out, split=split)
    if as_json:
        print_json({"file": str(path), "bytes": path.stat().st_size})
    else:
        print_line(str(path))


@click.command()
@dataset_argument
@click.option("--model", help="Model whose samples are added. Default: transforms only.")
@click.option(
    "--strategy",
    type=click.Choice(["balance", "fill_to", "multiply"]),
    default="balance",
    show_default=True,
)
@click.option(
    "--target",
    type=float,
    help="With fill_to: number of items per label. With multiply: the factor.",
)
@click.option(
    "--evaluate-lift", is_flag=True, help="Measure how much a classifier gains from the dataset."
)
@click.option("--plan", is_flag=True, help="Show the plan and create nothing.")
@name_option
@seed_option
@detach_option
@with_service
def augment(
    dataset: str,
    model: str | None,
    strategy: str,
    target: float | None,
    evaluate_lift: bool,
    plan: bool,
    name: str | None,
    seed: int | None,
    detach: bool,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Create a larger dataset from an existing one and print its id."""
    spec: Any = {"strategy": strategy, "evaluate_lift": evaluate_lift}
    spec |= given(model=model, target=target, name=name, seed=seed)
    with connect(url, key) as client:
        if plan:
            planned = client.plan({"kind": "augmentation", "dataset": dataset, **spec})
            print_json(planned) if as_json else print_plan(planned)
            return
        job = client.augment(dataset, **spec)
        if detach:
            print_json(job) if as_json else print_line(job["id"])
            return
        print_note(f"job {job['id']}")
        job = watch(client, job["id"])
    if as_json:
        print_json(job)
        return
    print_line(job["result"]["dataset"])
    if evaluate_lift:
        print_lift(job["result"])


def print_plan(plan: dict[str, Any]) -> None:
    counts = ("real", "transforms", "model", "skipped")
    print_table(
        ("label", *counts, "why"),
        (
            (
                *(row["name"], *(row[name] for name in counts)),
                " ".join(reason["message"] for reason in row["skip_reasons"]),
            )
            for row in plan["labels"]
        ),
    )
    for warning in plan["warnings"]:
        print_note(warning["message"])


def print_lift(result: dict[str, Any]) -> None:
    """Print the accuracy with and without the new items, or why it was not measured."""
    lift, recommendation = result["lift"], result["recommendation"]
    if lift is None:
        print_note(f"not measured: {recommendation['reason']}")
        return
    for name, (low, high) in lift["ci95"].items():
        print_note(f"balanced accuracy, {name}: {lift[name]:.3f} ({low:.3f} to {high:.3f})")
    print_note(f"recommendation: {recommendation['use'] or 'none'}; {recommendation['reason']}")
