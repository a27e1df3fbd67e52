"""Models side by side: what their reports say, what they cost, and which is the best at what."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app import model_report
from app.model_report import Found
from app.schemas.comparison import Best, CheckpointFigures, Compared, Comparison
from app.schemas.reports import ScoreView
from core import jobs
from core.storage import Storage
from core.tables import Checkpoint, Model


@dataclass(frozen=True)
class Known:
    """What the tables have of a model."""

    model: Model
    report: Found
    usage: dict[str, float]
    checkpoints: Sequence[Checkpoint]


def find(session: Session, model: Model) -> Known:
    found = model_report.find(session, model)
    if model.job_id is None:
        return Known(model, found, {}, ())
    usage = jobs.get(session, model.tenant_id, model.job_id).usage
    return Known(model, found, usage, jobs.checkpoints_of(session, model.tenant_id, model.job_id))


def compared(known: Sequence[Known], storage: Storage) -> Comparison:
    models = [_one(about, storage) for about in known]
    return Comparison(models=models, best=best_of(models), warnings=_warnings(models))


def _one(about: Known, storage: Storage) -> Compared:
    model = about.model
    report = model_report.report_of(model, about.report, storage)
    config = model.manifest["config"]
    training = {
        "preset": config.get("preset"),
        "architecture": config["config"].get("architecture"),
        "step": model.step,
        "parameters": model.manifest["parameters"],
        "seed": config.get("seed"),
        "cpu_s": about.usage.get("cpu_s"),
    }
    return Compared(
        model=model.id,
        reference=report.reference,
        kind=model.kind,
        dataset=model.dataset_id,
        state=report.state,
        verdict=report.verdict,
        unmet=report.unmet,
        samples=report.samples,
        held_out=report.held_out,
        scores={score.name: score for score in report.scores},
        training=training,
        checkpoints=[CheckpointFigures(step=c.step, metrics=c.metrics) for c in about.checkpoints],
    )


def best_of(models: Sequence[Compared]) -> dict[str, Best]:
    """By each score that more than one of them has."""
    found = {}
    for name in dict.fromkeys(name for model in models for name in model.scores):
        mine = {model.reference: model.scores[name] for model in models if name in model.scores}
        if len(mine) < 2:
            continue
        ordered = sorted(mine, key=lambda reference: _badness(mine[reference])[1])
        worst_case = _badness(mine[ordered[0]])[2]
        clear = all(worst_case < _badness(mine[other])[0] for other in ordered[1:])
        found[name] = Best(reference=ordered[0], clear=clear)
    return found


def _badness(score: ScoreView) -> tuple[float, float, float]:
    """At least, most likely, at most; whatever the direction, less is better."""
    low, high = score.ci95
    if score.direction == "higher":
        return -high, -score.value, -low
    if score.direction == "lower":
        return low, score.value, high
    ends = abs(low - 0.5), abs(high - 0.5)
    least = 0.0 if low <= 0.5 <= high else min(ends)
    return least, abs(score.value - 0.5), max(ends)


def _warnings(models: Sequence[Compared]) -> list[str]:
    measured = [model for model in models if model.scores]
    found = [f"{model.reference} is {model.state}" for model in models if not model.scores]
    if len({model.dataset for model in measured}) > 1:
        found.append("they were measured on different data sets")
    elif len({model.held_out for model in measured}) > 1:
        found.append("they were measured with different parts of the data set held out")
    if len({model.samples for model in measured}) > 1:
        found.append("they were measured by different numbers of samples, which moves some scores")
    return found
