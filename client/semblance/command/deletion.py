"""`semblance delete`."""

from collections.abc import Callable, Iterable

import click

from semblance._sync.client import Client
from semblance.command.options import connect, with_service
from semblance.command.output import print_json, print_line


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--cascade",
    is_flag=True,
    help="Datasets only: also delete the models, jobs and datasets that came from them.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_service
def delete(
    names: tuple[str, ...],
    cascade: bool,
    yes: bool,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Delete models, datasets and ended jobs; print the name of each.

    NAMES are models (shoes:3, mdl_…), datasets (ds_…) and jobs (job_…). A model's name without a
    version is its newest version.
    """
    if cascade and not all(name.startswith("ds_") for name in names):
        raise click.UsageError("--cascade is for datasets (ds_…) only.")
    with connect(url, key) as client:
        # Several names may be those of the same model.
        deletions = dict(_deletion(client, name, cascade=cascade) for name in names)
        if not yes:
            _confirm(deletions)
        deleted = []
        try:
            for title, run in deletions.items():
                run()
                deleted.append(title)
                if not as_json:
                    print_line(title)
        finally:
            if as_json:
                print_json({"deleted": deleted})


def _confirm(titles: Iterable[str]) -> None:
    try:
        click.confirm(f"Delete {', '.join(titles)}?", abort=True, err=True)
    except click.Abort as error:  # also in a script, where nobody can answer
        message = "Nothing was deleted. Pass --yes to delete without a question."
        raise click.ClickException(message) from error


def _deletion(client: Client, name: str, *, cascade: bool) -> tuple[str, Callable[[], None]]:
    """Return what would be deleted, and the call that does so.

    Raises:
        APIError: It does not exist.
    """
    if name.startswith("ds_"):
        dataset = client.read_dataset(name)["id"]
        return dataset, lambda: client.delete_dataset(dataset, cascade=cascade)
    if name.startswith("job_") and "@" not in name:
        job = client.read_job(name)["id"]
        return job, lambda: client.delete_job(job)
    model = client.read_model(name)
    return model["reference"], lambda: client.delete_model(model["id"])
