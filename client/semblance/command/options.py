"""Options that several commands share, and their values."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from semblance._sync.client import Client
from semblance.command.completion import complete_ids, complete_labels
from semblance.configuration import read_configuration

Command = TypeVar("Command", bound=Callable[..., Any])

FILES = click.Path(exists=True, path_type=Path)
OUT_FILE = click.Path(path_type=Path)


def with_service(command: Command) -> Command:
    """Add `--url`, `--key` and `--json`; `connect` takes the first two."""
    for decorator in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
        click.option("--key", help="API key. Default: SEMBLANCE_KEY, or the stored login."),
        click.option("--url", help="Address of the service. Default: SEMBLANCE_URL."),
    ):
        command = decorator(command)
    return command


def connect(url: str | None, key: str | None) -> Client:
    configuration = read_configuration(url, key)
    return Client(configuration.url, configuration.key)


def dataset_argument(command: Command) -> Command:
    return click.argument("dataset", shell_complete=complete_ids("datasets"))(command)


def model_argument(command: Command) -> Command:
    return click.argument("model", shell_complete=complete_ids("models"))(command)


def job_argument(command: Command) -> Command:
    return click.argument("job", shell_complete=complete_ids("jobs"))(command)


preset_option = click.option(
    "--preset",
    type=click.Choice(["fast", "balanced", "quality"]),
    default="balanced",
    show_default=True,
    help="Length of the training.",
)
target_option = click.option(
    "--target", help="Tables only: the target column, whose values are the labels."
)
meta_option = click.option(
    "--meta",
    default="{}",
    callback=lambda _context, _option, value: parse_meta(value),
    help="Other options of a new dataset as JSON, or @FILE with them: read, schema, "
    'exclude_columns and so on, such as \'{"read": {"delimiter": ";"}}\'.',
)
name_option = click.option("--name", help="Name of the result.")
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), help="Random seed. Default: a random one."
)
detach_option = click.option(
    "--detach", is_flag=True, help="Print the id of the job and do not wait for it."
)
count_option = click.option("--count", type=int, help="Total number of samples, over all labels.")
label_option = click.option(
    "--label",
    "labels",
    multiple=True,
    callback=lambda _context, _option, values: parse_counts(values),
    help="LABEL=COUNT: samples of one label. Repeat for more labels.",
    shell_complete=complete_labels,
)
gate_option = click.option(
    "--quality-gate",
    multiple=True,
    callback=lambda _context, _option, values: parse_gate(values),
    help="Criterion that the model must meet: a verdict (good) or a bound on a score "
    "(tstr_score>=0.8, pairwise_tvd<=0.05, tstr_score>=90% of the real reference). Repeat for "
    "more.",
)


def given(**options: Any) -> dict[str, Any]:
    """Return the options that have a value."""
    return {name: value for name, value in options.items() if value is not None}


def parse_meta(value: str) -> dict[str, Any]:
    """Return the `meta` of a new dataset from JSON, or from `@` and the name of a JSON file.

    Raises:
        click.BadParameter: The file cannot be read, or the text is not a JSON object.
    """
    try:
        text = Path(value[1:]).read_text("utf-8") if value.startswith("@") else value
        meta = json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"The file {value[1:]!r} cannot be read: {error}.") from error
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"This is not JSON: {error}.") from error
    if not isinstance(meta, dict):
        raise click.BadParameter("This is not a JSON object.")
    return meta


def parse_counts(items: tuple[str, ...], form: str = "LABEL=COUNT") -> dict[str, int] | None:
    """Return the number for each name, such as samples of a label, or None without items.

    Raises:
        click.BadParameter: An item does not have the form.
    """
    counts = {}
    for item in items:
        name, _, count = item.rpartition("=")
        if not name or not count.isdecimal():
            raise click.BadParameter(f"{item!r} is not {form}.")
        counts[name] = int(count)
    return counts or None


def parse_gate(criteria: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the `quality_gate` of a training job, or None without criteria.

    A criterion is a verdict (`good`) or a bound on a score: `tstr_score>=0.8`,
    `pairwise_tvd<=0.05`, or `tstr_score>=90%` of the real reference.

    Raises:
        click.BadParameter: A criterion has none of these forms.
    """
    verdicts: list[str] = []
    scores: dict[str, dict[str, float]] = {}
    for criterion in criteria:
        bound = re.fullmatch(r"(\w+)(>=|<=)(\d+(?:\.\d+)?)(%?)", criterion)
        if bound is None and criterion.isidentifier():
            verdicts.append(criterion)
            continue
        if bound is None or (bound[2], bound[4]) == ("<=", "%"):
            raise click.BadParameter(
                f"{criterion!r} is not a verdict, SCORE>=NUMBER, SCORE<=NUMBER or SCORE>=PERCENT%."
            )
        side = {">=": "min_fraction_of_reference" if bound[4] else "min", "<=": "max"}[bound[2]]
        scores.setdefault(bound[1], {})[side] = float(bound[3]) / (100 if bound[4] else 1)
    gate = {"allowed_verdicts": verdicts, "scores": scores}
    return {name: value for name, value in gate.items() if value} or None
