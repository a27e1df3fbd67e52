"""Training job: train a model on a dataset, and store checkpoints and previews."""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from core import jobs, model_registry, tracing
from core.database import read, transact
from core.datasets import repository as datasets
from core.errors import JobError
from core.jobs import NewCheckpoint, NewEvent
from core.settings import get_settings
from core.storage import ObjectCorrupted, Storage, StoredObject, get_storage
from core.tables import Checkpoint, Dataset, Job
from core.training import TrainingSpec
from job_kinds import process_device
from job_kinds.base import Finish
from job_kinds.evaluation.plan import enqueue as enqueue_evaluation
from job_kinds.lease import Lease
from job_kinds.request import WarningView
from job_kinds.resource_usage import TimeUsed, read_process_time
from job_kinds.training.budget_clock import BudgetClock
from modalities import registry
from modalities.image.encode import encode_png
from models.checkpoint import NonFiniteState
from models.training_callbacks import Collapsed, NonFiniteLoss, NotLearning, PackedCheckpoint

log = logging.getLogger(__name__)

MIN_IMPROVEMENT = 0.05  # exceeds the sampling noise of a score of 500 held-out items
PREVIEWS_PER_RUN = 20  # sample grids, at equal fractions of the budget


def run(job: Job, lease: Lease) -> Finish:
    """Run the training.

    Returns:
        A function that creates the model and finishes the job, in one transaction.

    Raises:
        JobError: The training failed.
        LeaseLost, JobCancelled, JobPaused, WorkerStopping: See `Lease`.
    """
    checkpoint = train(job, lease)

    def finish(session: Session) -> None:
        # A client may have promoted the checkpoint to a model already.
        model = model_registry.find_by_checkpoint(session, job, checkpoint)
        model = model or model_registry.create_version(session, job, checkpoint)
        jobs.drop_states(session, lease.claim, model_step=checkpoint.step)
        jobs.finish(session, lease.claim, result={"step": checkpoint.step}, model=model)
        if job.resolved.get("evaluate"):
            enqueue_evaluation(session, job, model)

    return finish


def train(job: Job, lease: Lease) -> Checkpoint:
    """Run the training and return the checkpoint to create a model from."""
    modality, device = registry.get(job.resolved["modality"]), process_device.require()
    torch.set_num_threads(get_settings().training_threads)
    with read() as session:
        dataset = datasets.get_of_job(session, job)
    spec = modality.training_spec.model_validate(job.resolved)
    storage = get_storage()
    with open_latest_checkpoint(job, storage) as resume_point:
        training = RunningTraining(job, lease, spec, dataset, storage, resume_point, device)
        try:
            modality.train(training)
        except (NonFiniteLoss, NonFiniteState) as error:
            raise JobError(
                "non_finite_loss",
                f"Training diverged: {error} is not finite. Reduce the learning rates.",
            ) from error
        except Collapsed as error:
            raise JobError("collapsed", str(error)) from error
        except NotLearning as error:
            raise JobError("not_learning", str(error)) from error
    return training.select_checkpoint()


@dataclass(frozen=True)
class ResumePoint:
    """Checkpoint that a run resumes from, and the budget used up to it."""

    path: Path
    used: TimeUsed


@contextmanager
def open_latest_checkpoint(job: Job, storage: Storage) -> Iterator[ResumePoint | None]:
    """Open the newest undamaged checkpoint; yield None if there is none."""
    with read() as session:
        checkpoints = jobs.checkpoints_of(session, job.tenant_id, job.id)
    with ExitStack() as stack:
        for checkpoint in checkpoints:
            log_fields = {"job_id": job.id, "step": checkpoint.step}
            try:
                path = stack.enter_context(
                    storage.open(StoredObject.from_dict(checkpoint.files["state"]))
                )
            except ObjectCorrupted:
                log.warning("checkpoint damaged; trying the previous one", extra=log_fields)
                continue
            log.info("resuming from a checkpoint", extra=log_fields)
            yield ResumePoint(path, TimeUsed.from_dict(checkpoint.metrics))
            return
        yield None


class RunningTraining:
    """Implementation of modalities.training.TrainingRun: report progress, store checkpoints."""

    def __init__(
        self,
        job: Job,
        lease: Lease,
        spec: TrainingSpec,
        dataset: Dataset,
        storage: Storage,
        resume_point: ResumePoint | None,
        device: str,
    ) -> None:
        self.spec, self.dataset, self.storage, self.device = spec, dataset, storage, device
        self.state = resume_point.path if resume_point else None
        self.records_steps = get_settings().cuda_graphs
        self._manifest: dict[str, Any] = {}
        self._lease = lease
        self._clock = BudgetClock(
            resume_point.used if resume_point else TimeUsed(),
            partial(read_process_time, process_device.kind()),
        )
        self._attempt_start: tuple[float, int] | None = None  # time and step
        self._saved_at, self._saved_step = time.monotonic(), -1
        self._last_preview = -1
        self._reported_at, self._reported_step = time.time(), 0
        self._tenant_id, self._job_id = job.tenant_id, job.id
        self.last_checkpoint: Checkpoint | None = None

    def start(self, manifest: dict[str, Any], *, identify_dataset: bool = True) -> None:
        """Start the training proper; the model's manifest is complete from here on."""
        dataset = {"id": self.dataset.id, "name": self.dataset.name}
        if identify_dataset:
            dataset["sha256"] = self.dataset.summary["sha256"]
        self._manifest = {
            "modality": self.spec.modality,
            **manifest,
            "training": self.spec.model_dump(mode="json", exclude_none=True),
            "dataset": dataset,
            "code": {"semblance": version("semblance-server"), "torch": torch.__version__},
        }
        self._lease.phase = "training"

    def progress(self, step: int) -> float:
        self._lease.check()
        if self._attempt_start is None:
            self._attempt_start, self._saved_step = (time.monotonic(), step), step
            self._clock.start()
            self._reported_at, self._reported_step = time.time(), step
        if self._lease.stopping and self._saved_step == step:
            raise self._lease.stopping  # nothing new to save
        fraction = self._fraction(step)
        self._record_progress(step, fraction, *self._attempt_start)
        return fraction

    def _fraction(self, step: int) -> float:
        used = self._clock.used()
        return self.spec.budget.fraction(
            step=step, cpu_s=used.cpu_s, wall_s=used.wall_s, gpu_s=used.gpu_s
        )

    def _record_progress(self, step: int, fraction: float, start: float, first_step: int) -> None:
        elapsed = time.monotonic() - start
        rate = (step - first_step) / elapsed if elapsed > 0 else 0.0
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
        interval = self.spec.checkpoint.interval_steps
        if interval == "auto":
            return time.monotonic() - self._saved_at >= get_settings().checkpoint_seconds
        return step % interval == 0

    def should_preview(self, step: int) -> bool:
        current = int(self._fraction(step) * PREVIEWS_PER_RUN)
        is_due = current > self._last_preview
        self._last_preview = max(current, self._last_preview)
        return is_due

    def report(self, step: int, metrics: dict[str, float]) -> None:
        rounded = {name: float(f"{value:.6g}") for name, value in metrics.items()}
        now, first_step = time.time(), self._reported_step + 1
        attributes = {**rounded, "first_step": first_step, "last_step": step}
        tracing.record_span("steps", self._reported_at, now, attributes)
        self._reported_at, self._reported_step = now, step
        self._lease.record(NewEvent("metrics", rounded, step))
        self._lease.record(NewEvent("log", {"message": format_log_line(step, metrics)}, step))

    def warn(self, step: int, message: str, code: str | None = None) -> None:
        self._lease.record(NewEvent("log", {"message": message}, step, level="warning"))
        if code is not None:
            warning = WarningView(code=code, message=message).model_dump()
            transact(lambda session: jobs.add_warning(session, self._lease.claim, warning))

    def save(self, step: int, checkpoint: PackedCheckpoint) -> None:
        """Store the files under names unique to this claim, then add the row, with fencing.

        Raises:
            LeaseLost: Another worker has the job.
            JobCancelled, JobPaused, WorkerStopping: The job must stop; the checkpoint is saved.
        """
        files = {
            name: self.storage.put(self._lease.claim.key_of(f"{name}-{step}.safetensors"), data)
            for name, data in (("state", checkpoint.state), ("model", checkpoint.model))
        }
        usage = self._clock.used().to_dict(3)
        self._lease.send_heartbeat()
        manifest = self._manifest | {"parameters": checkpoint.parameters}
        new = NewCheckpoint(step, files, manifest, usage, score=checkpoint.score)

        def add(session: Session) -> tuple[Checkpoint, list[str]]:
            added = jobs.add_checkpoint(session, self._lease.claim, new)
            keep_last = self.spec.checkpoint.keep_last
            return added, jobs.drop_checkpoints(session, self._lease.claim, keep_last=keep_last)

        self.last_checkpoint, dropped = transact(add)
        self.storage.delete(dropped)
        self._saved_at, self._saved_step = time.monotonic(), step
        if self._lease.stopping:
            raise self._lease.stopping

    def has_checkpoints(self) -> bool:
        """Return True if this attempt or an earlier one saved a checkpoint, damaged or not."""
        with read() as session:
            return bool(jobs.checkpoints_of(session, self._tenant_id, self._job_id))

    def select_checkpoint(self) -> Checkpoint:
        """Return the last checkpoint, unless an earlier score is better by MIN_IMPROVEMENT."""
        assert self.last_checkpoint is not None  # noqa: S101 - every run ends with a save
        with read() as session:
            checkpoints = jobs.checkpoints_of(session, self._tenant_id, self.last_checkpoint.job_id)
        scored = [checkpoint for checkpoint in checkpoints if checkpoint.score is not None]
        best = max(
            scored, key=lambda checkpoint: checkpoint.score or 0, default=self.last_checkpoint
        )
        if (best.score or 0) <= (self.last_checkpoint.score or 0) + MIN_IMPROVEMENT:
            return self.last_checkpoint
        self.warn(
            self.last_checkpoint.step,
            f"The model uses the checkpoint of step {best.step} with the score {best.score:.3f}, "
            f"because the last checkpoint scores only {self.last_checkpoint.score or 0:.3f}.",
        )
        return best

    def preview(self, step: int, grid: NDArray[np.uint8]) -> None:
        key = self._lease.claim.key_of(f"preview-{step}.png")
        stored = self.storage.put(key, encode_png(grid))
        transact(
            lambda session: jobs.add_artifact(
                session,
                self._lease.claim,
                name=f"previews/{step}.png",
                stored=stored,
                media_type="image/png",
                step=step,
            )
        )


def format_log_line(step: int, metrics: dict[str, float]) -> str:
    """Return the losses and accuracies, such as `step 20: critic loss 0.512, …`."""
    shown = [
        f"{name.replace('_', ' ')} {value:.3f}"
        for name, value in metrics.items()
        if "loss" in name or "accuracy" in name
    ]
    return f"step {step}: {', '.join(shown)}" if shown else f"step {step}"
