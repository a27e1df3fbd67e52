"""Tables: rows of typed columns, with an optional target column that holds the labels.

Importing this package does not import pyarrow or torch, which are slow to load.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets.peek import Peek
from core.datasets.sandbox import OnWait
from core.datasets.source import SourceFile
from core.request_fields import RequestModel
from core.storage import Storage, StoredObject
from core.tables import Dataset
from modalities.augmentation import AugmentationInput, AugmentationRules, Augmenter
from modalities.base import Json, Modality, Split
from modalities.evaluation import EvaluationInput, EvaluationOutput
from modalities.sampling import Sampler, SamplingPlan, SelectionPlan
from modalities.selection import Selection
from modalities.tabular import ingest, training_plan
from modalities.tabular.options import (
    FILE_FORMATS,
    SAMPLE_FORMATS,
    ColumnOption,
    TableConditionsView,
    TableDatasetOptions,
    TableDatasetView,
    TableModelView,
    TableProfileView,
    TableSampleOptions,
    TableSelectionOptions,
)
from modalities.tabular.training_options import (
    TableTrainingOptions,
    TableTrainingSpec,
    TabularHyperparameters,
)
from modalities.tabular.upload.detection import detect_table
from modalities.training import PresetSummary, TrainingRun
from models.metrics import score_types
from models.tabular.settings import ARCHITECTURES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TableModality(Modality):
    name, items = "tabular", "table rows"
    dataset_options = update_options = TableDatasetOptions
    dataset_view = TableDatasetView
    profile_view = TableProfileView
    object_files = {"rows": "rows.parquet", "profile": "profile.json"}
    content_formats = {
        "csv": "text/csv",
        "parquet": "application/vnd.apache.parquet",
        "ndjson": "application/x-ndjson",
        "arrow": "application/vnd.apache.arrow.stream",
    }
    dataset_links = ("schema", "rows")
    preview_formats = {"json": "application/json", "csv": "text/csv"}
    architectures = ARCHITECTURES
    training_options, training_spec = TableTrainingOptions, TableTrainingSpec
    hyperparameters = TabularHyperparameters
    plan_training = staticmethod(training_plan.plan_training)
    selection_options, sample_options = TableSelectionOptions, TableSampleOptions
    training_data_options = frozenset({"exclude_training_rows"})
    model_view, conditions_view = TableModelView, TableConditionsView
    sample_formats, file_formats = SAMPLE_FORMATS, FILE_FORMATS
    score_types = score_types.select(
        (
            "marginal_tvd",
            "pairwise_tvd",
            "relation_violation_rate",
            "unseen_pair_rate",
            "detection_auc",
            "detection_accuracy",
            "relation_detection_auc",
            "tstr_score",
            "global_utility",
            "label_tvd",
            "dcr_share",
            "exact_match_rate",
            "membership_inference_auc",
            "membership_inference_tpr_at_1pct_fpr",
            "unique_rate",
        )
    )
    default_samples = 24_000
    augmentation_options = RequestModel
    min_real_items = 2  # SMOTE interpolates between two rows of a label

    def detect(self, peek: Peek) -> float:
        return detect_table(peek.head, peek.name, list(peek.entries))

    def ingest(
        self, files: Sequence[SourceFile], options: Json, out: Path, on_wait: OnWait
    ) -> Json:
        return ingest.ingest(files, options, out, on_wait)

    def describe_dataset(self, summary: Json) -> Json:
        return {"table": summary}

    def read_labels(self, dataset: Dataset, storage: Storage) -> "NDArray[np.int32]":
        from modalities.tabular.labels import read_labels

        return read_labels(dataset, storage)

    def profile(self, dataset: Dataset, storage: Storage) -> Json:
        profile: Json = json.loads(storage.read(StoredObject.from_dict(dataset.objects["profile"])))
        return profile

    def preview(
        self, dataset: Dataset, storage: Storage, format: str, *, offset: int, limit: int
    ) -> bytes:
        from modalities.tabular.upload import preview

        return preview.preview(dataset, storage, format, offset, limit)

    def list_rows(
        self,
        dataset: Dataset,
        storage: Storage,
        *,
        where: Mapping[str, Any],
        order: str | None,
        offset: int,
        limit: int,
    ) -> tuple[list[Json], int]:
        from modalities.tabular import rows_query

        return rows_query.query_rows(
            dataset, storage, where=where, order=order, offset=offset, limit=limit
        )

    def export(
        self, dataset: Dataset, storage: Storage, split: Split, format: str, open_files: ExitStack
    ) -> Iterator[bytes]:
        from modalities.tabular import encode

        path = storage.open(StoredObject.from_dict(dataset.objects["rows"]))
        return encode.encode_dataset(open_files.enter_context(path), dataset.summary, format)

    def presets(self) -> Sequence[PresetSummary]:
        return training_plan.presets()

    def train(self, run: TrainingRun) -> None:
        from modalities.tabular import train

        train.train(run)

    def evaluate(self, evaluation: EvaluationInput) -> EvaluationOutput:
        from modalities.tabular.evaluate import evaluate

        return evaluate(evaluation)

    def augmentation_rules(self, summary: Json, options: RequestModel) -> AugmentationRules:
        from modalities.tabular.augmentation_rules import augmentation_rules

        return augmentation_rules(summary)

    def samples_fit(self, manifest: Json, summary: Json) -> bool:
        from modalities.tabular.augmentation_rules import samples_fit

        return samples_fit(manifest, summary)

    def holdout_split(
        self, labels: "NDArray[np.int32]", holdout_fraction: float, seed: int
    ) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
        from models.split import random_split

        return random_split(len(labels), holdout_fraction, seed)

    def open_augmenter(self, job: AugmentationInput) -> AbstractContextManager[Augmenter]:
        from modalities.tabular.augment import open_augmenter

        return open_augmenter(job)

    def preload(self) -> None:
        from modalities.tabular import sampler  # noqa: F401

    def plan_samples(
        self, manifest: Json, selection: Selection, options: TableSampleOptions, seed: int
    ) -> SamplingPlan:
        from modalities.tabular import request

        return request.plan_samples(manifest, selection, options, seed)

    def plan_selection(
        self, manifest: Json, selection: Selection, options: TableSelectionOptions, seed: int
    ) -> SelectionPlan:
        from modalities.tabular import request

        return request.plan_selection(manifest, selection, options, seed)

    def read_plan(self, manifest: Json, plan: Json, seed: int) -> SelectionPlan:
        from modalities.tabular import request

        return request.read_plan(manifest, plan, seed)

    def shard_size(self, manifest: Json) -> int:
        return 100_000

    def item_bytes(self, manifest: Json) -> int:
        return 8 * len(manifest["columns"])

    def load_sampler(self, path: Path, device: str = "cpu") -> Sampler:
        from modalities.tabular.sampler import TablePlanSampler

        return TablePlanSampler.load(path, device)

    def describe_networks(self, path: Path) -> Sequence[object]:
        from modalities.tabular import model_file

        return model_file.describe_networks(path)

    def check_import(self, manifest: Json, weights: Path) -> None:
        from modalities.tabular import model_file

        model_file.check_import(manifest, weights)

    def describe_model(self, manifest: Json) -> Json:
        return {
            "target_column": manifest.get("target_column"),
            "columns": [column["name"] for column in manifest["columns"]],
        }

    def describe_conditions(self, manifest: Json) -> Json:
        columns = [
            ColumnOption(
                name=column["name"],
                type=column["type"],
                nullable=column["nullable"],
                **{k: v for k, v in column["domain"].items() if k != "more"},
            )
            for column in manifest["columns"]
            if column["domain"] is not None
        ]
        return {
            "columns": columns,
            "constraints": manifest["training"]["hyperparameters"].get("constraints"),
            "relations": manifest.get("relations"),
        }


MODALITY = TableModality()
