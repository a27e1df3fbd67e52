"""A model's report: what its evaluations have found, out of the tables and the store."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import strict_json
from app.schemas.reports import Report
from core import evaluation, jobs
from core.storage import Storage, StoredObject
from core.tables import Job, JobState, Model

IMAGE_FILES = ("samples.png", "real.png", "nearest.png")
MAX_CHART_POINTS = 200
REPORT_STATES = {JobState.SUCCEEDED: "evaluated", JobState.FAILED: "failed"}

MetricSeries = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class EvaluationRecord:
    """The newest evaluation and the one whose figures stand."""

    latest_job: Job | None
    evaluated: Job | None
    files: dict[str, StoredObject]
    training_metrics: MetricSeries
    not_evaluable_reason: str | None  # of what was never measured


def load_evaluations(session: Session, model: Model) -> EvaluationRecord:
    newest = evaluation.latest(session, model)
    measured = evaluation.latest(session, model, JobState.SUCCEEDED)
    files, course = {}, {}
    if measured is not None:
        listed = jobs.artifacts_of(session, model.tenant_id, measured.id)
        files = {row.name: StoredObject(row.key, row.bytes, row.sha256) for row in listed}
    if model.job_id is not None:
        course = jobs.metrics(session, model.tenant_id, model.job_id, points=MAX_CHART_POINTS)
    obstacle = evaluation.why_not_evaluable(session, model) if newest is None else None
    return EvaluationRecord(newest, measured, files, course, obstacle)


def build_report(model: Model, record: EvaluationRecord, storage: Storage) -> Report:
    newest, measured = record.latest_job, record.evaluated
    state = "not_evaluated"
    if newest is not None:
        state = REPORT_STATES.get(newest.state, "evaluating")
        state = "cancelled" if newest.state is JobState.CANCELLED else state
    about = {
        "model": model.id,
        "reference": f"{model.name}:{model.version}",
        "state": state,
        "error": newest.error if newest is not None else None,
        "not_evaluable_reason": record.not_evaluable_reason,
    }
    if measured is None:
        return Report.model_validate(about)
    stored = strict_json.loads(storage.read(record.files[evaluation.REPORT]))
    kept = {name: stored[name] for name in Report.model_fields if name in stored}
    return Report.model_validate(
        {**kept, **about, "job": measured.id, "evaluated_at": measured.finished_at}
    )


def load_images(record: EvaluationRecord, storage: Storage) -> dict[str, bytes]:
    return {name: storage.read(record.files[name]) for name in IMAGE_FILES if name in record.files}
