"""Report of a model: the results of its evaluations, read from the database and the storage."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import strict_json
from app.schemas.models import evaluation_state
from app.schemas.reports import Report
from core import evaluation, jobs
from core.storage import Storage, StoredObject
from core.tables import Job, JobState, Model
from job_kinds.evaluation.plan import why_not_evaluable

MAX_CHART_POINTS = 200

MetricSeries = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class EvaluationRecord:
    """Evaluation jobs of a model and their files.

    `evaluated` is the newest job that succeeded. `latest_job` may be newer and still be running, or
    have failed.
    """

    latest_job: Job | None
    evaluated: Job | None
    files: dict[str, StoredObject]
    training_metrics: MetricSeries
    not_evaluable_reason: str | None  # only for a model without an evaluation job


def load_evaluations(session: Session, model: Model) -> EvaluationRecord:
    latest_job = evaluation.latest(session, model)
    evaluated = evaluation.latest(session, model, JobState.SUCCEEDED)
    files, metrics = {}, {}
    if evaluated is not None:
        artifacts = jobs.artifacts_of(session, model.tenant_id, evaluated.id)
        files = {row.name: StoredObject.of(row) for row in artifacts}
    if model.job_id is not None:
        metrics = jobs.metrics(session, model.tenant_id, model.job_id, points=MAX_CHART_POINTS)
    reason = why_not_evaluable(session, model) if latest_job is None else None
    return EvaluationRecord(latest_job, evaluated, files, metrics, reason)


def build_report(model: Model, record: EvaluationRecord, storage: Storage) -> Report:
    latest_job, evaluated = record.latest_job, record.evaluated
    header = {
        "model": model.id,
        "reference": f"{model.name}:{model.version}",
        "state": evaluation_state(latest_job),
        "error": latest_job.error if latest_job is not None else None,
        "not_evaluable_reason": record.not_evaluable_reason,
    }
    if evaluated is None:
        return Report.model_validate(header)
    stored = strict_json.loads(storage.read(record.files[evaluation.REPORT]))
    results = {name: stored[name] for name in Report.model_fields if name in stored}
    return Report.model_validate(
        {**results, **header, "job": evaluated.id, "evaluated_at": evaluated.finished_at}
    )


def load_pictures(report: Report, record: EvaluationRecord, storage: Storage) -> dict[str, bytes]:
    """Return the PNG files of the report's pictures."""
    return {name: storage.read(record.files[name]) for name in report.pictures}
