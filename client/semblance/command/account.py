"""`semblance login`, `keys` and `usage`."""

import sys
from typing import Any

import click

from semblance._sync.client import Client
from semblance.command.options import connect, given, parse_counts, with_service
from semblance.command.output import print_json, print_line, print_note, print_table
from semblance.configuration import DEFAULT_URL, Configuration, store_login

SCOPES = ("read", "data:read", "data", "train", "sample", "webhooks", "admin")


@click.command()
@click.argument("url", envvar="SEMBLANCE_URL", default=DEFAULT_URL)
def login(url: str) -> None:
    """Check an API key and store it for later commands, readable by you alone.

    The key is asked for, or read from standard input: semblance login < var/admin.key
    """
    key = click.prompt("API key", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    configuration = Configuration(url, key.strip())
    with Client(configuration.url, configuration.key) as client:
        own = client.read_own_key()
    file = store_login(configuration)
    print_note(f"Logged in at {url} with key {own['name']} ({', '.join(own['scopes'])}): {file}")


@click.group(invoke_without_command=True)
@with_service
@click.pass_context
def keys(context: click.Context, url: str | None, key: str | None, as_json: bool) -> None:
    """List, create and revoke API keys."""
    if context.invoked_subcommand is not None:
        if url or key or as_json:
            raise click.UsageError("Options belong behind the last word: semblance keys create …")
        return
    with connect(url, key) as client:
        rows = list(client.iter_keys())
    if as_json:
        print_json(rows)
        return
    print_table(
        ("id", "name", "scopes", "created", "state"),
        (
            (
                *(row["id"], row["name"], ",".join(row["scopes"]), row["created_at"][:10]),
                "revoked" if row["revoked_at"] else "valid",
            )
            for row in rows
        ),
    )


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    default=tuple(scope for scope in SCOPES if scope != "admin"),
    help="What the key may do. Repeat for more. Default: everything but admin.",
)
@click.option(
    "--quota",
    "quotas",
    multiple=True,
    metavar="NAME=LIMIT",
    callback=lambda _context, _option, values: parse_counts(values, "NAME=LIMIT"),
    help="Quota of this key, such as key_requests_per_minute=100. Repeat for more. Default: those "
    "of the service.",
)
@with_service
def create_key(
    name: str,
    scopes: tuple[str, ...],
    quotas: dict[str, int] | None,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Create a key and print it; it cannot be read again."""
    with connect(url, key) as client:
        body: Any = {"name": name, "scopes": list(scopes), **given(quotas=quotas)}
        created = client.create_key(body)
    if as_json:
        print_json(created)
    else:
        print_line(created["key"])


@keys.command("revoke")
@click.argument("key_id")
@with_service
def revoke_key(key_id: str, url: str | None, key: str | None, as_json: bool) -> None:
    """Revoke a key."""
    with connect(url, key) as client:
        client.revoke_key(key_id)
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        print_note(f"Key {key_id} is revoked.")


@keys.command("rotate")
@click.argument("key_id")
@with_service
def rotate_key(key_id: str, url: str | None, key: str | None, as_json: bool) -> None:
    """Replace a key and print the new one; the old one stays valid for an hour."""
    with connect(url, key) as client:
        created = client.rotate_key(key_id, {})
    if as_json:
        print_json(created)
    else:
        print_line(created["key"])


@click.command()
@click.option("--since", help="Start, such as 2026-11-01T00:00:00Z. Default: all time.")
@click.option("--by", type=click.Choice(["day", "key"]), help="Divide by day or by key.")
@with_service
def usage(
    since: str | None, by: str | None, url: str | None, key: str | None, as_json: bool
) -> None:
    """Show the jobs, CPU time and storage that were used."""
    with connect(url, key) as client:
        report = client.read_usage(**given(since=since, by=by))
    if as_json:
        print_json(report)
        return
    print_table(
        ("kind", by or "", "jobs", "failed", "CPU s", "GPU s"),
        (
            (
                *(row["kind"], row.get(by or "", ""), row["jobs"], row["failed"]),
                *(f"{row['cpu_s']:.0f}", f"{row['gpu_s']:.0f}"),
            )
            for row in report["jobs"]
        ),
    )
    stored = ", ".join(f"{name} {size:,}" for name, size in report["stored"].items())
    print_note(f"Stored bytes: {stored}")
