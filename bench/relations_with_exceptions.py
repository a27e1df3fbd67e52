"""Relations with exceptions and lookups: `python -m bench.relations_with_exceptions FILE…`.

The service's reader reads each CSV file, and a model of the preset `fast` learns nine tenths of the
rows. The first table has the pairs of categorical columns of `unseen_pair_rate`: the share of
samples with a pair of values that no training row has, without and with near lookups (the same
weights), and of held-out rows. The second one has equations and relations with exceptions: the
share of the rows that satisfy each, in the training rows and in samples of models without and with
them. The third one has columns that a key determines, each with the three other columns of which
samples have most new pairs: the share of these in samples of models that do not learn and that
learn the determined columns. The fourth one has columns that two others determine together: the
share of the samples with another value than the training rows with their pair, and with a pair that
is new or has several values, in models without and with it.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import torch

from bench.tables import Budget
from core.datasets.source import SourceFile
from core.limits import Limits
from modalities.tabular.typed_parquet import typed_batches
from modalities.tabular.upload.reading import read_table
from modalities.tabular.upload.schema_overrides import SchemaOverrides
from models.checkpoint import unpack
from models.metrics.scores import Score
from models.metrics.tabular.evaluation import evaluate
from models.tabular.budget import budget
from models.tabular.data import LabeledRows
from models.tabular.relations import detection
from models.tabular.relations.kinds import SOLVABLE
from models.tabular.relations.lookups import learned as learned_lookups
from models.tabular.relations.relation import Relation
from models.tabular.sampling import TableSampler
from models.tabular.schema import ColumnSchema
from models.tabular.settings import TableData, resolve
from models.tabular.training import train

PRESET = "fast"
MAX_SAMPLES = 10_000
MAX_VALUES, SHOWN_PAIRS = 300, 3  # of a column that is paired with a learned one


def check_stop() -> None:
    """Never stop."""


def read(path: Path, folder: Path) -> tuple[pa.Table, list[ColumnSchema]]:
    """Return the rows and the schema that an upload of the file has."""
    summary = read_table([SourceFile(path, path.name)], SchemaOverrides(), Limits(), folder)
    columns = summary.schema.columns
    table = pa.Table.from_batches(list(typed_batches(folder / "rows.parquet", columns)))
    return table, [ColumnSchema.from_dict(column.to_dict()) for column in columns]


def learn(rows: LabeledRows, relations: bool | list[str], seed: int) -> tuple[Any, dict[str, Any]]:
    """Return the tensors and the header of a trained model."""
    types = [column.type for column in rows.schema if column.in_samples and column.type != "id"]
    categories = types.count("category") + types.count("boolean")
    data = TableData(len(rows.table), len(types), categories)
    settings = resolve(data, PRESET, {"relations": relations})
    run = Budget(budget(data, settings, PRESET)["steps"])
    train(rows, settings, run, seed=seed)
    assert run.saved is not None  # noqa: S101 - every run ends with a save
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(run.saved.model)
        tensors, header = unpack(Path(file.name))
        return {name: tensor.clone() for name, tensor in tensors.items()}, header


def sample(model: tuple[Any, dict[str, Any]], rows: int, seed: int) -> pa.Table:
    sampler = TableSampler.load(*model)
    return pa.Table.from_batches([sampler.sample(seed + 1_000, np.arange(rows)).rows])


def pair_scores(
    data: LabeledRows, samples: pa.Table, seed: int
) -> tuple[Score | None, dict[str, dict[str, Any]]]:
    """Return `unseen_pair_rate` and the report on each pair of columns."""
    result = evaluate(data, samples, seed=seed, check_stop=check_stop)
    score = next((each for each in result.scores if each.name == "unseen_pair_rate"), None)
    pairs = result.report_sections["unseen_pairs"]
    return score, {", ".join(pair["columns"]): pair for pair in pairs}


def share_of(relation: Relation, table: pa.Table) -> float:
    """Return the share of the rows that satisfy a relation; missing values do."""
    return float(relation.holds(table).mean())


def new_pair_share(names: Sequence[str], rows: pa.Table, table: pa.Table) -> float:
    """Return the share of rows with a pair of values that `table` has, but never together."""
    first, second = ([t[name].to_pylist() for name in names] for t in (table, rows))
    values = [set(column) for column in first]
    seen = set(zip(*first, strict=True))
    is_new = [
        a in values[0] and b in values[1] and (a, b) not in seen
        for a, b in zip(*second, strict=True)
    ]
    return float(np.mean(is_new))


def lookup_lines(
    title: str, data: LabeledRows, samples: pa.Table, keys: Mapping[str, str], seed: int
) -> list[str]:
    """Return the lines of the columns that `keys` determine and that are learned."""
    table, held_out = data.take(data.train), data.take(data.holdout)
    with patch.object(learned_lookups, "MAX_ROWS_PER_KEY", 0):
        before = sample(learn(data, relations=True, seed=seed), len(samples), seed)
    others = [
        name
        for name in samples.column_names
        if name not in {*keys, *keys.values()} and len(table[name].unique()) <= MAX_VALUES
    ]
    lines = []
    for name, key in keys.items():
        shares = {
            other: [new_pair_share((name, other), t, table) for t in (before, samples, held_out)]
            for other in others
        }
        most = sorted(shares, key=lambda other: shares[other][0], reverse=True)[:SHOWN_PAIRS]
        for other in most:
            cells = " | ".join(f"{100 * share:.1f} %" for share in shares[other])
            lines.append(f"| {title} | {key} -> {name} | {other} | {cells} |")
    return lines


def pair_lines(
    title: str, data: LabeledRows, samples: pa.Table, lookups: Sequence[Relation], seed: int
) -> list[str]:
    """Return the lines of `lookups` by pairs of columns."""
    with patch.object(detection, "find_pair_lookups", lambda *_: []):
        before = sample(learn(data, relations=True, seed=seed), len(samples), seed)
    lines = []
    for lookup in lookups:
        wrong = [1 - float(lookup.holds(rows).mean()) for rows in (before, samples)]
        tables = before, samples, data.take(data.holdout)
        with_key = [lookup.has_key(rows).to_numpy(zero_copy_only=False).mean() for rows in tables]
        shares = [*wrong, *(1 - share for share in with_key)]
        cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
        lines.append(f"| {title} | {lookup.name} | {cells} |")
    return lines


def run(path: Path, seed: int) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return the lines of all tables for a file."""
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        table, schema = read(path, Path(name))
    data = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.1, seed=seed)
    tensors, header = learn(data, relations=True, seed=seed)
    count = min(len(data.train), MAX_SAMPLES)
    samples = sample((tensors, header), count, seed)
    metadata = {**header["tokenizer"], "near_lookups": []}
    before = sample((tensors, {**header, "tokenizer": metadata}), count, seed)
    title = f"{path.stem}, seed {seed}"
    (old, old_pairs), (new, new_pairs) = (
        pair_scores(data, each, seed) for each in (before, samples)
    )
    pairs = []
    if old is not None and new is not None:
        rate = [old.value, new.value, old.real_reference or 0.0]
        pairs.append(f"| {title} | any | {' | '.join(f'{100 * x:.1f} %' for x in rate)} |")
    for columns, pair in old_pairs.items():
        now = new_pairs.get(columns, {"in_samples": 0.0})["in_samples"]
        shares = [pair["in_samples"], now, pair["in_holdout"]]
        pairs.append(f"| {title} | {columns} | {' | '.join(f'{100 * x:.1f} %' for x in shares)} |")
    coding = TableSampler.load(tensors, header).tokenizer.coding
    compared = [each for each in coding.relations if each.kind in SOLVABLE or each.exceptions]
    compared += [each for each in coding.with_exceptions if each not in compared]
    relations = []
    if compared:
        other = sample(learn(data, [each.name for each in compared], seed), count, seed)
        for each in compared:
            shares = [share_of(each, t) for t in (data.take(data.train), other, samples)]
            cells = " | ".join(f"{100 * share:.2f} %" for share in shares)
            relations.append(f"| {title} | {each.name} | {cells} |")
    keys = lookup_lines(title, data, samples, coding.keys, seed) if coding.keys else []
    by_pairs = [relation for relation in coding.relations if relation.has_pairs]
    of_pairs = pair_lines(title, data, samples, by_pairs, seed) if by_pairs else []
    return pairs, relations, keys, of_pairs


def parse_runs(description: str | None, arguments: Sequence[str] | None) -> list[tuple[Path, int]]:
    """Return the files and seeds of a command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args(arguments)
    return [(path, seed) for path in options.files for seed in options.seeds]


def main(arguments: Sequence[str] | None = None) -> None:
    runs = parse_runs(__doc__, arguments)
    torch.set_num_threads(1)
    results = [run(path, seed) for path, seed in runs]
    print(
        "| table | columns | without near lookups | with | held-out rows |\n|---|---|---|---|---|"
    )
    print("\n".join(line for pairs, *_ in results for line in pairs))
    print(
        "\n| table | relation | training rows | without relations | with |\n|---|---|---|---|---|"
    )
    print("\n".join(line for _, relations, *_ in results for line in relations))
    header = "| table | lookup | column | not learned | learned | held-out rows |"
    print(f"\n{header}\n{'|---' * 6}|")
    print("\n".join(line for _, _, lookups, _ in results for line in lookups))
    header = (
        "| table | lookup | other value, without | with | new pair, without | with | held-out |"
    )
    print(f"\n{header}\n{'|---' * 7}|")
    print("\n".join(line for *_, of_pairs in results for line in of_pairs))


if __name__ == "__main__":
    main()
