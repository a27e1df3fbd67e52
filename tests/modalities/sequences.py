"""A third kind of data, in one module: short sequences of digits with labels, such as `up,1,2,5`.

A model remembers which digits each label has at each position.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from core.datasets.peek import Peek
from core.datasets.sandbox import run_in_sandbox
from core.datasets.source import SourceFile
from core.errors import DatasetUnreadable
from core.storage import Storage, StoredObject
from core.tables import Dataset
from core.training import Budget, TrainingSpec
from modalities import stored_samplers
from modalities.base import Json, Modality, OnWait
from modalities.evaluation import EvaluationInput, EvaluationOutput
from modalities.sampling import IMPORT_TIMEOUT_S, Sampler, SelectionPlan, WeightsFile
from modalities.selection import Selection, check_selection, count_labels
from modalities.training import ResolvedTraining, TrainingChoices, TrainingRun
from modalities.turns import Turns, Unshared
from models.metrics.score_types import ScoreType
from models.metrics.scores import Estimate, Score
from models.training_callbacks import PackedCheckpoint

FORMATS = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
Row = list[str]  # the label, then the digits


class Upload(BaseModel):
    files: list[SourceFile]
    out: Path


def read(upload: Upload) -> Json:
    """Read the files, in the sandbox process; return the summary of the dataset."""
    rows = [row for file in upload.files for row in parse(file.path.read_bytes())]
    if not all("".join(row[1:]).isdecimal() for row in rows):
        raise DatasetUnreadable("Each line must be a label and digits, separated by commas.")
    (upload.out / "rows.csv").write_bytes(content := to_csv(rows))
    counts = Counter(row[0] for row in rows)
    labels = [{"name": name, "count": n, "test_count": 0} for name, n in counts.items()]
    summary = {"labels": labels, "n_train": len(rows), "n_test": 0, "unlabeled": 0, "format": "csv"}
    return {**summary, "sha256": hashlib.sha256(content).hexdigest(), "issues": [], "notes": []}


def check(weights: WeightsFile) -> Json:
    """Load imported weights, in the sandbox process."""
    try:
        SequenceSampler(weights.path)
    except ValueError as error:
        raise DatasetUnreadable("The file is not a model of sequences.") from error
    return {}


def parse(content: bytes) -> list[Row]:
    return [line.split(",") for line in content.decode().splitlines()]


def to_csv(rows: Iterable[Row]) -> bytes:
    return "".join(f"{','.join(row)}\n" for row in rows).encode()


def to_ndjson(rows: Iterable[Row]) -> bytes:
    items = ({"label": label, "digits": digits} for label, *digits in rows)
    return "".join(f"{json.dumps(item)}\n" for item in items).encode()


def load(dataset: Dataset, storage: Storage) -> bytes:
    return storage.read(StoredObject.from_dict(dataset.objects["rows"]))


def load_split(dataset: Dataset, storage: Storage, spec: TrainingSpec) -> tuple[list[Row], ...]:
    """Return the holdout rows and the training rows."""
    rows = parse(load(dataset, storage))
    holdout = round(spec.holdout_fraction * len(rows))
    return rows[:holdout], rows[holdout:]


class SequenceBatch(list[Row]):
    acceptance_rate = None


@dataclass(frozen=True)
class SequencePlan(SelectionPlan):
    items: Sequence[tuple[str, int]]  # label and index
    seed: int

    formats = FORMATS

    @property
    def count(self) -> int:
        return len(self.items)

    def encode(self, format: str, batches: Iterator[Any], head: Json) -> Iterator[bytes]:
        return map(to_csv if format == "csv" else to_ndjson, batches)

    def slice(self, start: int, stop: int) -> "SequencePlan":
        return replace(self, items=self.items[start:stop])

    def to_dict(self) -> Json:
        return asdict(self)

    def count_labels(self, batch: SequenceBatch) -> Counter[str]:
        return Counter(row[0] for row in batch)


class SequenceSampler(Sampler):
    def __init__(self, path: Path) -> None:
        self._digits = json.loads(path.read_bytes())  # by label and position

    bytes = 1_000

    def draw(self, plan: SequencePlan, turns: Turns) -> Iterator[SequenceBatch]:
        for label, index in plan.items:
            rng = np.random.default_rng([plan.seed, index, *label.encode()])
            with turns.take():
                digits = [str(rng.choice(list(seen))) for seen in self._digits[label]]
            yield SequenceBatch([[label, *digits]])


class Sequences(Modality):
    name, items = "sequence", "sequences"
    object_files = {"rows": "rows.csv"}
    content_formats = preview_formats = {"csv": "text/csv"}
    sample_formats = file_formats = FORMATS
    score_types = {"real_rate": ScoreType("Share of samples that are real ones.", "higher")}
    default_samples = 1_000

    def detect(self, peek: Peek) -> float:
        return float(peek.name.endswith(".seq"))

    def ingest(
        self, files: Sequence[SourceFile], options: Json, out: Path, on_wait: OnWait
    ) -> Json:
        upload = Upload(files=list(files), out=out)
        return run_in_sandbox("tests.modalities.sequences:read", upload, 60, on_wait)

    def preview(self, dataset: Dataset, storage: Storage, format: str, **_page: int) -> bytes:
        return load(dataset, storage)

    def export(self, dataset: Dataset, storage: Storage, *_options: object) -> Iterator[bytes]:
        yield load(dataset, storage)

    def plan_training(
        self, session: Any, dataset: Dataset, choices: TrainingChoices, options: Any
    ) -> ResolvedTraining:
        return ResolvedTraining(True, choices.budget or Budget(steps=100), {}, batch_size=1)

    def train(self, run: TrainingRun) -> None:
        _, rows = load_split(run.dataset, run.storage, run.spec)
        labels = Counter(row[0] for row in rows)
        run.start({"labels": [{"name": name, "count": n} for name, n in labels.items()]})
        step, seen = json.loads(run.state.read_bytes()) if run.state else (0, {})
        while run.progress(step) < 1:
            if run.should_checkpoint(step):
                run.save(step, pack(step, seen))
            label, *digits = rows[step % len(rows)]
            before = seen.get(label, [""] * len(digits))
            seen[label] = [old + new for old, new in zip(before, digits, strict=True)]
            step += 1
        run.save(step, pack(step, seen))

    def plan_selection(
        self, manifest: Json, selection: Selection, options: Any, seed: int
    ) -> SequencePlan:
        check_selection(selection)
        names = [label["name"] for label in manifest["labels"]]
        if selection.labels is None:  # the labels take turns
            stop = selection.offset + (selection.count or 0)
            items = [(names[k % len(names)], k) for k in range(selection.offset, stop)]
        else:
            counts = count_labels(manifest, selection.labels)
            items = [(name, selection.offset + k) for name, n in counts.items() for k in range(n)]
        return SequencePlan(items, seed)

    def read_plan(self, manifest: Json, plan: Json, seed: int) -> SequencePlan:
        return SequencePlan(plan["items"], seed)

    def load_sampler(self, path: Path, device: str = "cpu") -> SequenceSampler:
        return SequenceSampler(path)

    def check_import(self, manifest: Json, weights: Path) -> None:
        argument = WeightsFile(path=weights)
        run_in_sandbox("tests.modalities.sequences:check", argument, IMPORT_TIMEOUT_S)

    def evaluate(self, evaluation: EvaluationInput) -> EvaluationOutput:
        dataset, storage = evaluation.dataset, evaluation.storage
        holdout, _ = load_split(dataset, storage, evaluation.training_spec)
        sampler = stored_samplers.load(evaluation.model, storage, self.load_sampler)
        selection = Selection(count=evaluation.samples)
        plan = self.plan_selection(evaluation.model.manifest, selection, None, evaluation.seed)
        is_real = []
        for batch in sampler.draw(plan, Unshared()):
            evaluation.check_stop()
            is_real += [float(row in holdout) for row in batch]
        rate = Estimate.from_items(np.array(is_real))
        return EvaluationOutput(
            [Score("real_rate", rate.value, rate.ci95, "higher")], len(holdout), {}
        )


def pack(step: int, seen: Json) -> PackedCheckpoint:
    model = json.dumps(seen).encode()
    return PackedCheckpoint(json.dumps([step, seen]).encode(), model, parameters=len(seen))


MODALITY = Sequences()
