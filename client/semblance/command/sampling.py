"""`semblance sample` and `generate`."""

import sys
from pathlib import Path
from typing import Any

import click

from semblance.command.conditions import read_conditions, where_options
from semblance.command.options import (
    connect,
    count_option,
    detach_option,
    given,
    label_option,
    model_argument,
    seed_option,
    with_service,
)
from semblance.command.output import print_json, print_line, print_note
from semblance.command.progress import watch

STANDARD_OUTPUT = Path("-")
TEXT_FORMATS = ("csv", "ndjson", "json")
ZIP_START = b"PK\x03\x04"


@click.command()
@model_argument
@click.argument("out", default="-", type=click.Path(path_type=Path))
@label_option
@count_option
@where_options
@seed_option
@click.option("--format", "format_", help="Default: the extension of OUT; csv or zip without one.")
@click.option(
    "--ignore-quality-gate", is_flag=True, help="Sample even if the model failed its quality gate."
)
@with_service
def sample(
    model: str,
    out: Path,
    labels: dict[str, int] | None,
    count: int | None,
    where: tuple[str, ...],
    where_json: str | None,
    seed: int | None,
    format_: str | None,
    ignore_quality_gate: bool,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Generate samples and stream them to a file, or to standard output.

    MODEL is NAME (its newest version), NAME:VERSION, NAME@ALIAS or mdl_…. OUT is, for images, .zip,
    .npz, .tar or .png; for tables .csv, .ndjson, .parquet or .arrow; for both .json.

    Rows of a table may meet conditions, in quotation marks where the shell needs them:

        semblance sample people --count 100 --where income=">50K" --where "age>=60"
    """
    if as_json and out == STANDARD_OUTPUT:
        format_ = "json"
    conditions = read_conditions(where, where_json, labels, count)
    options: dict[str, Any] = {"labels": labels, "count": count}
    options |= given(seed=seed, conditions=conditions)
    if ignore_quality_gate:
        options["ignore_quality_gate"] = True
    format_ = format_ or out.suffix.removeprefix(".")
    if format_ == "png":
        options["layout"] = "grid"
    with connect(url, key) as client:
        if out != STANDARD_OUTPUT:
            client.download_samples(model, out, format=format_ or None, **options)
            if as_json:
                print_json({"file": str(out), "bytes": out.stat().st_size})
            else:
                print_line(str(out))
            return
        for chunk in client.stream_samples(model, format=format_ or None, **options):
            is_text = format_ in TEXT_FORMATS or (not format_ and not chunk.startswith(ZIP_START))
            if sys.stdout.isatty() and not is_text:
                raise click.UsageError("The samples are not text: name a file, or use a pipe.")
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


@click.command()
@model_argument
@click.argument("folder", type=click.Path(path_type=Path))
@label_option
@count_option
@where_options
@click.option(
    "--format",
    "format_",
    help="Images: tar (default), zip or npz. Tables: parquet (default), csv, ndjson or arrow.",
)
@seed_option
@detach_option
@with_service
def generate(
    model: str,
    folder: Path,
    labels: dict[str, int] | None,
    count: int | None,
    where: tuple[str, ...],
    where_json: str | None,
    format_: str | None,
    seed: int | None,
    detach: bool,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Generate any number of samples in a job, then download and verify its files.

    Instead of a model, MODEL may be a generation job (job_…): its files are downloaded.
    """
    conditions = read_conditions(where, where_json, labels, count)
    with connect(url, key) as client:
        if model.startswith("job_"):
            job_id = model
        else:
            spec: Any = given(format=format_, seed=seed, conditions=conditions)
            job_id = client.generate(model, labels=labels, count=count, **spec)["id"]
        if detach:
            print_json(client.read_job(job_id)) if as_json else print_line(job_id)
            return
        print_note(f"job {job_id}")
        watch(client, job_id)
        paths = client.download_artifacts(job_id, folder)
    if as_json:
        print_json({"job": job_id, "files": [str(path) for path in paths]})
        return
    for path in paths:
        print_line(str(path))
