"""Cost and variety of partial rows with values that follow from others, or of conditions.

    python -m bench.given_values FILE '{"year": 2010}' '{"total": 100.0}' …
    python -m bench.given_values --conditions --count 50 FILE '{"product": "p20"}' …

Trains on FILE with the preset `fast`, and prints for each partial row, completed COUNT times, the
CPU seconds, the share of accepted candidates and the numbers of different values. With
`--conditions`, it generates as many rows that meet each condition.
"""

import argparse
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


def measure(sampler: TableSampler, row: dict[str, Any], plan: RowSamplingPlan) -> str:
    """Return a line of the table for one partial row or condition."""
    started = time.process_time()
    try:
        batches = list(iter_batches(sampler, plan))
    except (AcceptanceRateTooLow, InvalidCondition, InvalidPartialRow) as error:
        cpu_s = time.process_time() - started
        return f"| {json.dumps(row)} | {cpu_s:.1f} | refused | {error} |"
    cpu_s = time.process_time() - started
    rows = pa.Table.from_batches([batch.rows for batch in batches])
    rate = NUM_PARTICLES * float(np.mean([batch.acceptance_rate for batch in batches]))
    distinct = {name: len(rows[name].unique()) for name in rows.column_names}
    return f"| {json.dumps(row)} | {cpu_s:.1f} | {rate:.2f} | {json.dumps(distinct)} |"


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
    for row in arguments.rows:
        if arguments.conditions:
            ranges = (RowIndexRange(0, arguments.count, (row,)),)
            plan = RowSamplingPlan(ranges, SEED)
        else:
            plan = plan_partial_rows([row] * arguments.count, seed=SEED, offset=0)
        print(measure(sampler, row, plan))


if __name__ == "__main__":
    main()
