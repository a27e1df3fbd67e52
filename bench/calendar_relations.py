"""Relations of dates in samples: `python -m bench.calendar_relations FILE…`.

The service's reader reads each CSV file, and two models of the preset `fast` learn nine tenths of
the rows, without the relations of dates and with them. The first table has the share of the rows
that break each relation, which may have exceptions in the training rows. The second one has the
share of the variance of a number that the day of the week explains, for the number of which this is
largest in the training rows.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from bench.relations_with_exceptions import MAX_SAMPLES, learn, parse_runs, read, sample
from models.tabular.data import LabeledRows
from models.tabular.relations.dates.gaps import find_near_dates
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.planning import independent_relations
from models.tabular.relations.relation import Relation


def relations_of_dates(data: LabeledRows) -> list[Relation]:
    """Return the relations of dates that hold in the training rows, and sums with exceptions."""
    table = data.take(data.train)
    types = {c.name: c.type for c in data.schema if c.in_samples and c.type != "id"}
    relations = independent_relations(detect_relations(table, types), table)
    near = find_near_dates(table, types, relations, ())
    kinds = ("valid_date", "date_sum")
    exact = [each for each in relations if each.part or each.spread or each.kind in kinds]
    return exact + [each for each in near if each.kind == "near_date_sum"]


def explained_variance(table: pa.Table, weekday: str, number: str) -> float:
    """Return the share of the variance of `number` that the values of `weekday` explain."""
    numbers = table[number].cast(pa.float64()).to_numpy(zero_copy_only=False)
    present = np.isfinite(numbers)
    codes = np.unique(np.array(table[weekday].cast(pa.string())).astype(str), return_inverse=True)
    numbers, groups = numbers[present], codes[1][present]
    means = np.bincount(groups, numbers) / np.maximum(np.bincount(groups), 1)
    return float(means[groups].var() / max(numbers.var(), 1e-12))


def run(path: Path, seed: int) -> tuple[list[str], list[str]]:
    """Return the lines of both tables for a file."""
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        table, schema = read(path, Path(name))
    data = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.1, seed=seed)
    relations = relations_of_dates(data)
    count = min(len(data.train), MAX_SAMPLES)
    off, on = (
        sample(learn(data, setting, seed), count, seed)
        for setting in ([each.name for each in relations], True)
    )
    title = f"{path.stem}, seed {seed}"
    broken, explained = [], []
    numbers = [c.name for c in schema if c.in_samples and c.type in ("integer", "number")]
    for relation in relations:
        tables = data.take(data.train), off, on
        shares = [float((~relation.holds(each)).mean()) for each in tables]
        cells = " | ".join(f"{100 * share:.2f} %" for share in shares)
        broken.append(f"| {title} | `{relation.name}` | {cells} |")
        others = [name for name in numbers if name not in relation.columns]
        if relation.part == "day_of_week" and others:
            values = {
                name: [explained_variance(each, relation.last, name) for each in tables]
                for name in others
            }
            number = max(others, key=lambda name: values[name][0])
            cells = " | ".join(f"{value:.3f}" for value in values[number])
            explained.append(f"| {title} | {number}, {relation.last} | {cells} |")
    return broken, explained


def main(arguments: Sequence[str] | None = None) -> None:
    runs = parse_runs(__doc__, arguments)
    torch.set_num_threads(1)
    results = [run(path, seed) for path, seed in runs]
    print("| table | relation | training rows | without | with |\n|---|---|---|---|---|")
    print("\n".join(line for broken, _ in results for line in broken))
    print("\n| table | number, weekday | training rows | without | with |\n|---|---|---|---|---|")
    print("\n".join(line for _, explained in results for line in explained))


if __name__ == "__main__":
    main()
