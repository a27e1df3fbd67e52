"""Prometheus metrics of running jobs and of the newest models, read from the database.

Labels are ids, names of losses and scores: no text that a customer chose.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import jobs
from core.database import read
from core.tables import Job, JobKind, JobState

MAX_JOBS = 200  # running jobs that have series
RECENT_JOBS = 1_000  # of which the evaluations are shown, whatever the table has
MAX_MODELS = 20


class JobCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        with read() as session:
            yield from _running_jobs(session)
            yield _losses(session)
            yield from _evaluated_models(session)


def _running_jobs(session: Session) -> Iterator[Metric]:
    labels = ("job_id", "kind")
    step = GaugeMetricFamily("semblance_job_step", "Step of a running job.", labels=labels)
    rate = GaugeMetricFamily(
        "semblance_job_steps_per_second", "Training steps a second of a running job.", labels=labels
    )
    progress = GaugeMetricFamily(
        "semblance_job_progress_ratio", "Progress of a running job, from 0 to 1.", labels=labels
    )
    metric = GaugeMetricFamily(
        "semblance_job_metric",
        "Losses and other metrics that a running training job reported last, by name.",
        labels=("job_id", "name"),
    )
    for job in jobs.all_running_jobs(session, MAX_JOBS):
        values = (job.id, job.kind.value)
        step.add_metric(values, job.step)
        rate.add_metric(values, job.progress.get("rate") or 0.0)
        progress.add_metric(values, (job.progress.get("percent") or 0.0) / 100)
        for name, value in jobs.latest_metrics(session, job.id).items():
            metric.add_metric((job.id, name), value)
    yield from (step, rate, progress, metric)


def _losses(session: Session) -> Metric:
    family = CounterMetricFamily(
        "semblance_job_losses",
        "Jobs that lost their worker or its GPU, by reason.",
        labels=("reason",),
    )
    for reason, count in jobs.loss_counts(session).items():
        family.add_metric((reason,), count)
    return family


def _evaluated_models(session: Session) -> Iterator[Metric]:
    score = GaugeMetricFamily(
        "semblance_model_score",
        "Main scores of the models that were evaluated last, by model and score.",
        labels=("model_id", "score"),
    )
    quality = GaugeMetricFamily(
        "semblance_models_evaluated",
        f"Verdicts of the newest evaluations, at most {MAX_MODELS}.",
        labels=("quality",),
    )
    counts = dict.fromkeys(("good", "poor"), 0)
    # By the primary key, because an index of evaluations of all tenants would serve nothing else.
    recent = select(Job.id).order_by(Job.id.desc()).limit(RECENT_JOBS).subquery()
    evaluations = select(Job).where(
        Job.id.in_(select(recent.c.id)),
        Job.kind == JobKind.EVALUATION,
        Job.state == JobState.SUCCEEDED,
    )
    seen: set[str | None] = set()
    for job in session.scalars(evaluations.order_by(Job.id.desc()).limit(MAX_MODELS)):
        result = job.result or {}
        counts[result["quality"]] = counts.get(result["quality"], 0) + 1
        if job.model_id in seen:  # an older evaluation of the same model
            continue
        seen.add(job.model_id)
        for name, fields in result["scores"].items():
            score.add_metric((str(job.model_id), name), fields["value"])
    for name, count in counts.items():
        quality.add_metric((name,), count)
    yield from (score, quality)
