"""Options that select rows by the values of columns: `--where` and `--where-json`."""

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

OPERATORS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}


def where_options(command: Command) -> Command:
    """Add `--where` and `--where-json`, of which `read_conditions` makes `conditions`."""
    for decorator in (
        click.option(
            "--where-json",
            help='Tables only: conditions as JSON, such as \'{"age": {"gte": 60}}\'.',
        ),
        click.option(
            "--where",
            multiple=True,
            help="Tables only: COLUMN=VALUE, or with >=, >, <= or <. Without a value, it is "
            "missing. Repeat for more columns, for both ends of a range, or for one of several "
            "values.",
        ),
    ):
        command = decorator(command)
    return command


def read_conditions(
    where: tuple[str, ...],
    where_json: str | None,
    labels: dict[str, int] | None,
    count: int | None,
) -> list[dict[str, Any]] | None:
    """Return the `conditions` of a request, or None without any.

    Raises:
        click.UsageError: The options exclude each other, or there is no count.
    """
    if not where and where_json is None:
        return None
    if where and where_json is not None:
        raise click.UsageError("Use either --where or --where-json.")
    if labels is not None or count is None:
        raise click.UsageError("--where needs --count, and cannot be combined with --label.")
    return [{"where": parse_where(where) if where_json is None else _parse_json(where_json)}]


def parse_where(items: tuple[str, ...]) -> dict[str, Any]:
    """Return the condition of each column. Values are texts, which the service converts.

    Raises:
        click.BadParameter: An item has another form, or contradicts one before it.
    """
    values: dict[str, list[str | None]] = {}
    ranges: dict[str, dict[str, str]] = {}
    for item in items:
        parts = re.fullmatch(r"(.+?)(!=|==|>=|<=|=|>|<)(.*)", item, re.DOTALL)
        if parts is None or parts[2] not in ("=", *OPERATORS):
            raise click.BadParameter(
                f"{item!r} has none of the operators =, >=, >, <= and < after the column. Write "
                "COLUMN=VALUE without quotation marks, and repeat --where for other values."
            )
        column, operator, value = parts[1].strip(), parts[2], parts[3].strip()
        if operator == "=":
            values.setdefault(column, []).append(value or None)
        elif not value:
            raise click.BadParameter(f"{item!r} lacks a value.")
        elif OPERATORS[operator] in ranges.setdefault(column, {}):
            raise click.BadParameter(f"{column!r} has {operator} twice.")
        else:
            ranges[column][OPERATORS[operator]] = value
    if both := sorted(values.keys() & ranges.keys()):
        raise click.BadParameter(f"{both[0]!r} has both values and a range.")
    single = {column: own[0] if len(own) == 1 else own for column, own in values.items()}
    return {**single, **ranges}


def _parse_json(text: str) -> dict[str, Any]:
    try:
        where = json.loads(text)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"--where-json is not JSON: {error}.") from error
    if not isinstance(where, dict):
        raise click.BadParameter("--where-json is not an object with one entry for each column.")
    return where
