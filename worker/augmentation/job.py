"""An augmentation job: a larger dataset, made once and kept, and then what it is worth.

What is done is named in the job's artifacts as it goes, so that another worker goes on from there.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sqlalchemy.orm import Session

from core import jobs, registry
from core.augmentation import REPORT, AugmentationSpec
from core.database import read, write
from core.datasets import ingestion
from core.datasets import life as datasets
from core.datasets.life import NewDataset
from core.datasets.rows import Schema
from core.datasets.rows.typed import typed_batches
from core.errors import JobError, SemblanceError
from core.ids import new_id
from core.settings import get_settings
from core.storage import DamagedObject, Storage, Stored, get_storage, key_of
from core.tables import Dataset, Job
from models.augmentation import lift, worth
from models.augmentation.lift import Lift, Trained
from worker.augmentation.images import ImageMaterial
from worker.augmentation.material import Ground, Material, Trial
from worker.augmentation.rows import RowMaterial
from worker.failure import PASSING
from worker.lease import Lease

MADE, TRAININGS = "made.json", "trainings.json"  # what a worker that comes after goes on from
RECIPES = {"recipes": "recipes.ndjson"}


def augment(job: Job, lease: Lease) -> "partial[None]":
    """Make the set, measure it if asked to, store the report; what is returned adds the dataset and
    ends the job within one transaction.

    Raises JobError, and whatever the lease raises when the job is to stop.
    """
    torch.set_num_threads(get_settings().training_threads)
    work = Work(job, lease, get_storage())
    with work.material() as material:
        lease.phase = "generating"
        made = work.kept(MADE) or work.make(material)
        report: dict[str, Any] = {"dataset": work.spec.dataset, "model": work.spec.reference}
        report |= {"seed": work.spec.seed, "labels": [x.model_dump() for x in work.spec.labels]}
        if work.spec.measure_lift:
            lease.phase = "evaluating"
            report |= work.measure(material)
    stored = work.store(REPORT, report)
    return partial(_finish, job, lease, work.spec, made, report, stored)


def _finish(
    job: Job,
    lease: Lease,
    spec: AugmentationSpec,
    made: dict[str, Any],
    report: dict[str, Any],
    stored: Stored,
    session: Session,
) -> None:
    _name(session, lease, REPORT, stored)
    content = {name: Stored.from_dict(fields) for name, fields in made["content"].items()}
    dataset = datasets.add_ready(
        session,
        job.tenant_id,
        new_id("ds"),
        NewDataset(name=spec.name, tags=job.tags, meta={}, kind=spec.kind),
        content=content,
        summary=made["summary"] | {"origin": _origin(job, spec)},
    )
    about = {"dataset": dataset.id, "items": spec.items, "made": spec.made, "report": REPORT}
    found = {name: report[name] for name in ("lift", "recommendation") if name in report}
    jobs.finish(session, lease.claim, result=about | found)


def _name(session: Session, lease: Lease, name: str, stored: Stored) -> None:
    media_type = "application/json"
    jobs.add_artifact(
        session, lease.claim, name=name, stored=stored, media_type=media_type, step=None
    )


def _origin(job: Job, spec: AugmentationSpec) -> dict[str, Any]:
    counts = {
        "real": sum(label.have for label in spec.labels) if spec.include_real else 0,
        "classical": sum(label.classical for label in spec.labels),
        "gan": sum(label.gan for label in spec.labels),
    }
    return {"job": job.id, "dataset": spec.dataset, "model": spec.model, "items": counts}


class Work:
    def __init__(self, job: Job, lease: Lease, storage: Storage) -> None:
        """Raises JobError when the dataset is gone."""
        self.spec = AugmentationSpec.model_validate(job.resolved_config)
        self._job, self._lease, self._storage = job, lease, storage
        with read() as session:
            if job.dataset_id is None:
                raise JobError("dataset_unreadable", "the dataset was deleted")
            self._dataset = datasets.get_ready(session, job.tenant_id, job.dataset_id)
            self._model = (
                registry.get(session, job.tenant_id, self.spec.model) if self.spec.model else None
            )

    def go_on(self) -> None:
        """Raises LeaseLost, and what the lease says when the work is to stop."""
        self._lease.check()
        if self._lease.stopping:
            raise self._lease.stopping
        self._lease.step += 1

    @contextmanager
    def material(self) -> Iterator[Material]:
        """The dataset opened, for as long as it is worked with."""
        storage, content = self._storage, self._dataset.content
        try:
            ground = Ground.of(self._dataset, self._model, self.spec, storage, self.go_on)
            if self.spec.kind == "rows":
                yield RowMaterial(ground, _table(self._dataset, storage))
                return
            x, y = (Stored.from_dict(content[name]) for name in ("x", "y"))
            with storage.open(x) as pixels, storage.open(y) as labels:
                yield ImageMaterial(
                    ground,
                    np.load(pixels, mmap_mode="r", allow_pickle=False),
                    np.load(labels, allow_pickle=False),
                )
        except DamagedObject as error:
            raise JobError("dataset_unreadable", f"{error}; upload the dataset again") from error

    def make(self, material: Material) -> dict[str, Any]:
        """The objects of the new dataset, stored under this claim, and its summary."""
        objects = ingestion.OBJECTS[self.spec.kind] | RECIPES
        with ingestion.working_folder() as folder:
            try:
                summary = material.write(folder)
            except SemblanceError as error:
                if isinstance(error, PASSING):
                    raise
                raise JobError("internal", f"the new set cannot be kept: {error.detail}") from error
            content = {
                name: self._storage.put_file(self._key(file), folder / file).to_dict()
                for name, file in objects.items()
            }
        made = {"content": content, "summary": summary}
        self.keep(MADE, made)
        return made

    def measure(self, material: Material) -> dict[str, Any]:
        """Trainings until there are enough, or no time is left."""
        trial = material.trial()
        kept = self.kept(TRAININGS) or {"trainings": [], "cpu_s": 0.0}
        began: float = self._lease.usage.so_far()["cpu_s"] - kept["cpu_s"]

        def used() -> float:
            return self._lease.usage.so_far()["cpu_s"] - began

        def save(done: Sequence[Trained]) -> None:
            share = min(1.0, used() / self.spec.measure_cpu_seconds)
            self._lease.progress = {"percent": round(100 * share, 1)}
            told = [one.to_dict() for one in done]
            self.keep(TRAININGS, {"trainings": told, "cpu_s": round(used(), 2)})

        done = lift.run(
            trial.pool.sets,
            trial.pool.labels,
            trial.learn,
            seed=self.spec.seed,
            done=[Trained.from_dict(one, len(trial.truth)) for one in kept["trainings"]],
            has_time=lambda: used() < self.spec.measure_cpu_seconds,
            save=save,
        )
        return self._told(trial, done) | {"cpu_s": round(used(), 2)}

    def _told(self, trial: Trial, done: Sequence[Trained]) -> dict[str, Any]:
        rounds, with_parts = lift.rounds_of(done, len(trial.pool.sets))
        if rounds < lift.LEAST_ROUNDS:
            why = f"whole rounds done in time: {rounds}, and {lift.LEAST_ROUNDS} are needed"
            reason = f"{why}; raise `measure_cpu_seconds`"
            return {"lift": None, "worth": None, "recommendation": {"use": None, "reason": reason}}
        found = Lift.of(done, rounds, trial.truth)
        use = lift.recommended(found)
        return {
            "lift": found.to_dict([label.name for label in self.spec.labels]),
            "worth": worth.worth(done, with_parts, trial.truth, self.spec.seed)
            if with_parts >= lift.LEAST_ROUNDS
            else None,
            "recommendation": {"use": use.use, "reason": use.reason},
        }

    def kept(self, name: str) -> dict[str, Any] | None:
        """What an earlier claim has left, if it is whole."""
        with read() as session:
            artifact = jobs.artifact(session, self._job.tenant_id, self._job.id, name)
        if artifact is None:
            return None
        try:
            stored = Stored(artifact.key, artifact.bytes, artifact.sha256)
            found: dict[str, Any] = json.loads(self._storage.read(stored))
        except DamagedObject:
            return None
        return found

    def keep(self, name: str, value: dict[str, Any]) -> None:
        """Raises LeaseLost."""
        stored = self.store(name, value)
        with write() as session:
            _name(session, self._lease, name, stored)

    def store(self, name: str, value: dict[str, Any]) -> Stored:
        return self._storage.put(self._key(name), json.dumps(value, ensure_ascii=False).encode())

    def _key(self, file: str) -> str:
        return key_of(self._job.tenant_id, "jobs", self._job.id, str(self._lease.claim.token), file)


def _table(dataset: Dataset, storage: Storage) -> pa.Table:
    columns = Schema.from_dict(dataset.summary).columns
    with storage.open(Stored.from_dict(dataset.content["rows"])) as path:
        return pa.Table.from_batches(list(typed_batches(path, columns)))
