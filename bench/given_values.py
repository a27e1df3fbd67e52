"""Cost and variety of partial rows with values that follow from others, or of conditions.

    python -m bench.given_values FILE '{"year": 2010}' '{"total": 100.0}' …
    python -m bench.given_values --conditions --count 50 FILE '{"product": "p20"}' …

Trains on FILE with the preset `fast`, and prints for each partial row, completed COUNT times, the
CPU seconds, the share of accepted candidates and the numbers of different values. With
`--conditions`, it generates as many rows that meet each condition. Times are texts such as
"14:30:00".
"""

import argparse
import datetime
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from bench.relations_with_exceptions import learn, read
from models.errors import AcceptanceRateTooLow
from models.tabular.batched_sampling import iter_batches
from models.tabular.completion.row_completion import NUM_PARTICLES
from models.tabular.conditions.condition import InvalidCondition, InvalidPartialRow
from models.tabular.data import LabeledRows
from models.tabular.sampling import TableSampler
from models.tabular.sampling_plan import RowIndexRange, RowSamplingPlan, plan_partial_rows

COUNT, SEED = 1_000, 0


def measure(sampler: TableSampler, plan: RowSamplingPlan) -> str:
    """Return the cells of the table for a partial row or a condition."""
    started = time.process_time()
    try:
        batches = list(iter_batches(sampler, plan))
    except (AcceptanceRateTooLow, InvalidCondition, InvalidPartialRow) as error:
        cpu_s = time.process_time() - started
        return f"{cpu_s:.1f} | refused | {error}"
    cpu_s = time.process_time() - started
    rows = pa.Table.from_batches([batch.rows for batch in batches])
    rate = NUM_PARTICLES * float(np.mean([batch.acceptance_rate for batch in batches]))
    distinct = {name: len(rows[name].unique()) for name in rows.column_names}
    return f"{cpu_s:.1f} | {rate:.2f} | {json.dumps(distinct)}"


def with_times(spec: Any, is_time: bool) -> Any:
    """Return the specification of a column whose times are texts in JSON."""
    if isinstance(spec, dict):
        return {operator: with_times(value, is_time) for operator, value in spec.items()}
    if isinstance(spec, list):
        return [with_times(value, is_time) for value in spec]
    return datetime.time.fromisoformat(spec) if is_time and isinstance(spec, str) else spec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("rows", nargs="+", type=json.loads)
    parser.add_argument("--conditions", action="store_true")
    parser.add_argument("--count", type=int, default=COUNT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
        table, schema = read(arguments.file, Path(name))
    data = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.1, seed=SEED)
    sampler = TableSampler.load(*learn(data, relations=True, seed=SEED))
    print("| given | CPU s | accepted | different values |\n|---|---|---|---|")
    times = {field.name for field in sampler.tokenizer.arrow if pa.types.is_time(field.type)}
    for given in arguments.rows:
        row = {name: with_times(spec, name in times) for name, spec in given.items()}
        if arguments.conditions:
            ranges = (RowIndexRange(0, arguments.count, (row,)),)
            plan = RowSamplingPlan(ranges, SEED)
        else:
            plan = plan_partial_rows([row] * arguments.count, seed=SEED, offset=0)
        print(f"| {json.dumps(given)} | {measure(sampler, plan)} |")


if __name__ == "__main__":
    main()
