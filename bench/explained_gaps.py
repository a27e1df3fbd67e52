"""Missing values that another column explains: `python -m bench.explained_gaps FILE…`.

The service's reader reads each CSV file, and a model of the preset `fast` learns nine tenths of the
rows. A value of one column explains the gaps of another one if the training rows lack the latter
exactly where they have, or do not have, the former; the value may be a missing one. Prints how many
such pairs a table has, and the mean and the largest share of the rows that break one: of samples of
the same weights without and with `find_explained_gaps`, and of held-out rows. Writes the samples to
the folder `--out`, as many as there are rows.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch
from numpy.typing import NDArray

from bench.relations_with_exceptions import learn, read, sample
from models.tabular.autoregressive import structural_zeros
from models.tabular.categorical_columns import as_text
from models.tabular.data import LabeledRows
from models.tabular.relations.rows import array

MAX_VALUES = 100  # of a column, the most frequent ones
MIN_GAPS, SEED, NUM_SAMPLES = 5, 0, 10_000


def gaps_of(table: pa.Table, name: str) -> NDArray[np.bool_]:
    """Return the (N,) mask of the rows without a value of a column."""
    is_null = array(table, name).is_null(nan_is_null=True)
    return np.asarray(is_null.to_numpy(zero_copy_only=False), bool)


def indicators(table: pa.Table, name: str) -> Iterator[tuple[str | None, NDArray[np.bool_]]]:
    """Yield values of a column, None for a missing one, and the (N,) masks of their rows."""
    texts = np.where(gaps_of(table, name), None, as_text(array(table, name)).to_pylist())
    values, counts = np.unique(texts[texts != None].astype(str), return_counts=True)  # noqa: E711
    for value in [None, *values[np.argsort(-counts, kind="stable")][:MAX_VALUES].tolist()]:
        yield value, np.asarray(texts == value)


def broken_shares(table: pa.Table, others: list[pa.Table]) -> NDArray[np.float64]:
    """Return the shares (P, T) of the rows of T tables that break each of P pairs of `table`."""
    names = table.column_names
    gaps = {name: gaps_of(table, name) for name in names}
    rare = {name: min(mask.sum(), (~mask).sum()) for name, mask in gaps.items()}
    shares = []
    for name in names:
        own = [dict(indicators(other, name)) for other in others]
        for value, mask in indicators(table, name):
            for other in names:
                differs = mask != gaps[other]
                if other == name or rare[other] < MIN_GAPS or 0 < differs.sum() < len(differs):
                    continue
                row = []
                for own_masks, rows in zip(own, others, strict=True):
                    has_value = own_masks.get(value, np.zeros(len(rows), bool))
                    row.append(((has_value != gaps_of(rows, other)) != differs[0]).mean())
                shares.append(row)
    return np.array(shares).reshape(-1, len(others))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| table | pairs | without | with | held-out rows |\n|---|---|---|---|---|")
    for file in arguments.files:
        with tempfile.TemporaryDirectory(prefix="semblance-bench-") as name:
            table, schema = read(file, Path(name))
        data = LabeledRows.split(table, schema, target_column=None, holdout_fraction=0.1, seed=SEED)
        with patch.object(structural_zeros, "find_explained_gaps", lambda *_: None):
            before = learn(data, relations=True, seed=SEED)
        after = learn(data, relations=True, seed=SEED)
        samples = [sample(model, NUM_SAMPLES, SEED) for model in (before, after)]
        if arguments.out:
            for rows, word in zip(samples, ("without", "with"), strict=True):
                path = arguments.out / f"{file.stem}-{word}.csv"
                pa.csv.write_csv(rows.slice(0, len(table)), path)
        train, held_out = (
            data.take(index).select(samples[0].column_names) for index in (data.train, data.holdout)
        )
        shares = 100 * broken_shares(train, [*samples, held_out])
        if len(shares):
            cells = zip(shares.mean(0), shares.max(0), strict=True)
            columns = " | ".join(f"{mean:.2f} % ({most:.2f} %)" for mean, most in cells)
            print(f"| {file.stem} | {len(shares)} | {columns} |", flush=True)
        else:
            print(f"| {file.stem} | 0 | | | |", flush=True)


if __name__ == "__main__":
    main()
