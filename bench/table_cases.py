"""Show what people get for their own tables: upload, train briefly, sample, and compare.

`python -m bench.table_cases FILE…` starts a service, uploads each file without an option, trains on
it for a few CPU seconds, and samples 500 rows as CSV and in the type of the file. It prints what
was inferred and some values of each column before and after, as Markdown. Judge them by eye.
"""

import argparse
import csv
import io
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
from semblance import APIError, Client, JobFailedError

from bench.serving import serving

ROWS, SHOWN = 500, 5
TRAINING_CPU_S = 3
OTHER_FORMATS = {".parquet": "parquet", ".arrow": "arrow", ".ndjson": "ndjson", ".json": "json"}

Json = dict[str, Any]


def describe(client: Client, file: Path, cpu_seconds: float) -> Iterator[str]:
    """Yield Markdown lines that show what becomes of a file."""
    yield f"## {file.name}"
    yield ""
    try:
        dataset = client.upload(file)
    except (APIError, JobFailedError) as error:
        yield f"Refused: {error}"
        yield ""
        return
    path = f"/v1/datasets/{dataset['id']}"
    schema = client.request("GET", f"{path}/schema").json()["columns"]
    issues = client.request("GET", f"{path}/issues").json()["data"]
    real = client.request("GET", f"{path}/content", params={"format": "csv"}).text
    table = dataset["table"]
    options = {k: v for k, v in table["read"].items() if v not in (None, [])}
    yield f"{table['rows']} rows, {table['columns']} columns, read with `{options}`"
    yield ""
    for issue in issues:
        examples = "; ".join(map(str, issue["examples"]))
        yield f"- {issue['severity']} `{issue['code']}` {issue['count']}: {examples}"
    yield ""
    try:
        model = _train(client, dataset["id"], cpu_seconds)
    except (APIError, JobFailedError) as error:
        yield f"Not trained: {error}"
        yield ""
        return
    samples = _sample(client, model, "csv")
    delimiter = options.get("delimiter", ",")
    delimiter = delimiter if len(delimiter) == 1 else ","  # as samples are written
    yield from _columns(schema, _read(real, delimiter), _read(samples.decode(), delimiter))
    yield ""
    format = OTHER_FORMATS.get(file.suffix)
    if format is not None:
        yield f"- as {format}: {_summary(format, _sample(client, model, format))}"
        yield ""


def _train(client: Client, dataset: str, cpu_seconds: float) -> str:
    budget = {"cpu_seconds": cpu_seconds}
    job = client.train(dataset, preset="fast", budget=budget, seed=1, evaluate=False)
    model: str = client.wait(job["id"])["result"]["model"]
    return model


def _sample(client: Client, model: str, format: str) -> bytes:
    body = {"count": ROWS, "seed": 7}
    params = {"format": format}
    return client.request("POST", f"/v1/models/{model}/samples", json=body, params=params).content


def _columns(
    schema: Sequence[Json], before: Mapping[str, list[str]], after: Mapping[str, list[str]]
) -> Iterator[str]:
    yield "| column | type | form | missing | values | samples | real values among samples |"
    yield "|---|---|---|---|---|---|---|"
    for column in schema:
        name = column["name"]
        cells = [name, column["type"], column["format"] or column["decimals"]]
        if name in after:
            known = set(before[name])
            present = [value for value in after[name] if value]
            repeated = sum(value in known for value in present) / max(1, len(present))
            distinct = len(set(present))
            cells += [
                f"{_missing(before[name])} → {_missing(after[name])}",
                _examples(before[name]),
                _examples(after[name]),
                f"{repeated:.0%} of {distinct} different",
            ]
        else:
            cells += ["", _examples(before.get(name, [])), "not sampled", ""]
        yield "| " + " | ".join(_escape(str(cell)) for cell in cells) + " |"


def _read(text: str, delimiter: str) -> dict[str, list[str]]:
    rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    return dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True))


def _missing(values: Sequence[str]) -> str:
    return f"{sum(not value for value in values) / max(1, len(values)):.0%}"


def _examples(values: Sequence[str]) -> str:
    present = [value for value in values if value]
    return " · ".join(random.Random(0).sample(present, min(SHOWN, len(present))))  # noqa: S311


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "⏎").replace("\r", "")


def _summary(format: str, content: bytes) -> str:
    if format == "parquet":
        schema = pa.parquet.read_schema(pa.BufferReader(content))
    elif format == "arrow":
        schema = pa.ipc.open_stream(content).schema
    else:
        return content[:300].decode(errors="replace").replace("\n", " ")
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--cpu-seconds", type=float, default=TRAINING_CPU_S)
    arguments = parser.parse_args()
    with serving() as client:
        for file in arguments.files:
            for line in describe(client, file, arguments.cpu_seconds):
                print(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
