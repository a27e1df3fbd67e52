"""A training job: the dataset in, checkpoints and previews on the way, a model at the end."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core import jobs, model_registry
from core.database import read, write
from core.datasets import repository as datasets
from core.datasets.images.writing import encode_png
from core.errors import JobError
from core.jobs import NewCheckpoint, NewEvent
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, get_storage, key_of
from core.tables import Checkpoint, Dataset, Job, Model
from core.training import DifferentialPrivacy, TrainingSpec
from models.checkpoint import NonFiniteState
from models.images.architectures import settings_from_dict
from models.images.training import InitFrom
from models.images.training import train as train_images
from models.tabular import dp_domains, dp_training
from models.tabular.data import LabeledRows
from models.tabular.dp_accountant import AccountantMissing, PrivacyBudget, PrivacyBudgetUnreachable
from models.tabular.schema import UnsupportedColumn
from models.tabular.settings import TableSettings
from models.tabular.training import train as train_rows
from models.training_callbacks import Collapsed, NonFiniteLoss, NotLearning, PackedCheckpoint
from worker import collapse_check
from worker.lease import Lease
from worker.resource_usage import cpu_seconds
from worker.training_data import (
    declared_manifest,
    image_manifest,
    open_images,
    open_table,
    table_manifest,
)

log = logging.getLogger(__name__)

MIN_IMPROVEMENT = 0.05  # more than chance does to a score of 500 held-out items
PREVIEWS_PER_RUN = 20  # pictures of a run, at equal shares of the budget


def train(job: Job, lease: Lease) -> Checkpoint:
    """The checkpoint that the run ended with, to make a model of.

    Raises JobError, and whatever the lease raises when the job is to stop.
    """
    spec = TrainingSpec.model_validate(job.resolved)
    torch.set_num_threads(get_settings().training_threads)
    with read() as session:
        if job.dataset_id is None:
            raise JobError("dataset_unreadable", "the dataset was deleted")
        dataset = datasets.get_ready(session, job.tenant_id, job.dataset_id)
    storage = get_storage()
    with open_latest_checkpoint(job, storage) as saved:
        run = JobTrainingCallbacks(job, lease, spec, storage, saved)
        try:
            TRAINING_LOOPS[spec.modality](dataset, run, saved.path if saved else None)
        except (NonFiniteLoss, NonFiniteState) as error:
            raise JobError(
                "non_finite_loss",
                f"the training left the finite numbers ({error}); lower the rates",
            ) from error
        except Collapsed as error:
            raise JobError("collapsed", str(error)) from error
        except NotLearning as error:
            raise JobError("not_learning", str(error)) from error
        except UnsupportedColumn as error:
            raise JobError("dataset_unreadable", f"{error}; change its schema") from error
    return run.select_checkpoint()


def run_image_training(
    dataset: Dataset, callbacks: "JobTrainingCallbacks", state: Path | None
) -> None:
    spec = callbacks.spec
    callbacks.manifest = build_manifest(dataset, spec, image_manifest(dataset, spec))
    with open_images(dataset, spec, callbacks.storage) as images:
        callbacks.start()
        with open_init_checkpoint(spec, callbacks, state) as warm_start:
            train_images(
                images,
                settings_from_dict(spec.hyperparameters),
                callbacks,
                seed=spec.seed,
                state=state,
                init_from=warm_start,
                patience=spec.patience,
            )


@contextmanager
def open_init_checkpoint(
    spec: TrainingSpec, callbacks: "JobTrainingCallbacks", state: Path | None
) -> Iterator[InitFrom | None]:
    """The networks of another model, unless the run has a state of its own already."""
    wanted = spec.init_from
    if wanted is None or state is not None:
        yield None
        return
    with read() as session:
        model = session.get(Model, wanted.model)
        checkpoint = model_registry.checkpoint_of(session, model) if model is not None else None
    if checkpoint is None:
        raise JobError("dataset_unreadable", "the model to start from was deleted")
    try:
        with callbacks.storage.open(StoredObject.from_dict(checkpoint.files["state"])) as path:
            yield InitFrom(path, wanted.label_map)
    except ObjectCorrupted as error:
        raise JobError("dataset_unreadable", f"the model to start from: {error}") from error


def run_tabular_training(
    dataset: Dataset, callbacks: "JobTrainingCallbacks", state: Path | None
) -> None:
    spec = callbacks.spec
    with open_table(dataset, spec, callbacks.storage) as rows:
        if spec.differential_privacy is not None:
            run_private_training(dataset, rows, spec.differential_privacy, callbacks, state)
            return
        callbacks.manifest = build_manifest(
            dataset, spec, table_manifest(rows, spec.hyperparameters["min_value_count"])
        )
        callbacks.start()
        settings = TableSettings.from_dict(spec.hyperparameters)
        train_rows(rows, settings, callbacks, seed=spec.seed, state=state)
        collapse_check.check_table_collapse(callbacks.select_checkpoint(), rows, callbacks.storage)


def run_private_training(
    dataset: Dataset,
    rows: LabeledRows,
    privacy: DifferentialPrivacy,
    callbacks: "JobTrainingCallbacks",
    state: Path | None,
) -> None:
    """`rows` go to the loop alone: all that is said of the model is what was declared."""
    spec = callbacks.spec
    types = {column.name: column.type for column in rows.schema if column.in_samples}
    domains = dp_domains.parse_domains(privacy.column_domains, types)
    callbacks.manifest = build_manifest(
        dataset, spec, declared_manifest(domains, rows.target_column)
    )
    del callbacks.manifest["dataset"]["sha256"]  # tells tables from each other
    if state is None and callbacks.has_checkpoints():
        raise JobError("dp_guarantee_lost", "its checkpoints are damaged, and noise added anew")
    assert spec.budget.steps is not None  # noqa: S101 - the API has looked
    callbacks.start()
    try:
        dp_training.train(
            rows,
            domains,
            TableSettings.from_dict(spec.hyperparameters),
            PrivacyBudget(privacy.epsilon, privacy.delta, spec.budget.steps),
            callbacks,
            seed=spec.seed,
            state=state,
        )
    except AccountantMissing as error:
        raise JobError(
            "dp_guarantee_lost", "what adds up epsilon is not installed: the extra `dp`"
        ) from error
    except PrivacyBudgetUnreachable as error:
        raise JobError("dp_guarantee_lost", "no noise keeps to an epsilon this small") from error


TRAINING_LOOPS = {"image": run_image_training, "tabular": run_tabular_training}


@dataclass(frozen=True)
class ResumePoint:
    """Where a run goes on, and how much of its budget was used until there."""

    path: Path
    cpu_s: float
    wall_s: float


@contextmanager
def open_latest_checkpoint(job: Job, storage: Storage) -> Iterator[ResumePoint | None]:
    """The newest checkpoint whose bytes are what was saved; None to begin at the beginning."""
    with read() as session:
        checkpoints = jobs.checkpoints_of(session, job.tenant_id, job.id)
    with ExitStack() as stack:
        for checkpoint in checkpoints:
            about = {"job_id": job.id, "step": checkpoint.step}
            try:
                path = stack.enter_context(
                    storage.open(StoredObject.from_dict(checkpoint.files["state"]))
                )
            except ObjectCorrupted:
                log.warning("damaged checkpoint; trying the one before", extra=about)
                continue
            log.info("going on from a checkpoint", extra=about)
            yield ResumePoint(path, checkpoint.metrics["cpu_s"], checkpoint.metrics["wall_s"])
            return
        yield None


def build_manifest(
    dataset: Dataset, spec: TrainingSpec, contents: dict[str, Any]
) -> dict[str, Any]:
    """What sampling needs to know of a model without reading its weights."""
    return {
        "modality": spec.modality,
        **contents,
        "training": spec.model_dump(mode="json", exclude_none=True),
        "dataset": {"id": dataset.id, "name": dataset.name, "sha256": dataset.summary["sha256"]},
        "code": {"semblance": version("semblance-server"), "torch": torch.__version__},
    }


class JobTrainingCallbacks:
    """The loop's way out: progress to the lease, files to the store, names to the table."""

    def __init__(
        self,
        job: Job,
        lease: Lease,
        spec: TrainingSpec,
        storage: Storage,
        resume_point: ResumePoint | None,
    ) -> None:
        self.spec, self.storage = spec, storage
        self.manifest: dict[str, Any] = {}
        self._lease = lease
        self._started = time.monotonic() - (resume_point.wall_s if resume_point else 0.0)
        self._cpu_started = cpu_seconds() - (resume_point.cpu_s if resume_point else 0.0)
        self._attempt_start: tuple[float, int] | None = (
            None  # when and at which step this attempt began
        )
        self._saved_at, self._saved_step = time.monotonic(), -1
        self._previews = -1
        self._tenant_id, self._job_id = job.tenant_id, job.id
        self._folder = (job.tenant_id, "jobs", job.id, str(lease.claim.fencing_token))
        self.last_checkpoint: Checkpoint | None = None

    def start(self) -> None:
        self._lease.phase = "training"

    def progress(self, step: int) -> float:
        self._lease.check()
        if self._attempt_start is None:
            self._attempt_start, self._saved_step = (time.monotonic(), step), step
        if self._lease.stopping and self._saved_step == step:
            raise self._lease.stopping  # nothing new to save
        fraction = self._fraction(step)
        self._record_progress(step, fraction, *self._attempt_start)
        return fraction

    def _fraction(self, step: int) -> float:
        cpu_s, wall_s = self._used()
        return self.spec.budget.fraction(step=step, cpu_s=cpu_s, wall_s=wall_s)

    def _used(self) -> tuple[float, float]:
        return cpu_seconds() - self._cpu_started, time.monotonic() - self._started

    def _record_progress(self, step: int, fraction: float, since: float, first: int) -> None:
        elapsed = time.monotonic() - since
        rate = (step - first) / elapsed if elapsed > 0 else 0.0
        steps = self.spec.budget.steps or (round(step / fraction) if fraction > 0.01 else None)
        self._lease.step = step
        self._lease.progress = {
            "percent": round(100 * fraction, 1),
            "steps": steps,
            "rate": round(rate, 2),
            "eta_s": round(max(0, steps - step) / rate, 1) if steps and rate else None,
        }

    def should_checkpoint(self, step: int) -> bool:
        if step in (0, self._saved_step):
            return False
        if self._lease.stopping:
            return True
        every = self.spec.checkpoint.interval_steps
        if every == "auto":
            return time.monotonic() - self._saved_at >= get_settings().checkpoint_seconds
        return step % every == 0

    def should_preview(self, step: int) -> bool:
        due = int(self._fraction(step) * PREVIEWS_PER_RUN)
        wanted, self._previews = due > self._previews, max(due, self._previews)
        return wanted

    def report(self, step: int, metrics: dict[str, float]) -> None:
        rounded = {name: float(f"{value:.6g}") for name, value in metrics.items()}
        self._lease.record(NewEvent("metrics", rounded, step))
        self._lease.record(NewEvent("log", {"message": format_log_line(step, metrics)}, step))

    def warn(self, step: int, message: str) -> None:
        self._lease.record(NewEvent("log", {"message": message}, step, level="warning"))

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None:
        """Files first, each under a name of this claim alone; then, fenced, the row.

        Raises what the lease says when the job is to stop: what was saved stands.
        """
        files = {
            name: self.storage.put(key_of(*self._folder, f"{name}-{step}.safetensors"), data)
            for name, data in (("state", checkpoint.state), ("model", checkpoint.model))
        }
        cpu_s, wall_s = self._used()
        used = {"cpu_s": round(cpu_s, 3), "wall_s": round(wall_s, 3)}
        self._lease.send_heartbeat()
        with write() as session:
            manifest = self.manifest | {"parameters": checkpoint.parameters}
            new = NewCheckpoint(step, files, manifest, used, score=checkpoint.score)
            self.last_checkpoint = jobs.add_checkpoint(session, self._lease.claim, new)
            dropped = jobs.drop_checkpoints(
                session, self._lease.claim, keep_last=self.spec.checkpoint.keep_last
            )
        self.storage.delete(dropped)
        self._saved_at, self._saved_step = time.monotonic(), step
        if self._lease.stopping:
            raise self._lease.stopping

    def has_checkpoints(self) -> bool:
        """Whether this attempt or one before it has."""
        with read() as session:
            return bool(jobs.checkpoints_of(session, self._tenant_id, self._job_id))

    def select_checkpoint(self) -> Checkpoint:
        """The last checkpoint, unless the samples of an earlier one were clearly better."""
        assert self.last_checkpoint is not None  # noqa: S101 - every run ends with a save
        with read() as session:
            kept = jobs.checkpoints_of(session, self._tenant_id, self.last_checkpoint.job_id)
        scored = [checkpoint for checkpoint in kept if checkpoint.score is not None]
        best = max(
            scored, key=lambda checkpoint: checkpoint.score or 0, default=self.last_checkpoint
        )
        if (best.score or 0) <= (self.last_checkpoint.score or 0) + MIN_IMPROVEMENT:
            return self.last_checkpoint
        self.warn(
            self.last_checkpoint.step,
            f"the model is that of step {best.step}, whose score is {best.score:.3f}; "
            f"at the end it is {self.last_checkpoint.score or 0:.3f}",
        )
        return best

    def preview(self, step: int, grid: NDArray[np.uint8]) -> None:
        stored = self.storage.put(key_of(*self._folder, f"preview-{step}.png"), encode_png(grid))
        with write() as session:
            jobs.add_artifact(
                session,
                self._lease.claim,
                name=f"previews/{step}.png",
                stored=stored,
                media_type="image/png",
                step=step,
            )


def format_log_line(step: int, metrics: dict[str, float]) -> str:
    """`step [D loss, accuracy real, fake] [G loss]`, as the textbooks print it."""
    shown = {name: f"{value:.3f}" for name, value in metrics.items()}
    d = ", ".join(
        shown.get(name, "-")
        for name in ("critic_loss", "critic_accuracy_real", "critic_accuracy_fake")
    )
    return f"{step} [D {d}] [G {shown.get('generator_loss', '-')}]"
