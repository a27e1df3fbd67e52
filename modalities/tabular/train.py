"""Training of tabular models, with and without differential privacy."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import torch

from core.errors import JobError
from core.storage import ObjectCorrupted, Storage, StoredObject
from core.tables import Dataset
from modalities.tabular.collapse_check import check_table_collapse
from modalities.tabular.manifest import csv_manifest, declared_manifest, table_manifest
from modalities.tabular.schema import Schema
from modalities.tabular.training_options import DifferentialPrivacy, TableTrainingSpec
from modalities.tabular.typed_parquet import typed_batches
from modalities.training import TrainingRun
from models.tabular.data import LabeledRows
from models.tabular.differential_privacy import domains as dp_domains
from models.tabular.differential_privacy import training as dp_training
from models.tabular.differential_privacy.accountant import (
    AccountantMissing,
    PrivacyBudget,
    PrivacyBudgetUnreachable,
)
from models.tabular.prepare import filter_rows, plan_relations
from models.tabular.schema import ColumnSchema, UnsupportedColumn
from models.tabular.settings import TableSettings
from models.tabular.training import train as train_rows


def train(run: TrainingRun) -> None:
    """Train a model and save its last checkpoint.

    Raises:
        JobError: The table cannot be used, or the model always generates the same row.
    """
    spec: TableTrainingSpec = run.spec
    with open_table(run.dataset, spec, run.storage) as rows:
        try:
            if spec.differential_privacy is not None:
                _train_privately(rows, spec.differential_privacy, run)
                return
            settings = TableSettings.from_dict(spec.hyperparameters)
            rows = filter_rows(rows, settings, run)
            relations = plan_relations(rows, settings)
            manifest = table_manifest(rows, settings.min_value_count, relations.describe())
            run.start(manifest | csv_manifest(run.dataset.summary))
            train_rows(
                rows,
                settings,
                run,
                seed=spec.seed,
                state=run.state,
                relations=relations,
                device=torch.device(run.device),
                records_steps=run.records_steps,
            )
        except UnsupportedColumn as error:
            message = (
                f"{error}. Change the type of the column in the schema, or exclude the column."
            )
            raise JobError("dataset_unreadable", message) from error
        check_table_collapse(run.select_checkpoint(), rows, run.storage)


@contextmanager
def open_table(
    dataset: Dataset, spec: TableTrainingSpec, storage: Storage
) -> Iterator[LabeledRows]:
    """Open the table without its excluded columns.

    Raises:
        JobError: The dataset is damaged.
    """
    columns = Schema.from_dict(dataset.summary).columns
    try:
        with storage.open(StoredObject.from_dict(dataset.objects["rows"])) as path:
            table = pa.Table.from_batches(list(typed_batches(path, columns)))
            schema = [ColumnSchema.from_dict(c.to_dict()) for c in columns if not c.exclude]
            yield LabeledRows.split(
                table,
                schema,
                target_column=spec.target_column,
                holdout_fraction=spec.holdout_fraction,
                seed=spec.seed,
            )
    except ObjectCorrupted as error:
        raise JobError("dataset_unreadable", f"{error} Upload the dataset again.") from error


def _train_privately(rows: LabeledRows, privacy: DifferentialPrivacy, run: TrainingRun) -> None:
    """Train with differential privacy.

    `rows` are passed to the training loop only: the model's manifest holds declared values, never
    values from the data, so that it does not leak information outside the privacy budget.
    """
    spec: TableTrainingSpec = run.spec
    types = {column.name: column.type for column in rows.schema if column.in_samples}
    domains = dp_domains.parse_domains(privacy.column_domains, types)
    if run.state is None and run.has_checkpoints():
        raise JobError(
            "dp_guarantee_lost",
            "All checkpoints are damaged. Training again from the start would exceed the privacy "
            "budget; create a new job.",
        )
    assert spec.budget.steps is not None  # noqa: S101 - the API checks it
    # A hash of the dataset would identify the exact table.
    manifest = declared_manifest(domains, rows.target_column) | csv_manifest(run.dataset.summary)
    run.start(manifest, identify_dataset=False)
    try:
        dp_training.train(
            rows,
            domains,
            TableSettings.from_dict(spec.hyperparameters),
            PrivacyBudget(privacy.epsilon, privacy.delta, spec.budget.steps),
            run,
            seed=spec.seed,
            state=run.state,
            device=torch.device(run.device),
        )
    except AccountantMissing as error:
        raise JobError(
            "dp_guarantee_lost",
            "Differential privacy requires the `dp` extra on the worker: "
            'pip install "semblance-server[dp]".',
        ) from error
    except PrivacyBudgetUnreachable as error:
        raise JobError(
            "dp_guarantee_lost",
            "No amount of noise achieves such a small `epsilon`; increase `epsilon` or reduce the "
            "number of steps.",
        ) from error
