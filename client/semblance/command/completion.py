"""Completion of commands, ids, presets and labels in the shell."""

from collections.abc import Callable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from semblance.errors import SemblanceError

TIMEOUT_S = 3.0
ITEMS = 50

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands, ids, presets and labels.

    For bash: eval "$(semblance completion bash)" in ~/.bashrc.
    """
    from semblance.command.main import app

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - one of the choices above
    click.echo(kind(app, {}, "semblance", "_SEMBLANCE_COMPLETE").source())


def complete_ids(resource: str) -> Complete:
    """Return the completion of ids of `datasets` or `jobs`, or of references to `models`."""

    def rows(client: Any) -> Iterator[CompletionItem]:
        page = getattr(client, f"list_{resource}")(limit=ITEMS)["data"]
        for row in page:
            if resource == "models":
                yield CompletionItem(row["reference"])
            else:
                yield CompletionItem(row["id"], help=f"{row['name']} ({row['state']})")

    return lambda context, _parameter, incomplete: _matching(context, incomplete, rows)


def complete_labels(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    def rows(client: Any) -> Iterator[CompletionItem]:
        # An option without its value ends click's parsing; the model is then still in `args`.
        model = context.params.get("model") or context.args[0]
        for label in client.read_model(model)["labels"] or ():
            yield CompletionItem(f"{label}=")

    return _matching(context, incomplete, rows)


def _matching(
    context: click.Context, incomplete: str, rows: Callable[[Any], Iterator[CompletionItem]]
) -> list[CompletionItem]:
    """Return what fits; without a service nothing does, because completion must not fail."""
    from semblance._sync.client import Client
    from semblance.configuration import read_configuration

    try:
        login = read_configuration(context.params.get("url"), context.params.get("key"))
        with Client(login.url, login.key, timeout=TIMEOUT_S, patience=0.0) as client:
            return [item for item in rows(client) if item.value.startswith(incomplete)]
    except (SemblanceError, IndexError):
        return []
