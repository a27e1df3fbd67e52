"""A model's report: what its evaluations have found, out of the tables and the store."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import json
from app.schemas.reports import Report
from core import evaluation, jobs
from core.storage import Storage, Stored
from core.tables import Job, JobState, Model

PICTURES = ("samples.png", "real.png", "nearest.png")
POINTS = 200
STATES = {JobState.SUCCEEDED: "measured", JobState.FAILED: "failed"}

Series = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class Found:
    """The newest evaluation and the one whose figures stand."""

    newest: Job | None
    measured: Job | None
    files: dict[str, Stored]
    course: Series
    obstacle: str | None  # of what was never measured


def find(session: Session, model: Model) -> Found:
    newest = evaluation.newest(session, model)
    measured = evaluation.newest(session, model, JobState.SUCCEEDED)
    files, course = {}, {}
    if measured is not None:
        listed = jobs.artifacts_of(session, model.tenant_id, measured.id)
        files = {row.name: Stored(row.key, row.bytes, row.sha256) for row in listed}
    if model.job_id is not None:
        course = jobs.metrics(session, model.tenant_id, model.job_id, points=POINTS)
    obstacle = evaluation.obstacle(session, model) if newest is None else None
    return Found(newest, measured, files, course, obstacle)


def report_of(model: Model, found: Found, storage: Storage) -> Report:
    newest, measured = found.newest, found.measured
    state = "unmeasured"
    if newest is not None:
        state = STATES.get(newest.state, "measuring")
        state = "cancelled" if newest.state is JobState.CANCELLED else state
    about = {
        "model": model.id,
        "reference": f"{model.name}:{model.version}",
        "state": state,
        "error": newest.error if newest is not None else None,
        "obstacle": found.obstacle,
    }
    if measured is None:
        return Report.model_validate(about)
    stored = json.loads(storage.read(found.files[evaluation.REPORT]))
    kept = {name: stored[name] for name in Report.model_fields if name in stored}
    return Report.model_validate(
        {**kept, **about, "job": measured.id, "measured_at": measured.finished_at}
    )


def pictures_of(found: Found, storage: Storage) -> dict[str, bytes]:
    return {name: storage.read(found.files[name]) for name in PICTURES if name in found.files}
