"""A third kind of data, in one module: short sequences of digits with labels, such as `up,1,2,5`.

A model remembers which digits each label has at each position.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets.peek import Peek
from core.errors import DatasetUnreadable
from core.storage import Storage, StoredObject
from core.tables import Dataset
from core.training import Budget, TrainingSpec
from modalities.base import Json, Modality
from modalities.evaluation import EvaluationInput, EvaluationOutput
from modalities.label_plan import LabeledBatch, LabelPlan, LabelSelection
from modalities.sampling import Sampler
from modalities.sandboxed import SandboxedFiles, Upload
from modalities.training import ResolvedTraining, TrainingChoices, TrainingRun
from modalities.turns import Turns
from models.metrics import verdict_rules
from models.metrics.score_types import ScoreType
from models.metrics.scores import Estimate, Score
from models.training_callbacks import PackedCheckpoint

Row = list[str]  # the label, then the digits


def parse(content: bytes) -> list[Row]:
    return [line.split(",") for line in content.decode().splitlines()]


def to_csv(rows: Iterable[Row]) -> bytes:
    return "".join(f"{','.join(row)}\n" for row in rows).encode()


def to_ndjson(rows: Iterable[Row]) -> bytes:
    items = ({"label": label, "digits": digits} for label, *digits in rows)
    return "".join(f"{json.dumps(item)}\n" for item in items).encode()


def load_split(dataset: Dataset, storage: Storage, spec: TrainingSpec) -> tuple[list[Row], ...]:
    """Return the holdout rows and the training rows."""
    rows = parse(storage.read(StoredObject.from_dict(dataset.objects["rows"])))
    holdout = round(spec.holdout_fraction * len(rows))
    return rows[:holdout], rows[holdout:]


class SequencePlan(LabelPlan):
    formats = {"csv": "text/csv", "ndjson": "application/x-ndjson"}

    def encode(self, format: str, batches: Iterator[Any], head: Json) -> Iterator[bytes]:
        return map(to_csv if format == "csv" else to_ndjson, (batch.items for batch in batches))


class SequenceSampler(Sampler):
    bytes = 1_000

    def __init__(self, path: Path, device: str = "cpu") -> None:
        del device  # nothing is computed
        self._digits = json.loads(path.read_bytes())  # by label and position

    def draw(self, plan: SequencePlan, turns: Turns) -> Iterator[LabeledBatch]:
        for labels, indices in plan.indices.batches(100):
            rows = []
            for label, index in zip(labels.tolist(), indices.tolist(), strict=True):
                rng = np.random.default_rng([plan.indices.seed, index, label])
                name = plan.label_names[label]
                rows.append([name, *(str(rng.choice(list(seen))) for seen in self._digits[name])])
            yield LabeledBatch(labels, rows)


class Sequences(SandboxedFiles, LabelSelection, Modality):
    name, items = "sequence", "sequences"
    object_files = {"rows": "rows.csv"}
    content_formats = preview_formats = {"csv": "text/csv"}
    sample_formats = file_formats = SequencePlan.formats
    plan_class, load_sampler = SequencePlan, SequenceSampler
    score_types = {
        "real_rate": ScoreType(
            "Share of samples that are real ones.", "higher", rules=(verdict_rules.LOW_UTILITY,)
        )
    }
    default_samples = 1_000

    def detect(self, peek: Peek) -> float:
        return float(peek.name.endswith(".seq"))

    def read(self, upload: Upload) -> Json:
        rows = [row for file in upload.files for row in parse(file.path.read_bytes())]
        if not all("".join(row[1:]).isdecimal() for row in rows):
            raise DatasetUnreadable("Each line must be a label and digits, separated by commas.")
        (upload.out / "rows.csv").write_bytes(content := to_csv(rows))
        counts = Counter(row[0] for row in rows)
        labels = [{"name": name, "count": n, "test_count": 0} for name, n in counts.items()]
        sha256 = hashlib.sha256(content).hexdigest()
        return {"labels": labels, "n_train": len(rows), "format": "csv", "sha256": sha256}

    def preview(self, dataset: Dataset, storage: Storage, format: str, **_page: int) -> bytes:
        return storage.read(StoredObject.from_dict(dataset.objects["rows"]))

    def export(self, dataset: Dataset, storage: Storage, *_options: object) -> Iterator[bytes]:
        yield self.preview(dataset, storage, "csv")

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

    def evaluate(self, evaluation: EvaluationInput) -> EvaluationOutput:
        holdout, _ = load_split(evaluation.dataset, evaluation.storage, evaluation.training_spec)
        rows = [row for batch in evaluation.generate() for row in batch.items]
        rate = Estimate.from_items(np.array([float(row in holdout) for row in rows]))
        score = Score("real_rate", rate.value, rate.ci95, "higher")
        return EvaluationOutput([score], len(holdout), {})


def pack(step: int, seen: Json) -> PackedCheckpoint:
    model = json.dumps(seen).encode()
    return PackedCheckpoint(json.dumps([step, seen]).encode(), model, parameters=len(seen))


MODALITY = Sequences()
