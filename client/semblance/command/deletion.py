"""`semblance delete`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

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
        deletions = _without_repeats(_deletion(client, name, cascade=cascade) for name in names)
        if not yes:
            _confirm(deletion.question for deletion in deletions)
        deleted = []
        try:
            for deletion in deletions:
                deletion.run()
                deleted.append(deletion.name)
                if not as_json:
                    print_line(deletion.name)
        finally:
            if as_json:
                print_json({"deleted": deleted})


@dataclass(frozen=True)
class Deletion:
    """Deletion of a resource; `others` are the datasets that are deleted with it."""

    name: str
    question: str
    run: Callable[[], None]
    others: list[str] = field(default_factory=list)


def _deletion(client: Client, name: str, *, cascade: bool) -> Deletion:
    """Return the deletion of an existing resource.

    Raises:
        APIError: It does not exist.
    """
    if name.startswith("ds_"):
        return _dataset_deletion(client, name, cascade=cascade)
    if name.startswith("job_") and "@" not in name:
        job = client.read_job(name)["id"]
        return Deletion(job, job, lambda: client.delete_job(job))
    model = client.read_model(name)
    reference = model["reference"]
    return Deletion(reference, reference, lambda: client.delete_model(model["id"]))


def _dataset_deletion(client: Client, name: str, *, cascade: bool) -> Deletion:
    tree = client.list_descendants(name)
    others = [dataset for dataset in tree["datasets"] if dataset != name]
    counts = {"model": len(tree["models"]), "job": len(tree["jobs"]), "dataset": len(others)}
    texts = [f"{n} {noun}{'' if n == 1 else 's'}" for noun, n in counts.items() if n]
    question = name
    if texts:
        question += f" ({', '.join(texts)} that came from it {'too' if cascade else 'remain'})"
    return Deletion(
        name,
        question,
        lambda: client.delete_dataset(name, cascade=cascade),
        others if cascade else [],
    )


def _without_repeats(deletions: Iterable[Deletion]) -> list[Deletion]:
    """Leave out further names of the same model, and datasets that are deleted with another."""
    by_name = {deletion.name: deletion for deletion in deletions}
    others = {name for deletion in by_name.values() for name in deletion.others}
    return [deletion for deletion in by_name.values() if deletion.name not in others]


def _confirm(questions: Iterable[str]) -> None:
    try:
        click.confirm(f"Delete {', '.join(questions)}?", abort=True, err=True)
    except click.Abort as error:  # also in a script, where nobody can answer
        message = "Nothing was deleted. Pass --yes to delete without a question."
        raise click.ClickException(message) from error
