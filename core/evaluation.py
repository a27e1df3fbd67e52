"""What an evaluation job is to measure, every value resolved, and what is known of models that were
measured. A report is a file of the newest job that succeeded; nothing of it stands in the model."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from core import jobs
from core.errors import Conflict, Unavailable
from core.jobs import NewEvent, NewJob
from core.tables import Dataset, Job, JobKind, JobState, Model
from core.training import Accept

REPORT = "report.json"
SAMPLES = {"images": 10_000, "rows": 24_000}
MOST_SAMPLES = 50_000
FEWEST_SAMPLES = 1_000  # after a training, however short
ENOUGH = 20  # held-out items
SCORES = {
    "images": (
        *("frechet", "kernel", "precision", "recall", "density", "coverage", "told_apart"),
        *("critic_accuracy", "label_fidelity", "utility", "near_copies", "replayed"),
        *("membership", "exposed"),
    ),
    "rows": (
        *("marginals", "pairs", "told_apart", "critic_accuracy", "utility"),
        *("dcr_share", "exact_copies", "membership", "exposed", "different"),
    ),
}

Quality = Literal["good", "poor", "unmeasured"]


class EvaluationSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="its id, so that a newer version changes nothing")
    reference: str = Field(description="`name:version`")
    kind: Literal["images", "rows"]
    samples: int
    seed: int


def spec_of(model: Model, dataset: Dataset, seed: int, samples: int | None) -> EvaluationSpec:
    """As many samples as there are items to learn from, within bounds. Raises Conflict when nothing
    real was kept apart to measure with."""
    if model.manifest["config"].get("privacy") is not None:
        raise Conflict(
            f"{model.name}:{model.version} was learned with differential privacy: an evaluation "
            "reads rows that its epsilon does not cover",
            code="outside_epsilon",
        )
    if held_out(model.manifest["config"]["holdout"], dataset) < ENOUGH:
        raise Conflict(
            too_few(model.manifest["config"]["holdout"], dataset), code="too_few_held_out"
        )
    most = min(SAMPLES[model.kind], max(ENOUGH, dataset.summary["n_train"]))
    return EvaluationSpec(
        model=model.id,
        reference=f"{model.name}:{model.version}",
        kind="images" if model.kind == "images" else "rows",
        samples=most if samples is None else samples,
        seed=seed,
    )


def held_out(holdout: float, dataset: Dataset) -> int:
    """Items to measure with: the published test part, or else the share that training holds out."""
    published: int = dataset.summary.get("n_held_out") or 0
    return published or round(holdout * dataset.summary["n_train"])


def obstacle(session: Session, model: Model) -> str | None:
    """Why the model cannot be measured, if it cannot."""
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id is not None else None
    if dataset is None:
        return "its dataset is not here"
    try:
        spec_of(model, dataset, 0, None)
    except Conflict as error:
        return error.detail
    return None


def too_few(holdout: float, dataset: Dataset) -> str:
    return (
        f"an evaluation needs {ENOUGH} items that training has not seen, and there are "
        f"{held_out(holdout, dataset)}; train with a larger `holdout`"
    )


def job_of(model: Model, spec: EvaluationSpec) -> NewJob:
    return NewJob(
        JobKind.EVALUATION,
        model.name,
        model.dataset_id,
        {"kind": "evaluation", "model": model.id},
        spec.model_dump(mode="json"),
        model_id=model.id,
    )


def start(session: Session, training: Job, model: Model) -> None:
    """Measure what a training job has made. That this cannot be done is said in its log, and is no
    failure of it."""
    dataset = session.get(Dataset, model.dataset_id) if model.dataset_id is not None else None
    if dataset is None:
        return
    try:
        spec = spec_of(model, dataset, training.resolved_config["seed"], None)
        spec = spec.model_copy(update={"samples": min(spec.samples, _in_proportion(model))})
        jobs.create(session, training.tenant_id, job_of(model, spec))
    except (Conflict, Unavailable) as error:
        event = NewEvent("log", {"message": f"not evaluated: {error.detail}"}, level="warning")
        jobs.record_events(session, training.tenant_id, training.id, [event])


def _in_proportion(model: Model) -> int:
    """No more samples than training has looked at items: a run of a few steps is not worth more
    work afterwards than it was itself."""
    looked_at: int = model.step * model.manifest["config"]["config"]["batch"]
    return max(FEWEST_SAMPLES, looked_at)


def newest(session: Session, model: Model, state: JobState | None = None) -> Job | None:
    """The model's last evaluation, or the last in this state."""
    query = select(Job).where(
        Job.tenant_id == model.tenant_id,
        Job.kind == JobKind.EVALUATION,
        Job.model_id == model.id,
    )
    if state is not None:
        query = query.where(Job.state == state)
    return session.scalar(query.order_by(Job.id.desc()).limit(1))


class Standing(BaseModel):
    """What is known of a model when samples of it are asked for. `accepted` is null for one that
    nothing was asked of."""

    quality: Quality
    accepted: bool | None
    unmet: list[str]


def standing(session: Session, model: Model) -> Standing:
    """By the newest evaluation that succeeded. What was not measured is not accepted."""
    job = newest(session, model, JobState.SUCCEEDED)
    wanted = model.manifest["config"].get("accept")
    if job is None or job.result is None:
        unmet = ["it has not been measured"] if wanted else []
        return Standing(quality="unmeasured", accepted=False if wanted else None, unmet=unmet)
    unmet = job.result["unmet"]
    return Standing(
        quality=job.result["quality"], accepted=not unmet if wanted else None, unmet=unmet
    )


def check_accepted(session: Session, model: Model, *, allowed: bool) -> Standing:
    """Raises Conflict for a model that is not what its training job said it must be, unless the
    caller takes it all the same."""
    found = standing(session, model)
    if found.accepted is False and not allowed:
        raise Conflict(
            f"{model.name}:{model.version} is not accepted: {'; '.join(found.unmet)}; "
            "`allow_unaccepted` draws from it all the same",
            code="not_accepted",
            unmet=found.unmet,
        )
    return found


def unmet(wanted: Accept | None, finding: str, scores: Sequence[dict[str, Any]]) -> list[str]:
    """What of it the figures do not reach, in words."""
    if wanted is None:
        return []
    by_name = {score["name"]: score for score in scores}
    found = []
    if finding not in wanted.findings:
        found.append(f"the verdict is {finding}, not {' or '.join(wanted.findings)}")
    for name, bound in wanted.scores.items():
        score = by_name.get(name)
        if score is None:
            found.append(f"{name} could not be measured")
            continue
        value, least, most = score["value"], bound.at_least, bound.at_most
        if bound.of_ceiling is not None:
            share = bound.of_ceiling * (score["ceiling"] or 0.0)
            least = share if least is None else max(share, least)
        if least is not None and value < least:
            found.append(f"{name} is {value:.3g}, below {least:.3g}")
        if most is not None and value > most:
            found.append(f"{name} is {value:.3g}, above {most:.3g}")
    return found
