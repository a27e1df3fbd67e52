"""What every run on rows begins with: the rows that keep to the rules, and their encoding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.checkpoint import unpack
from models.run import Run
from models.tables.data import LabelledRows
from models.tables.encoding import Encoding
from models.tables.keeping import holds
from models.tables.rules import Rule
from models.tables.schema import UnfitColumn
from models.tables.settings import TableSettings


def rules_of(settings: TableSettings) -> list[Rule]:
    return [Rule.from_dict(rule) for rule in settings.rules]


def keeping_rules(rows: LabelledRows, settings: TableSettings, run: Run) -> LabelledRows:
    """Without the rows that break a rule. Raises UnfitColumn where none is left."""
    rules = rules_of(settings)
    before = len(rows.train) + len(rows.held_out)
    rows = replace(
        rows, train=_kept(rows, rows.train, rules), held_out=_kept(rows, rows.held_out, rules)
    )
    broken = before - len(rows.train) - len(rows.held_out)
    if not len(rows.train):
        raise UnfitColumn(rules[0].columns[0], "no row keeps to the rules that were declared")
    if broken:
        run.warn(0, f"{broken} of {before} rows break a rule; they are not learned from")
    return rows


def _kept(rows: LabelledRows, index: NDArray[np.int64], rules: list[Rule]) -> NDArray[np.int64]:
    held = np.ones(len(index), bool)
    for rule in rules:
        names = [*rule.columns, *([] if rule.total is None else [rule.total])]
        held &= holds(rule, rows.table.select(names).take(pa.array(index)))
    return index[held]


def encoding_of(
    rows: LabelledRows, settings: TableSettings, seed: int, state: Path | None
) -> Encoding:
    """That of the state, or one that fits the training rows."""
    if state is None:
        encoding = Encoding.fit(
            rows.part(rows.train),
            rows.schema,
            label=rows.label,
            seed=seed,
            fine=settings.architecture == "mlp",
            rules=rules_of(settings),
            min_count=settings.min_count,
        )
        everything = np.union1d(rows.train, rows.held_out)
        return encoding.knowing(rows.part(everything)) if settings.row_hashes else encoding
    tensors, header = unpack(state)
    return Encoding.of_tensors(header["encoding"], tensors)
