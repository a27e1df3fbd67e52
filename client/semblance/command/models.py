"""`semblance models` and `report`."""

from pathlib import Path

import click

from semblance.command.options import (
    OUT_FILE,
    connect,
    given,
    model_argument,
    with_service,
)
from semblance.command.output import print_json, print_line, print_table
from semblance.command.verdicts import print_verdict
from semblance.files import write_whole


@click.command()
@click.argument("model", required=False)
@click.option("--name", help="Only with this name; `shoes*` for all that begin with shoes.")
@with_service
def models(
    model: str | None, name: str | None, url: str | None, key: str | None, as_json: bool
) -> None:
    """List the models, or show one."""
    with connect(url, key) as client:
        if model is not None:
            print_json(client.read_model(model))
            return
        rows = list(client.iter_models(**given(name=name)))
    if as_json:
        print_json(rows)
        return
    print_table(
        ("model", "kind", "verdict", "labels", "step", "created"),
        (
            (
                *(row["reference"], row["modality"], row["quality"]["verdict"]),
                *(len(row["labels"] or ()), row["step"], row["created_at"][:10]),
            )
            for row in rows
        ),
    )


@click.command()
@model_argument
@click.option("--out", type=OUT_FILE, help="File for the complete report, .html or .csv.")
@with_service
def report(model: str, out: Path | None, url: str | None, key: str | None, as_json: bool) -> None:
    """Print the verdict on a model and its scores, after waiting for a running evaluation."""
    with connect(url, key) as client:
        result = client.report(model, wait=True)
        if out is not None:
            extension = out.suffix.removeprefix(".") or "html"
            write_whole(out, client.read_report_file(model, format=extension))
    if as_json:
        print_json(result)
        return
    print_verdict(result)
    print_table(
        ("score", "value", "95 % interval", "real", "naive"),
        (
            (
                *(score["name"], f"{score['value']:.3f}"),
                "{:.3f} to {:.3f}".format(*score["ci95"]),
                *(
                    "" if value is None else f"{value:.3f}"
                    for value in (score["real_reference"], score["naive_baseline"])
                ),
            )
            for score in result["scores"]
        ),
    )
    if out is not None:
        print_line(str(out))
