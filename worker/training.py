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

from core import jobs, registry
from core.database import read, write
from core.datasets import life as datasets
from core.datasets.images.writing import png
from core.errors import JobError
from core.jobs import NewCheckpoint, NewEvent
from core.settings import get_settings
from core.storage import DamagedObject, Storage, Stored, get_storage, key_of
from core.tables import Checkpoint, Dataset, Job, Model
from core.training import Privacy, TrainingSpec
from models.checkpoint import NonFiniteState
from models.images.architectures import settings_of
from models.images.training import WarmStart
from models.images.training import train as train_images
from models.run import Collapsed, NonFiniteLoss, NotLearning, Saved
from models.tables import domain, private
from models.tables.accounting import NoAccountant, OutOfReach, Promise
from models.tables.data import LabelledRows
from models.tables.schema import UnfitColumn
from models.tables.settings import TableSettings
from models.tables.training import train as train_rows
from worker import variety
from worker.content import about_declared, about_images, about_rows, images_of, rows_of
from worker.lease import Lease
from worker.usage import cpu_seconds

log = logging.getLogger(__name__)

CLEARLY = 0.05  # more than chance does to a score of 500 held-out items
PREVIEWS = 20  # pictures of a run, at equal shares of the budget


def train(job: Job, lease: Lease) -> Checkpoint:
    """The checkpoint that the run ended with, to make a model of.

    Raises JobError, and whatever the lease raises when the job is to stop.
    """
    spec = TrainingSpec.model_validate(job.resolved_config)
    torch.set_num_threads(get_settings().training_threads)
    with read() as session:
        if job.dataset_id is None:
            raise JobError("dataset_unreadable", "the dataset was deleted")
        dataset = datasets.get_ready(session, job.tenant_id, job.dataset_id)
    storage = get_storage()
    with saved_state(job, storage) as saved:
        run = JobRun(job, lease, spec, storage, saved)
        try:
            LEARN[spec.kind](dataset, run, saved.path if saved else None)
        except (NonFiniteLoss, NonFiniteState) as error:
            raise JobError(
                "non_finite_loss",
                f"the training left the finite numbers ({error}); lower the rates",
            ) from error
        except Collapsed as error:
            raise JobError("collapsed", str(error)) from error
        except NotLearning as error:
            raise JobError("not_learning", str(error)) from error
        except UnfitColumn as error:
            raise JobError("dataset_unreadable", f"{error}; change its schema") from error
    return run.chosen()


def learn_images(dataset: Dataset, run: "JobRun", state: Path | None) -> None:
    spec = run.spec
    run.manifest = manifest_of(dataset, spec, about_images(dataset, spec))
    with images_of(dataset, spec, run.storage) as images:
        run.begin()
        with start_of(spec, run, state) as warm_start:
            train_images(
                images,
                settings_of(spec.config),
                run,
                seed=spec.seed,
                state=state,
                warm_start=warm_start,
                early_stop=spec.early_stop,
            )


@contextmanager
def start_of(spec: TrainingSpec, run: "JobRun", state: Path | None) -> Iterator[WarmStart | None]:
    """The networks of another model, unless the run has a state of its own already."""
    wanted = spec.warm_start
    if wanted is None or state is not None:
        yield None
        return
    with read() as session:
        model = session.get(Model, wanted.model)
        checkpoint = registry.checkpoint_of(session, model) if model is not None else None
    if checkpoint is None:
        raise JobError("dataset_unreadable", "the model to start from was deleted")
    try:
        with run.storage.open(Stored.from_dict(checkpoint.files["state"])) as path:
            yield WarmStart(path, wanted.labels)
    except DamagedObject as error:
        raise JobError("dataset_unreadable", f"the model to start from: {error}") from error


def learn_rows(dataset: Dataset, run: "JobRun", state: Path | None) -> None:
    spec = run.spec
    with rows_of(dataset, spec, run.storage) as rows:
        if spec.privacy is not None:
            learn_privately(dataset, rows, spec.privacy, run, state)
            return
        run.manifest = manifest_of(dataset, spec, about_rows(rows, spec.config["min_count"]))
        run.begin()
        settings = TableSettings.from_dict(spec.config)
        train_rows(rows, settings, run, seed=spec.seed, state=state)
        variety.check_rows(run.chosen(), rows, run.storage)


def learn_privately(
    dataset: Dataset, rows: LabelledRows, privacy: Privacy, run: "JobRun", state: Path | None
) -> None:
    """`rows` go to the loop alone: all that is said of the model is what was declared."""
    spec = run.spec
    types = {column.name: column.type for column in rows.schema if column.kept}
    domains = domain.parse(privacy.columns, types)
    run.manifest = manifest_of(dataset, spec, about_declared(domains, rows.label))
    del run.manifest["dataset"]["sha256"]  # tells tables from each other
    if state is None and run.has_saved():
        raise JobError("epsilon_not_kept", "its checkpoints are damaged, and noise added anew")
    assert spec.budget.steps is not None  # noqa: S101 - the API has looked
    run.begin()
    try:
        private.train(
            rows,
            domains,
            TableSettings.from_dict(spec.config),
            Promise(privacy.epsilon, privacy.delta, spec.budget.steps),
            run,
            seed=spec.seed,
            state=state,
        )
    except NoAccountant as error:
        raise JobError(
            "epsilon_not_kept", "what adds up epsilon is not installed: the extra `dp`"
        ) from error
    except OutOfReach as error:
        raise JobError("epsilon_not_kept", "no noise keeps to an epsilon this small") from error


LEARN = {"images": learn_images, "rows": learn_rows}


@dataclass(frozen=True)
class SavedState:
    """Where a run goes on, and how much of its budget was used until there."""

    path: Path
    cpu_s: float
    wall_s: float


@contextmanager
def saved_state(job: Job, storage: Storage) -> Iterator[SavedState | None]:
    """The newest checkpoint whose bytes are what was saved; None to begin at the beginning."""
    with read() as session:
        checkpoints = jobs.checkpoints_of(session, job.tenant_id, job.id)
    with ExitStack() as stack:
        for checkpoint in checkpoints:
            about = {"job_id": job.id, "step": checkpoint.step}
            try:
                path = stack.enter_context(
                    storage.open(Stored.from_dict(checkpoint.files["state"]))
                )
            except DamagedObject:
                log.warning("damaged checkpoint; trying the one before", extra=about)
                continue
            log.info("going on from a checkpoint", extra=about)
            yield SavedState(path, checkpoint.metrics["cpu_s"], checkpoint.metrics["wall_s"])
            return
        yield None


def manifest_of(dataset: Dataset, spec: TrainingSpec, about: dict[str, Any]) -> dict[str, Any]:
    """What sampling needs to know of a model without reading its weights."""
    return {
        "kind": spec.kind,
        **about,
        "config": spec.model_dump(mode="json", exclude_none=True),
        "dataset": {"id": dataset.id, "name": dataset.name, "sha256": dataset.summary["sha256"]},
        "code": {"semblance": version("semblance-server"), "torch": torch.__version__},
    }


class JobRun:
    """The loop's way out: progress to the lease, files to the store, names to the table."""

    def __init__(
        self,
        job: Job,
        lease: Lease,
        spec: TrainingSpec,
        storage: Storage,
        saved: SavedState | None,
    ) -> None:
        self.spec, self.storage = spec, storage
        self.manifest: dict[str, Any] = {}
        self._lease = lease
        self._started = time.monotonic() - (saved.wall_s if saved else 0.0)
        self._cpu_started = cpu_seconds() - (saved.cpu_s if saved else 0.0)
        self._opened: tuple[float, int] | None = None  # when and at which step this attempt began
        self._saved_at, self._saved_step = time.monotonic(), -1
        self._pictures = -1
        self._tenant_id, self._job_id = job.tenant_id, job.id
        self._folder = (job.tenant_id, "jobs", job.id, str(lease.claim.token))
        self.last: Checkpoint | None = None

    def begin(self) -> None:
        self._lease.phase = "training"

    def progress(self, step: int) -> float:
        self._lease.check()
        if self._opened is None:
            self._opened, self._saved_step = (time.monotonic(), step), step
        if self._lease.stopping and self._saved_step == step:
            raise self._lease.stopping  # nothing new to save
        fraction = self._fraction(step)
        self._tell_progress(step, fraction, *self._opened)
        return fraction

    def _fraction(self, step: int) -> float:
        cpu_s, wall_s = self._used()
        return self.spec.budget.fraction(step=step, cpu_s=cpu_s, wall_s=wall_s)

    def _used(self) -> tuple[float, float]:
        return cpu_seconds() - self._cpu_started, time.monotonic() - self._started

    def _tell_progress(self, step: int, fraction: float, since: float, first: int) -> None:
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

    def wants_checkpoint(self, step: int) -> bool:
        if step in (0, self._saved_step):
            return False
        if self._lease.stopping:
            return True
        every = self.spec.checkpoint.every
        if every == "auto":
            return time.monotonic() - self._saved_at >= get_settings().checkpoint_s
        return step % every == 0

    def wants_preview(self, step: int) -> bool:
        due = int(self._fraction(step) * PREVIEWS)
        wanted, self._pictures = due > self._pictures, max(due, self._pictures)
        return wanted

    def report(self, step: int, metrics: dict[str, float]) -> None:
        rounded = {name: float(f"{value:.6g}") for name, value in metrics.items()}
        self._lease.tell(NewEvent("metrics", rounded, step))
        self._lease.tell(NewEvent("log", {"message": log_line(step, metrics)}, step))

    def warn(self, step: int, message: str) -> None:
        self._lease.tell(NewEvent("log", {"message": message}, step, level="warning"))

    def save(self, step: int, saved: Saved) -> None:
        """Files first, each under a name of this claim alone; then, fenced, the row.

        Raises what the lease says when the job is to stop: what was saved stands.
        """
        files = {
            name: self.storage.put(key_of(*self._folder, f"{name}-{step}.safetensors"), data)
            for name, data in (("state", saved.state), ("model", saved.model))
        }
        cpu_s, wall_s = self._used()
        used = {"cpu_s": round(cpu_s, 3), "wall_s": round(wall_s, 3)}
        self._lease.flush()
        with write() as session:
            manifest = self.manifest | {"parameters": saved.parameters}
            new = NewCheckpoint(step, files, manifest, used, score=saved.score)
            self.last = jobs.add_checkpoint(session, self._lease.claim, new)
            dropped = jobs.drop_checkpoints(
                session, self._lease.claim, keep=self.spec.checkpoint.keep
            )
        self.storage.delete(dropped)
        self._saved_at, self._saved_step = time.monotonic(), step
        if self._lease.stopping:
            raise self._lease.stopping

    def has_saved(self) -> bool:
        """Whether this attempt or one before it has."""
        with read() as session:
            return bool(jobs.checkpoints_of(session, self._tenant_id, self._job_id))

    def chosen(self) -> Checkpoint:
        """The last checkpoint, unless the samples of an earlier one were clearly better."""
        assert self.last is not None  # noqa: S101 - every run ends with a save
        with read() as session:
            kept = jobs.checkpoints_of(session, self._tenant_id, self.last.job_id)
        scored = [checkpoint for checkpoint in kept if checkpoint.score is not None]
        best = max(scored, key=lambda checkpoint: checkpoint.score or 0, default=self.last)
        if (best.score or 0) <= (self.last.score or 0) + CLEARLY:
            return self.last
        self.warn(
            self.last.step,
            f"the model is that of step {best.step}, whose score is {best.score:.3f}; "
            f"at the end it is {self.last.score or 0:.3f}",
        )
        return best

    def preview(self, step: int, sheet: NDArray[np.uint8]) -> None:
        stored = self.storage.put(key_of(*self._folder, f"preview-{step}.png"), png(sheet))
        with write() as session:
            jobs.add_artifact(
                session,
                self._lease.claim,
                name=f"previews/{step}.png",
                stored=stored,
                media_type="image/png",
                step=step,
            )


def log_line(step: int, metrics: dict[str, float]) -> str:
    """`step [D loss, accuracy real, fake] [G loss]`, as the textbooks print it."""
    shown = {name: f"{value:.3f}" for name, value in metrics.items()}
    d = ", ".join(
        shown.get(name, "-")
        for name in ("critic_loss", "critic_accuracy_real", "critic_accuracy_fake")
    )
    return f"{step} [D {d}] [G {shown.get('generator_loss', '-')}]"
