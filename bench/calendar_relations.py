"""Relations of dates in samples: `python -m bench.calendar_relations FILE…`.

The service's reader reads each CSV file, and two models of the preset `fast` learn nine tenths of
the rows, without the relations of dates and with them. The first table has the share of the rows
that break each relation, which may have exceptions in the training rows. The second one has the
share of the variance of a number that the day of the week explains, for the number of which this is
largest in the training rows. The third one is of datetimes whose time of day or day of the week is
learned separately: the share of the rows by day (7 to 20 o'clock) or at weekends, by the values of
the column on which this depends most in the training rows, without and with these parts. Numbers
are divided at their median.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from numpy.typing import NDArray

from bench.relations_with_exceptions import MAX_SAMPLES, learn, parse_runs, read, sample
from models.tabular.data import LabeledRows
from models.tabular.numbers.grid import is_numeric
from models.tabular.relations.dates.gaps import find_near_dates
from models.tabular.relations.detection import detect_relations
from models.tabular.relations.planning import independent_relations
from models.tabular.relations.relation import Relation
from models.tabular.relations.rows import array, as_floats
from models.tabular.sampling import TableSampler

FIRST_HOUR, LAST_HOUR, SATURDAY = 7, 20, 5
GROUPING_TYPES = ("category", "boolean", "integer", "number")
MAX_GROUPS, MIN_GROUP_SHARE = 20, 0.05  # of the values of a column on which parts may depend


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


def groups_of(values: pa.Array, reference: pa.Array) -> NDArray[np.str_]:
    """Return the (N,) values as texts, or on which side of the median of `reference` they are."""
    if not is_numeric(values.type) or len(reference.unique()) <= MAX_GROUPS:
        return np.array(values.cast(pa.string()).fill_null("missing").to_pylist())
    median = np.nanmedian(as_floats(reference))
    return np.where(as_floats(values) > median, f"> {median:g}", f"<= {median:g} or missing")


def is_by_day_or_at_weekends(part: str, values: pa.Array) -> NDArray[np.bool_]:
    """Return the (N,) mask of datetimes by day, or at weekends for the part `day_of_week`."""
    if part == "day_of_week":
        days = pa.compute.day_of_week(values).fill_null(0).to_numpy(zero_copy_only=False)
        return np.asarray(days >= SATURDAY)
    hours = pa.compute.hour(values).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray((hours >= FIRST_HOUR) & (hours < LAST_HOUR))


def part_lines(title: str, data: LabeledRows, count: int, seed: int) -> list[str]:
    """Return the lines of the learned parts of datetimes."""
    model = learn(data, relations=True, seed=seed)
    columns = set(TableSampler.load(*model).tokenizer.coding.parts.values())
    if not columns:
        return []
    with_parts = sample(model, count, seed)
    names = [name for column in columns for name in column.part_names]
    tables = data.take(data.train), sample(learn(data, names, seed), count, seed), with_parts
    lines = []
    for column in sorted(columns, key=lambda each: each.name):
        for name, part in column.part_names.items():
            is_day = [is_by_day_or_at_weekends(part, array(each, column.name)) for each in tables]
            shares: dict[str, dict[str, list[float]]] = {}
            for other in (c.name for c in data.schema if c.in_samples and c.type in GROUPING_TYPES):
                groups = [groups_of(array(t, other), array(tables[0], other)) for t in tables]
                values, counts = np.unique(groups[0], return_counts=True)
                if len(values) > MAX_GROUPS:
                    continue
                frequent = [
                    str(value) for value in values[counts >= MIN_GROUP_SHARE * counts.sum()]
                ]
                shares[other] = {
                    value: [
                        float(mask[group == value].mean()) if (group == value).any() else np.nan
                        for mask, group in zip(is_day, groups, strict=True)
                    ]
                    for value in frequent
                }
            most = max(shares, key=lambda each: np.ptp([s[0] for s in shares[each].values()]))
            for value, by_table in shares[most].items():
                cells = " | ".join(f"{100 * share:.0f} %" for share in by_table)
                lines.append(f"| {title} | `{name}` | {most}: {value} | {cells} |")
    return lines


def run(path: Path, seed: int) -> tuple[list[str], list[str], list[str]]:
    """Return the lines of the three tables for a file."""
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        table, schema = read(path, Path(name))
    data = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.1, seed=seed)
    relations = relations_of_dates(data)
    count = min(len(data.train), MAX_SAMPLES)
    off, on = (
        sample(learn(data, setting, seed), count, seed) if relations else data.table
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
    return broken, explained, part_lines(title, data, count, seed)


def main(arguments: Sequence[str] | None = None) -> None:
    runs = parse_runs(__doc__, arguments)
    torch.set_num_threads(1)
    results = [run(path, seed) for path, seed in runs]
    print("| table | relation | training rows | without | with |\n|---|---|---|---|---|")
    print("\n".join(line for broken, *_ in results for line in broken))
    print("\n| table | number, weekday | training rows | without | with |\n|---|---|---|---|---|")
    print("\n".join(line for _, explained, _ in results for line in explained))
    print("\n| table | part | rows | training rows | without | with |\n|---|---|---|---|---|---|")
    print("\n".join(line for *_, parts in results for line in parts))


if __name__ == "__main__":
    main()
